//! How well slots are used when more ask than fit, and how soon they are free after a hang-up.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::task::JoinSet;

use crate::client::{Connection, Target};
use crate::upstream::{Delay, Upstream};

/// The time of one call under churn.
const CALL: Duration = Duration::from_millis(20);
/// How long a client waits after a refusal.
const RETRY: Duration = Duration::from_millis(5);
/// Before the count begins.
const WARM: Duration = Duration::from_millis(500);
/// Past this a hang-up has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// What churn came to.
pub(crate) struct Churn {
    /// Share of the slots' time in which a call was in progress upstream.
    pub(crate) used: f64,
    /// Most calls in progress at once; more than there are slots is a broken promise.
    pub(crate) most: u32,
}

/// Lets three times as many clients ask as there are slots.
pub(crate) async fn churn(
    target: &Target,
    slots: u32,
    upstream: &Upstream,
    length: Duration,
) -> anyhow::Result<Churn> {
    upstream.set_delay(Delay::For(CALL));
    let end = Instant::now() + WARM + length;
    let mut clients = JoinSet::new();
    for _ in 0..3 * slots {
        let target = target.clone();
        clients.spawn(async move {
            let mut connection = Connection::open(target.address).await?;
            while Instant::now() < end {
                if connection.exchange(&target.request).await? != 200 {
                    tokio::time::sleep(RETRY).await;
                }
            }
            std::io::Result::Ok(())
        });
    }
    tokio::time::sleep(WARM).await;
    upstream.begin_count();
    let begun = Instant::now();
    tokio::time::sleep(length).await;
    let ((busy, most), took) = (upstream.count(), begun.elapsed());
    while let Some(ended) = clients.join_next().await {
        ended.context("a client broke")??;
    }
    upstream.set_delay(Delay::None);
    Ok(Churn { used: busy.as_secs_f64() / (took.as_secs_f64() * f64::from(slots)), most })
}

/// Fills all slots with calls, closes all their clients at once, and fills the slots again.
///
/// The answer is the time from the last close to the moment at which no slot was in the way any more:
/// the upstream had seen all its calls closed, and the last new call that was refused had been.
pub(crate) async fn hang_up(target: &Target, slots: u32, upstream: &Upstream) -> anyhow::Result<Duration> {
    upstream.set_delay(Delay::Forever);
    let mut held = connect(target, slots).await?;
    let mut fresh = connect(target, slots).await?;
    for connection in &mut held {
        connection.send(&target.request).await?;
    }
    until(|| upstream.running() == slots).await.context("the slots were never all in use")?;
    drop(held);
    let closed = Instant::now();
    until(|| upstream.running() == 0).await.context("calls outlived their clients")?;
    let mut free = closed.elapsed();
    for connection in &mut fresh {
        connection.send(&target.request).await?;
    }
    while upstream.running() < slots {
        ensure!(closed.elapsed() < PATIENCE, "{} of {slots} slots came back", upstream.running());
        for connection in &mut fresh {
            if connection.was_answered()? {
                free = closed.elapsed();
                connection.send(&target.request).await?;
            }
        }
        tokio::task::yield_now().await;
    }
    drop(fresh);
    until(|| upstream.running() == 0).await.context("calls outlived their clients")?;
    upstream.set_delay(Delay::None);
    Ok(free)
}

async fn connect(target: &Target, count: u32) -> std::io::Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(count as usize);
    for _ in 0..count {
        connections.push(Connection::open(target.address).await?);
    }
    Ok(connections)
}

/// Looks again and again: a timer would be coarser than what is measured.
async fn until(reached: impl Fn() -> bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !reached() {
        ensure!(begun.elapsed() < PATIENCE, "waited {} s", PATIENCE.as_secs());
        tokio::task::yield_now().await;
    }
    Ok(())
}
