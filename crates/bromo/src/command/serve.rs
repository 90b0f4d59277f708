//! `bromo serve`, and the wait for a signal that `dev` shares.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::print;
use crate::clock::SystemClock;
use crate::{Running, telemetry};

pub(super) fn run(file: &Path, json: bool) -> anyhow::Result<()> {
    let config = super::load("", Some(file))?;
    telemetry::init(&config.telemetry);
    let running = crate::start(&config, Arc::new(SystemClock::start()))?;
    tracing::info!(api = %running.api, admin = %running.admin, "listening");
    if json {
        print::line(json!({ "api": running.api, "admin": running.admin }));
    }
    until_signal(running, config.listen.drain)
}

/// Serves until SIGTERM or SIGINT, and for `drain` after that, then ends gently. A second signal ends at once.
pub(super) fn until_signal(running: Running, drain: Duration) -> anyhow::Result<()> {
    let (draining, stop) = (running.draining_token(), running.stop_token());
    crate::runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            // At once: others have its work, so there is nothing to hand back.
            reason = running.broken().reason() => {
                tracing::error!(reason, "this process cannot go on");
                std::process::exit(1);
            }
        }
        draining.cancel();
        let ended = async {
            if !drain.is_zero() {
                tracing::info!(
                    drain_ms = drain.as_millis(),
                    "draining: no longer ready, and still answering"
                );
                tokio::time::sleep(drain).await;
            }
            tracing::info!("stopping: finishing the calls that run");
            stop.cancel();
            tokio::task::spawn_blocking(move || running.wait()).await
        };
        tokio::select! {
            ended = ended => ended.context("a thread broke while ending"),
            _ = terminate.recv() => std::process::exit(1),
            _ = interrupt.recv() => std::process::exit(1),
        }
    })
}
