//! Load: as fast as a number of connections go, or at a fixed rate.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::{Connection, Target};
use crate::latency::Latencies;

/// What a run brought.
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) latencies: Latencies,
}

/// Keeps `connections` busy for `length`, each with its next request as soon as it has its answer.
///
/// The load's core never sleeps meanwhile: to wake it costs the gateway several microseconds in a virtual
/// machine, and the slower gateway, whose load sleeps more often, would pay most.
///
/// # Errors
/// Any answer but a 200: such a run measures nothing.
pub(crate) async fn closed(target: &Target, connections: usize, length: Duration) -> anyhow::Result<Load> {
    let begun = Instant::now();
    let end = begun + length;
    let mut customers = JoinSet::new();
    for _ in 0..connections {
        let target = target.clone();
        customers.spawn(async move {
            let mut latencies = Latencies::default();
            let mut connection = Connection::open(target.address).await?;
            let mut asked = Instant::now();
            while asked < end {
                let status = connection.exchange(&target.request).await?;
                ensure!(status == 200, "a call was answered with {status}");
                let answered = Instant::now();
                latencies.push(answered - asked);
                asked = answered;
            }
            Ok(latencies)
        });
    }
    let mut latencies = Latencies::default();
    while Instant::now() < end {
        tokio::task::yield_now().await;
    }
    while let Some(ended) = customers.join_next().await {
        latencies.append(ended.context("a customer broke")??);
    }
    let per_second = latencies.len() as f64 / begun.elapsed().as_secs_f64();
    Ok(Load { per_second, latencies })
}

/// Asks `per_second` times a second, whatever the answers do. Latency counts from the moment at which a
/// request was due, so a stall is seen by all requests that fell into it.
///
/// The pace is kept by a busy loop: timers of a millisecond would be the larger part of what is measured.
///
/// # Errors
/// Any answer but a 200.
pub(crate) async fn open(
    target: &Target,
    per_second: u32,
    connections: usize,
    length: Duration,
) -> anyhow::Result<Latencies> {
    let mut free = Vec::with_capacity(connections);
    for _ in 0..connections {
        free.push(Connection::open(target.address).await?);
    }
    let period = Duration::from_secs(1) / per_second;
    let (report, mut reports) = mpsc::unbounded_channel();
    let mut latencies = Latencies::default();
    let mut due = Instant::now();
    let end = due + length;
    while due < end || free.len() < connections {
        while let Ok(reported) = reports.try_recv() {
            let (connection, status, latency): (Connection, std::io::Result<u16>, Duration) = reported;
            let status = status?;
            ensure!(status == 200, "a call was answered with {status}");
            latencies.push(latency);
            free.push(connection);
        }
        if due < end
            && Instant::now() >= due
            && let Some(mut connection) = free.pop()
        {
            let (report, request, asked) = (report.clone(), target.request.clone(), due);
            tokio::spawn(async move {
                let status = connection.exchange(&request).await;
                // The run may have failed and left.
                let _ = report.send((connection, status, asked.elapsed()));
            });
            due += period;
        } else {
            tokio::task::yield_now().await;
        }
    }
    Ok(latencies)
}
