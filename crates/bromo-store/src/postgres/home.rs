//! The thread that all connections live on, with a runtime of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bromo_rules::id::NodeId;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::connect::Connector;
use super::house;
use super::keeper::{self, Duty, Phase};
use super::kept::{Keeper, Kept, kept};
use super::lane::{Job, Lane, lane};
use super::local::Local;
use super::settings::PostgresSettings;
use crate::error::StoreError;

/// Saying good-bye takes no longer.
const LEAVE_MAX: Duration = Duration::from_secs(5);

type Work = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// What will live on the thread.
pub(super) struct Plan {
    connector: Arc<Connector>,
    node: NodeId,
    connections: Vec<Kept>,
    keepers: Vec<Keeper>,
    work: Vec<Work>,
    beside: Vec<Work>,
}

impl Plan {
    /// Nothing yet.
    pub(super) const fn new(connector: Arc<Connector>, node: NodeId) -> Self {
        Self {
            connector,
            node,
            connections: Vec::new(),
            keepers: Vec::new(),
            work: Vec::new(),
            beside: Vec::new(),
        }
    }

    /// One more connection.
    pub(super) fn connection(&mut self) -> Kept {
        let (kept, keeper) = kept(&self.connector);
        self.connections.push(kept.clone());
        self.keepers.push(keeper);
        kept
    }

    /// One more lane, over so many connections of its own.
    pub(super) fn lane<J: Job>(&mut self, connections: usize) -> Lane<J> {
        let connections = (0..connections).map(|_| self.connection()).collect();
        let (lane, worker) = lane(connections, self.node);
        self.work.push(Box::new(move || Box::pin(worker.work())));
        lane
    }

    /// Has done what is to be done now and then, over a connection of its own.
    pub(super) fn keep_house(&mut self, local: Arc<Local>) {
        let (kept, node) = (self.connection(), self.node);
        self.beside.push(Box::new(move || Box::pin(house::keep(kept, local, node))));
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if there can be none.
    pub(super) fn start(
        self,
        name: &str,
        settings: PostgresSettings,
        duty: Duty,
    ) -> Result<Home, StoreError> {
        let none = |error: std::io::Error| StoreError::Unavailable {
            reason: format!("no thread for the database: {error}"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(none)?;
        let (phase, phases) = watch::channel(Phase::Waiting);
        let (leave, leaves) = watch::channel(false);
        let connections = self.connections;
        let lives = async move {
            let keeper = tokio::task::spawn_local(keeper::keep(
                Arc::clone(&self.connector),
                settings,
                duty,
                phase.clone(),
                leaves,
            ));
            let serving = phase.subscribe();
            let keepers = self.keepers.into_iter().map(|keeper| {
                let mut serving = serving.clone();
                tokio::task::spawn_local(async move {
                    if serving.wait_for(|phase| *phase == Phase::Serving).await.is_ok() {
                        keeper.keep().await;
                    }
                })
            });
            let mut keepers: Vec<_> = keepers.collect();
            keepers.push(keeper);
            keepers.extend(self.beside.into_iter().map(|work| tokio::task::spawn_local(work())));
            // They end when nobody can hand them anything any more.
            let work: Vec<_> = self.work.into_iter().map(|work| tokio::task::spawn_local(work())).collect();
            futures_util::future::join_all(work).await;
            for keeper in keepers {
                keeper.abort();
            }
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || LocalSet::new().block_on(&runtime, lives))
            .map_err(none)?;
        Ok(Home { connections, phases, leave, thread: Some(thread) })
    }
}

/// The thread and what can be known of it. Dropping it waits until its lanes have ended.
pub(super) struct Home {
    connections: Vec<Kept>,
    phases: watch::Receiver<Phase>,
    leave: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Home {
    /// Whether it can be worked with now: all connections are there.
    pub(super) fn is_ready(&self) -> bool {
        *self.phases.borrow() == Phase::Serving && self.connections.iter().all(|kept| kept.get().is_ok())
    }

    /// Returns when the store stands so; never if it never does.
    pub(super) async fn wait_for(&self, wanted: impl FnMut(&Phase) -> bool) -> Phase {
        let mut phases = self.phases.clone();
        match phases.wait_for(wanted).await.map(|phase| phase.clone()) {
            Ok(phase) => phase,
            Err(_) => std::future::pending().await,
        }
    }

    /// Returns when all connections have been there.
    pub(super) async fn wait_ready(&self) -> Result<(), StoreError> {
        match self.wait_for(|phase| *phase != Phase::Waiting).await {
            Phase::Serving => {}
            Phase::Refused(reason) => return Err(StoreError::Unavailable { reason }),
            phase => return Err(StoreError::Unavailable { reason: format!("the store is {phase:?}") }),
        }
        for kept in &self.connections {
            kept.up().await;
        }
        Ok(())
    }

    /// Has the node's row deleted.
    pub(super) async fn leave(&self) -> Result<(), StoreError> {
        self.leave.send_replace(true);
        let over = |phase: &Phase| matches!(phase, Phase::Left | Phase::Dead | Phase::Refused(_));
        match timeout(LEAVE_MAX, self.wait_for(over)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::Unavailable { reason: format!("not left within {LEAVE_MAX:?}") }),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take()
            // Nothing of ours drops it there, but waiting for oneself would never end.
            && thread.thread().id() != std::thread::current().id()
        {
            drop(thread.join());
        }
    }
}
