//! What is to be done now and then: counting, raising floors, partitions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bromo_rules::id::NodeId;
use tokio::time::{MissedTickBehavior, interval};

use super::kept::Kept;
use super::link::Link;
use super::local::{Local, Moves};
use super::rows::get;
use super::strays::Strays;
use super::tx::Tx;
use super::{attempt, floors, partitions, reap};
use crate::error::StoreError;

const EVERY: Duration = Duration::from_secs(1);
/// A look for the next task walks over all that was claimed since.
const FLOORS_EVERY: Duration = Duration::from_millis(200);
/// Partitions are made a day ahead.
const PARTITIONS_EVERY: Duration = Duration::from_secs(600);
/// The whole queue is read for that.
const UNKNOWN_EVERY: Duration = Duration::from_secs(60);
/// Deliveries come and go faster than the server's own cleaning, which comes once a minute, and looks for what is due
/// would walk over what is left of them.
const CLEAN: &str = "VACUUM (SKIP_LOCKED, TRUNCATE OFF) due";
/// Deliveries sent by this node since.
const CLEANED_AFTER: u64 = 20_000;
/// Counts that were disturbed in a row; the next is taken as it is.
const DISTURBED_MAX: u32 = 5;

const COUNT: &str = "SELECT
    (coalesce((SELECT sum(tasks) FROM queue_in), 0) - coalesce((SELECT sum(claimed + removed) FROM queue_out), 0))::bigint,
    (coalesce((SELECT sum(claimed) FROM queue_out), 0) - coalesce((SELECT sum(stopped) FROM queue_over), 0))::bigint,
    (coalesce((SELECT sum(booked) FROM queue_over), 0) - coalesce((SELECT sum(closed) FROM due_over), 0))::bigint";

/// Does it, whenever the connection is there.
pub(super) async fn keep(kept: Kept, local: Arc<Local>, node: NodeId) {
    let mut ticks = interval(FLOORS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut disturbed, mut kept_at) = (0, None::<Instant>);
    let (mut parted, mut looked) = (None::<Instant>, None::<Instant>);
    let mut strays = Strays::default();
    loop {
        ticks.tick().await;
        let Ok(link) = kept.get() else { continue };
        let drained = local.drained(floors::RAISED_AFTER);
        if !drained.is_empty()
            && let Err(error) = in_tx(&link, async |tx| floors::raise(tx, &drained).await).await
        {
            tracing::debug!(%error, "cannot raise floors");
        }
        if kept_at.is_some_and(|kept_at| kept_at.elapsed() < EVERY) {
            continue;
        }
        kept_at = Some(Instant::now());
        match count(&link, &local, disturbed >= DISTURBED_MAX).await {
            Ok(true) => disturbed = 0,
            Ok(false) => disturbed += 1,
            Err(error) => tracing::debug!(%error, "cannot count tasks and deliveries"),
        }
        let unreturned = local.unreturned();
        if !unreturned.is_empty()
            && let Err(error) = in_tx(&link, async |tx| attempt::put_back(tx, &unreturned, node).await).await
        {
            tracing::debug!(%error, "cannot put deliveries back");
            local.keep_for_later(&unreturned);
        }
        if let Err(error) = strays.keep(&link, &local, node).await {
            tracing::debug!(%error, "cannot look for what was left behind");
        }
        if local.have_sent(CLEANED_AFTER)
            && let Err(error) = link.client.batch_execute(CLEAN).await
        {
            tracing::debug!(%error, "cannot clean deliveries");
        }
        if looked.is_none_or(|looked| looked.elapsed() >= UNKNOWN_EVERY) {
            looked = Some(Instant::now());
            match in_tx(&link, reap::give_back_unknown).await {
                Ok(tasks) => local.recover(tasks),
                Err(error) => tracing::debug!(%error, "cannot look for tasks of unknown nodes"),
            }
        }
        if parted.is_none_or(|parted| parted.elapsed() >= PARTITIONS_EVERY) {
            parted = Some(Instant::now());
            if let Err(error) = partitions::keep(&link).await {
                tracing::warn!(%error, "cannot keep partitions");
            }
        }
    }
}

/// Counts; false if something was written meanwhile, and then nothing is changed.
async fn count(link: &Link, local: &Local, whatever: bool) -> Result<bool, StoreError> {
    let before = local.moves();
    let statement = link.prepare(COUNT).await?;
    let counted = link.send(&statement, &[]).await?;
    let Some(row) = counted.rows.first() else { return Ok(false) };
    if local.moves() != before && !whatever {
        return Ok(false);
    }
    local.set(Moves { waiting: get(row, 0)?, running: get(row, 1)?, pending: get(row, 2)? });
    Ok(true)
}

/// Runs it in a transaction.
pub(super) async fn in_tx<T>(
    link: &Link,
    work: impl AsyncFnOnce(&Tx<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let tx = Tx::new(link, "BEGIN", None);
    let done = match work(&tx).await {
        Ok(done) => tx.finish().await.map(|()| done),
        Err(error) => Err(error),
    };
    if done.is_err() {
        tx.roll_back().await;
    }
    done
}
