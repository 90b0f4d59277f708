//! The release binary as an operator runs it: a configuration, two accounts made on the command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::client::{Connection, Target};
use crate::process::{GATEWAY_CORE, Process, free_port};

/// Credits granted to each account.
const CREDITS: &str = "1000000000000";

/// bromo, running, with an account of many slots and one of few.
pub(crate) struct Bromo {
    pub(crate) process: Process,
    /// From the start of the program until it listened.
    pub(crate) started_in: Duration,
    /// Resident megabytes before the first call.
    pub(crate) fresh_mb: f64,
    address: SocketAddr,
    admin: SocketAddr,
    many_key: String,
    few_key: String,
}

impl Bromo {
    pub(crate) fn start(
        program: &Path,
        folder: &Path,
        upstream: SocketAddr,
        slots: u32,
        few: u32,
    ) -> anyhow::Result<Self> {
        Self::start_on(GATEWAY_CORE, program, folder, &settings(upstream, slots, few))
    }

    /// Another one, on these cores, with these settings beside its addresses.
    pub(crate) fn start_on(
        cores: &str,
        program: &Path,
        folder: &Path,
        settings: &str,
    ) -> anyhow::Result<Self> {
        let mut bromo = Self::join_on(cores, program, folder, settings)?;
        [bromo.many_key, bromo.few_key] =
            [account(program, folder, "many")?, account(program, folder, "few")?];
        Ok(bromo)
    }

    /// The same without accounts of its own: one more node.
    pub(crate) fn join_on(
        cores: &str,
        program: &Path,
        folder: &Path,
        settings: &str,
    ) -> anyhow::Result<Self> {
        // A data folder of an earlier run would be measured along.
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder)?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let listen = format!("[listen]\napi = \"{address}\"\nadmin = \"{admin}\"\nthreads = 1\n");
        std::fs::write(folder.join("bromo.toml"), format!("{listen}{settings}"))?;
        let arguments = ["serve", "--config", "bromo.toml"];
        let mut process = Process::on(cores, program, &arguments, folder, &folder.join("out.log"))?;
        let started_in = process
            .listening(address)
            .with_context(|| format!("see {}", folder.join("out.log").display()))?;
        let fresh_mb = process.resident_mb()?;
        let (many_key, few_key) = Default::default();
        Ok(Self { process, started_in, fresh_mb, address, admin, many_key, few_key })
    }

    /// Calls that cost nothing; the provider answers whole.
    pub(crate) fn free(&self) -> Target {
        Target::post(self.address, "/v1/monitor/chatgpt", &self.many_key)
    }

    /// Free calls of another node's account.
    pub(crate) fn free_for(&self, key: &str) -> Target {
        Target::post(self.address, "/v1/monitor/chatgpt", key)
    }

    /// The key of the account with many slots.
    pub(crate) fn many_key(&self) -> &str {
        &self.many_key
    }

    /// Calls that cost nothing; the provider streams.
    pub(crate) fn streamed(&self) -> Target {
        Target::post(self.address, "/v1/monitor/gemini", &self.many_key)
    }

    /// Calls at the price of a ChatGPT answer, 7 credits; the provider answers whole.
    pub(crate) fn charged(&self) -> Target {
        Target::post(self.address, "/v1/monitor/copilot", &self.many_key)
    }

    /// Free calls of the account with few slots.
    pub(crate) fn few_slots(&self) -> Target {
        Target::post(self.address, "/v1/monitor/chatgpt", &self.few_key)
    }

    /// One of bromo's own counters.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let mut connection = Connection::open(self.admin).await?;
        let text =
            connection.fetch(b"GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").await?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).with_context(|| format!("no metric {name}"))
    }
}

/// Makes an account on the plan of the same name, with credits; its key.
fn account(program: &Path, folder: &Path, name: &str) -> anyhow::Result<String> {
    let made = run(program, folder, &["account", "create", name, "--plan", name])?;
    run(program, folder, &["account", "grant", name, CREDITS])?;
    let key = made.get("key").and_then(serde_json::Value::as_str);
    Ok(key.context("an account without a key")?.to_owned())
}

pub(crate) fn run(program: &Path, folder: &Path, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
    let output = Command::new(program)
        .args(arguments)
        .args(["--config", "bromo.toml", "--json"])
        .current_dir(folder)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The binary beside this one, unless another is named.
pub(crate) fn program(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let program = match named {
        Some(named) => named,
        None => std::env::current_exe()?.with_file_name("bromo"),
    };
    program.canonicalize().with_context(|| format!("{} is not there: build it first", program.display()))
}

/// Two plans, and three endpoints that `upstream` answers.
pub(crate) fn settings(upstream: SocketAddr, slots: u32, few: u32) -> String {
    let endpoint = |name: &str, stream: bool| {
        format!(
            "[endpoints.{name}]\nprovider = \"openai-chat\"\nbase_url = \"http://{upstream}/v1\"\n\
             model = \"bench-model\"\nstream = {stream}\n"
        )
    };
    let plan = |name: &str, slots: u32| {
        format!(
            "[[plans]]\nname = \"{name}\"\ntitle = \"{name}\"\nusd_per_month = 1\ncredits = 1000\n\
             slots = {slots}\nsupport = \"docs\"\nself_serve = false\n"
        )
    };
    format!(
        "[limits]\nrequests_per_second = 1000000\n\
         [prices]\nchatgpt = 0\ngemini = 0\n{}{}{}{}{}",
        endpoint("chatgpt", false),
        endpoint("gemini", true),
        endpoint("copilot", false),
        plan("many", slots),
        plan("few", few),
    )
}
