//! Full load for a long time: submits and drain together, the WAL looked at all the while.

use std::time::{Duration, Instant};

use super::customer::{Customer, Tasks};
use super::server::Server;
use crate::latency::Latencies;
use crate::report::{Goal, Row};

const CLIENTS: usize = 64;
/// Submits are cleared when more wait, so that the disk lasts.
const QUEUED_MAX: f64 = 5_000_000.0;

pub(crate) async fn run(server: &Server, length: Duration) -> anyhow::Result<Vec<Row>> {
    let end = Instant::now() + length;
    let submitting = submit_all(server, end);
    let watching = async {
        let mut wal = 0.0_f64;
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(100)).await;
            wal = wal.max(server.wal_mb());
            if server.metrics(["bromo_tasks_queued"]).await?[0] > QUEUED_MAX {
                for key in &server.keys {
                    Customer::open(server, key).await?.exchange("DELETE", "/v1/async/queue", "").await?;
                }
            }
        }
        anyhow::Ok(wal)
    };
    let (submitted, watched) = tokio::join!(submitting, watching);
    let wal_mb = watched?;
    let latencies = submitted?.into_iter().fold(Latencies::default(), |mut all, some| {
        all.append(some);
        all
    });
    let count = latencies.len() as f64;
    let (p50, p99) = latencies.p50_p99_us();
    let completed = server.completed().await?;
    Ok(vec![
        Row::alone("submits/s", [count / length.as_secs_f64()]),
        Row::alone("whole tasks/s", [completed / length.as_secs_f64()]),
        Row::alone("submit p50, ms", [p50 / 1e3]),
        Row::alone("submit p99, ms", [p99 / 1e3]).reaching(Goal::AtMost(20.0)),
        Row::alone("largest WAL, MB", [wal_mb]).reaching(Goal::AtMost(64.0)),
    ])
}

async fn submit_all(server: &Server, end: Instant) -> anyhow::Result<Vec<Latencies>> {
    let customers = (0..CLIENTS).map(|number| async move {
        let mut customer = Customer::open(server, &server.keys[number % server.keys.len()]).await?;
        let (mut latencies, tasks) = (Latencies::default(), Tasks::default());
        while Instant::now() < end {
            let asked = Instant::now();
            customer.submit(server, &tasks).await?;
            latencies.push(asked.elapsed());
        }
        anyhow::Ok(latencies)
    });
    futures_util::future::try_join_all(customers).await
}
