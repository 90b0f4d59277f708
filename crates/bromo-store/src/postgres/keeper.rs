//! The connection that looks after things: schema, this node's row, the rows of the dead.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::connect::Connector;
use super::link::Link;
use super::local::Local;
use super::migrations::{self, Schema, Stop};
use super::moves;
use super::nodes::{self, LOOK_EVERY, Watch};
use super::settings::{PostgresSettings, TRIP_MAX};
use crate::error::StoreError;

/// What is looked after.
pub(super) struct Duty {
    /// The tables.
    pub(super) schema: &'static Schema,
    /// Where to count what the dead had; none if this node has no row and watches nobody.
    pub(super) local: Option<Arc<Local>>,
}

/// Where the store stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// The schema was not seen yet.
    Waiting,
    /// This node's row is there.
    Serving,
    /// The schema is none that this program can work with.
    Refused(String),
    /// This node was taken for dead: what it had is others'. Only another process can go on.
    Dead,
    /// This node has said good-bye.
    Left,
}

/// Looks after things until the store says that it leaves, or this node is taken for dead.
pub(super) async fn keep(
    connector: Arc<Connector>,
    settings: PostgresSettings,
    duty: Duty,
    phase: watch::Sender<Phase>,
    mut leave: watch::Receiver<bool>,
) {
    loop {
        let (link, driver) = connector.connect_at_last().await;
        let ended = tokio::select! {
            _ = driver => continue,
            () = link.cut_by_us() => continue,
            ended = look_after(&link, &settings, &duty, &phase, &mut leave) => ended,
        };
        match ended {
            Ok(end) => {
                phase.send_replace(end);
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot look after the database; connecting again");
                // Whatever it was, not at full speed.
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

async fn look_after(
    link: &Arc<Link>,
    settings: &PostgresSettings,
    duty: &Duty,
    phase: &watch::Sender<Phase>,
    leave: &mut watch::Receiver<bool>,
) -> Result<Phase, StoreError> {
    if *phase.borrow() == Phase::Waiting {
        match migrations::migrate(link, duty.schema, settings.migrate).await {
            Ok(applied) if applied.is_empty() => {}
            Ok(applied) => tracing::info!(?applied, "the database was brought up to date"),
            Err(Stop::Refused(reason)) => return Ok(Phase::Refused(reason)),
            Err(stop) => return Err(stop.into()),
        }
        if duty.local.is_some() {
            nodes::register(link, settings).await?;
            if moves::is_unfinished(link).await? {
                nodes::remove(link, settings.node, None).await?;
                return Ok(Phase::Refused(moves::UNFINISHED.to_owned()));
            }
        }
        phase.send_replace(Phase::Serving);
    }
    let Some(local) = &duty.local else {
        // An error means that the store is gone.
        drop(leave.wait_for(|leave| *leave).await);
        return Ok(Phase::Left);
    };
    let renew_every = settings.dead_after.mul_f32(0.3);
    let mut ticks = interval(LOOK_EVERY.min(renew_every));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch::new(settings.dead_after);
    let mut renewed: Option<Instant> = None;
    loop {
        let leaves = tokio::select! {
            _ = ticks.tick() => false,
            leaves = leave.wait_for(|leave| *leave) => leaves.is_ok(),
        };
        if leaves {
            nodes::remove(link, settings.node, None).await?;
            return Ok(Phase::Left);
        }
        let pass = async {
            // Before the others, so that this node is none that stood still.
            if renewed.is_none_or(|renewed| renewed.elapsed() >= renew_every) {
                if !nodes::renew(link, settings.node).await? {
                    return Ok(false);
                }
                renewed = Some(Instant::now());
            }
            for dead in watch.look(link, settings.node).await? {
                if let Some(tasks) = nodes::remove(link, dead, Some(settings.dead_after)).await? {
                    local.recover(tasks);
                    tracing::warn!(node = %dead, tasks, "a node did not renew its row: its work goes to others");
                }
            }
            Ok::<_, StoreError>(true)
        };
        match timeout(TRIP_MAX, pass).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                tracing::error!("this node was taken for dead; it ends and charges nothing any more");
                return Ok(Phase::Dead);
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                return Err(StoreError::Unavailable { reason: format!("no answer within {TRIP_MAX:?}") });
            }
        }
    }
}
