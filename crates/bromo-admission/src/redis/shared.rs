//! What the callers' threads and Redis' own thread have in common.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use bromo_rules::id::AccountId;
use bromo_rules::time::Timestamp;
use tokio::sync::Notify;

use crate::bus::{Hear, Message};
use crate::redis::clock::{Boot, BootClock};
use crate::redis::command::{Answer, Command, Process, Script};
use crate::redis::leaving::Leavers;
use crate::redis::links::Via;
use crate::redis::node::{Node, Times};
use crate::redis::server::Server;
use crate::redis::settings::{Settings, Time};
use crate::redis::shards::{Path, Shards};
use crate::redis::wire;
use crate::sync::{Mutex, MutexGuard, lock};
use crate::{AdmissionError, Wake};

/// Messages that wait to be sent; past them they are lost.
const TOLD_MAX: usize = 4_096;

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) boot: BootClock,
    pub(crate) shards: Shards,
    node: Mutex<Node>,
    /// There may be something to do before the next tick.
    pub(crate) kicked: Notify,
    /// An account may have opened.
    pub(crate) opened: Notify,
    /// All accounts of this node.
    seen: Mutex<HashSet<AccountId, foldhash::fast::RandomState>>,
    pub(crate) leavers: Leavers,
    /// Accounts with a task that was denied here, and when a lease of theirs may expire.
    pub(crate) waiting: Mutex<HashMap<AccountId, Boot>>,
    pub(crate) told: Mutex<HashSet<Message>>,
    pub(crate) telling: Notify,
    pub(crate) wake: OnceLock<Wake>,
    pub(crate) hear: OnceLock<Hear>,
    pub(crate) repairs: AtomicU64,
    pub(crate) stopped: Notify,
}

impl Shared {
    pub(crate) fn new(settings: Settings, server: Server, boot: BootClock) -> Self {
        let shards = Shards::new(server, settings.timeout);
        let node = Node::new(settings.node, Times::DEFAULT, shards.map());
        Self {
            settings,
            boot,
            shards,
            node: Mutex::new(node),
            kicked: Notify::new(),
            opened: Notify::new(),
            seen: Mutex::default(),
            leavers: Leavers::default(),
            waiting: Mutex::default(),
            told: Mutex::default(),
            telling: Notify::new(),
            wake: OnceLock::new(),
            hear: OnceLock::new(),
            repairs: AtomicU64::new(0),
            stopped: Notify::new(),
        }
    }

    pub(crate) fn node(&self) -> MutexGuard<'_, Node> {
        lock(&self.node)
    }

    pub(crate) fn kick(&self) {
        self.kicked.notify_one();
    }

    /// The server process that has this account.
    pub(crate) fn process(&self, account: AccountId) -> Option<Process> {
        self.shards.of(account).ok()?.links.nodes().map(|link| link.process.clone())
    }

    /// For who asks from this thread.
    pub(crate) fn path_here(&self, account: AccountId) -> Result<Path, AdmissionError> {
        self.shards.of(account)?.path_here()
    }

    /// Under a test prefix, the time of the ask becomes the time.
    pub(crate) fn set_time(&self, now: Timestamp) {
        if let Time::Given(clock) = &self.settings.time {
            clock.set(now);
        }
    }

    /// Runs a script by this thread's link.
    pub(crate) async fn run(&self, account: AccountId, script: Script) -> Result<Answer, AdmissionError> {
        self.run_by(&self.path_here(account)?, account, script).await
    }

    /// Runs a script by the node's link, or that of an ask, on this server process if one is named.
    pub(crate) async fn run_on(
        &self,
        account: AccountId,
        script: Script,
        via: Via,
        process: Option<&Process>,
    ) -> Result<Answer, AdmissionError> {
        let path = self.shards.of(account)?.path_of(via)?;
        if process.is_some_and(|process| *process != path.link.process) {
            return Err(AdmissionError { reason: "Redis was restarted".to_owned() });
        }
        self.run_by(&path, account, script).await
    }

    /// Runs a script, and calls the account out if a task waits for what it did.
    pub(crate) async fn run_by(
        &self,
        path: &Path,
        account: AccountId,
        script: Script,
    ) -> Result<Answer, AdmissionError> {
        let now = match &self.settings.time {
            Time::Redis => None,
            Time::Given(clock) => Some(bromo_rules::time::Clock::now(&**clock)),
        };
        let (node, process) = (self.settings.node, path.link.process.clone());
        let command = Command { account, node, process, now, script };
        let value = match path.link.run(&command, &self.settings.prefix, self.settings.wait_replicas).await {
            Ok(value) => value,
            Err(error) if error.elsewhere => {
                path.shard.outdated.notify_one();
                return Ok(Answer::Elsewhere);
            }
            Err(error) => {
                if error.broken {
                    path.broken();
                }
                return Err(AdmissionError { reason: error.reason });
            }
        };
        let answer = wire::decode(&command.script, &value)
            .ok_or_else(|| AdmissionError { reason: format!("no answer of ours: {value:?}") })?;
        // A start that learns of a change calls the others out: this node is asking already.
        if answer.woke() && !matches!(command.script, Script::Start { .. }) {
            self.call_out(account);
        }
        Ok(answer)
    }

    /// A denied task of this account may start now.
    pub(crate) fn call_out(&self, account: AccountId) {
        lock(&self.waiting).remove(&account);
        if let Some(wake) = self.wake.get() {
            wake(account);
        }
    }

    pub(crate) fn see(&self, account: AccountId) {
        lock(&self.seen).insert(account);
    }

    pub(crate) fn seen(&self) -> Vec<AccountId> {
        let mut seen: Vec<_> = lock(&self.seen).iter().copied().collect();
        seen.sort_unstable();
        seen
    }

    pub(crate) fn tell(&self, message: Message) {
        let mut told = lock(&self.told);
        if told.len() < TOLD_MAX {
            told.insert(message);
        }
        drop(told);
        self.telling.notify_one();
    }

    pub(crate) fn channel(&self) -> String {
        format!("{}bus", self.settings.prefix)
    }
}
