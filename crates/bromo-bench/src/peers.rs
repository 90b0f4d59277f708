//! Durable queues of the field on the same PostgreSQL, measured by `peers/peers.mjs`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::later::Shared;

const PACKAGE: &str = include_str!("../peers/package.json");
const PROGRAM: &str = include_str!("../peers/peers.mjs");
/// In the order in which the table has them.
pub(crate) const PEERS: [&str; 2] = ["graphile-worker", "pg-boss"];

/// Tasks a second: added singly by 64 callers, added by 500, and drained without a result.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) single: f64,
    pub(crate) batch: f64,
    pub(crate) drain: f64,
}

/// One measurement of each of [`PEERS`].
pub(crate) fn measure(folder: &Path, shared: &Shared, length: Duration) -> anyhow::Result<[Peer; 2]> {
    let folder = folder.join("peers");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("package.json"), PACKAGE)?;
    std::fs::write(folder.join("peers.mjs"), PROGRAM)?;
    if !folder.join("node_modules").exists() {
        let installed = Command::new("npm").args(["install", "--silent"]).current_dir(&folder).status();
        ensure!(installed.context("the peers need npm")?.success(), "npm could not install the peers");
    }
    let database = shared.database()?;
    let seconds = length.as_secs().max(1).to_string();
    let output = Command::new("node")
        .args(["peers.mjs", &database.url(), &seconds])
        .current_dir(&folder)
        .output()
        .context("the peers need node")?;
    ensure!(output.status.success(), "the peers broke: {}", String::from_utf8_lossy(&output.stderr));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let number = |peer: &str, what: &str| {
        said[peer][what].as_f64().with_context(|| format!("{peer} did not say {what}"))
    };
    let peer = |name: &str| {
        anyhow::Ok(Peer {
            single: number(name, "single")?,
            batch: number(name, "batch")?,
            drain: number(name, "drain")?,
        })
    };
    Ok([peer(PEERS[0])?, peer(PEERS[1])?])
}
