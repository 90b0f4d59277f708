//! The servers of this process: one, or the primaries of a Redis Cluster, each with links of its own.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use bromo_rules::id::AccountId;
use tokio::sync::{Notify, watch};

use crate::AdmissionError;
use crate::redis::link::Link;
use crate::redis::links::{Links, Via};
use crate::redis::server::Server;
use crate::redis::settings::OpenError;
use crate::redis::slots::{SLOTS, ShardId, SlotMap, View};
use crate::sync::{Mutex, lock};

/// Whether there is a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Away(String),
    Refused(OpenError),
    Connected,
}

impl State {
    fn new() -> Self {
        Self::Away("not connected yet".to_owned())
    }

    /// Why nothing can be asked.
    fn error(&self) -> AdmissionError {
        let reason = match self {
            Self::Away(reason) => reason.clone(),
            Self::Refused(error) => error.to_string(),
            Self::Connected => "the connection was lost".to_owned(),
        };
        AdmissionError { reason }
    }
}

/// One server.
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) server: Server,
    pub(crate) links: Arc<Links>,
    /// The node's link is of no use any more.
    pub(crate) broken: Notify,
    /// It said that an account is elsewhere.
    pub(crate) outdated: Notify,
    state: Mutex<State>,
}

impl Shard {
    fn new(id: ShardId, server: Server, timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            id,
            links: Arc::new(Links::new(server.clone(), timeout)),
            server,
            broken: Notify::new(),
            outdated: Notify::new(),
            state: Mutex::new(State::new()),
        })
    }

    pub(crate) fn away(&self) -> AdmissionError {
        lock(&self.state).error()
    }

    pub(crate) fn is_connected(&self) -> bool {
        *lock(&self.state) == State::Connected
    }

    /// A link for who asks from this thread.
    pub(crate) fn path_here(self: Arc<Self>) -> Result<Path, AdmissionError> {
        let (link, via) = self.links.here().ok_or_else(|| self.away())?;
        Ok(Path { shard: self, link, via })
    }

    /// The link that an ask took, or what is there in its place.
    pub(crate) fn path_of(self: Arc<Self>, via: Via) -> Result<Path, AdmissionError> {
        let link = self.links.of(via).ok_or_else(|| self.away())?;
        Ok(Path { shard: self, link, via })
    }
}

/// How a server is reached.
pub(crate) struct Path {
    pub(crate) shard: Arc<Shard>,
    pub(crate) link: Arc<Link>,
    pub(crate) via: Via,
}

impl Path {
    /// The link is of no use any more.
    pub(crate) fn broken(&self) {
        let Self { shard, link, .. } = self;
        let is_nodes = |nodes: Arc<Link>| Arc::ptr_eq(&nodes, link);
        if !shard.links.lost(link) && shard.links.nodes().is_some_and(is_nodes) {
            shard.broken.notify_one();
        }
    }
}

/// All of them.
pub(crate) struct Shards {
    timeout: Duration,
    known: RwLock<Known>,
    /// Of all that have accounts: connected if each is.
    pub(crate) state: watch::Sender<State>,
    /// There are others than before.
    pub(crate) changed: Notify,
}

struct Known {
    epoch: u64,
    map: SlotMap,
    /// First of all the one of the settings, which stays even if no account is there: it may be all that is left of a
    /// cluster whose servers got other addresses.
    shards: Vec<Arc<Shard>>,
    next: u32,
}

impl Shards {
    pub(crate) fn new(seed: Server, timeout: Duration) -> Self {
        let id = ShardId(0);
        let shards = vec![Shard::new(id, seed, timeout)];
        Self {
            timeout,
            known: RwLock::new(Known { epoch: 0, map: SlotMap::One(id), shards, next: 1 }),
            state: watch::Sender::new(State::new()),
            changed: Notify::new(),
        }
    }

    /// The one that has this account.
    pub(crate) fn of(&self, account: AccountId) -> Result<Arc<Shard>, AdmissionError> {
        let known = self.known();
        let shard = known.map.shard(account).and_then(|id| known.shards.iter().find(|shard| shard.id == id));
        shard.cloned().ok_or_else(|| AdmissionError {
            reason: "no server of the Redis Cluster serves the account's slot".to_owned(),
        })
    }

    pub(crate) fn all(&self) -> Vec<Arc<Shard>> {
        self.known().shards.clone()
    }

    pub(crate) fn map(&self) -> SlotMap {
        self.known().map.clone()
    }

    /// Any that is there: what is said to one of a cluster's servers is heard at all.
    pub(crate) fn any_link(&self) -> Option<Arc<Link>> {
        self.known().shards.iter().find_map(|shard| shard.links.nodes())
    }

    pub(crate) fn set_state(&self, shard: &Shard, state: State) {
        *lock(&shard.state) = state;
        self.sum_up();
    }

    /// What a server says of its cluster: the map, if that is another now.
    pub(crate) fn learn(&self, from: &Server, view: &View) -> Option<SlotMap> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // A cluster that was made anew begins to count anew.
        let served = known.shards.iter().any(|shard| shard.is_connected());
        if served && view.epoch < known.epoch {
            return None;
        }
        known.epoch = view.epoch;
        let before = known.map.clone();
        let mut slots = vec![None; SLOTS];
        for range in &view.ranges {
            let id = known.shard_at(&from.at(range), self.timeout);
            if let Some(slots) = slots.get_mut(usize::from(range.first)..=usize::from(range.last)) {
                slots.fill(Some(id));
            }
        }
        known.map = SlotMap::Slots(slots.into());
        if known.map == before {
            return None;
        }
        let Known { map, shards, .. } = &mut *known;
        let serving = map.shards();
        shards.retain(|shard| shard.id == ShardId(0) || serving.contains(&shard.id));
        let map = map.clone();
        drop(known);
        self.changed.notify_one();
        self.sum_up();
        Some(map)
    }

    fn sum_up(&self) {
        let known = self.known();
        let serving = known.map.shards();
        let states: Vec<State> = known
            .shards
            .iter()
            .filter(|shard| serving.contains(&shard.id))
            .map(|shard| lock(&shard.state).clone())
            .collect();
        drop(known);
        let worst = states.iter().find(|state| matches!(state, State::Refused(_)));
        let worst = worst.or_else(|| states.iter().find(|state| **state != State::Connected));
        self.state.send_replace(worst.cloned().unwrap_or(State::Connected));
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn shard_at(&mut self, server: &Server, timeout: Duration) -> ShardId {
        if let Some(shard) = self.shards.iter().find(|shard| shard.server.is_at(server)) {
            return shard.id;
        }
        let id = ShardId(self.next);
        self.next += 1;
        self.shards.push(Shard::new(id, server.clone(), timeout));
        id
    }
}
