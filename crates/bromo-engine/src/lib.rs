//! The two ways: a question answered now, a task answered later. The only crate that knows store,
//! admission and providers all three.
//!
//! ```text
//! now:    caller -> admission (rate, credit hold, slot) -> provider -> charge -> answer -> log line
//! later:  caller -> store(task)      ... answered at once
//!         scheduler -> admission (credit hold, slot) -> provider -> store(result + charge + delivery)
//!         delivery -> sign -> customer's URL -> store(attempt)
//! ```

pub mod account;
pub mod answer;
mod call;
pub mod caller;
pub mod counters;
mod decide;
pub mod delivery;
pub mod expire;
pub mod feed;
mod guard;
pub mod in_force;
mod later;
pub mod log;
pub mod member;
pub mod page;
mod password;
mod peers;
pub mod playground;
mod random;
mod render;
pub mod result;
pub mod scheduler;
pub mod seal;
pub mod session;
pub mod settle;
pub mod task;
#[cfg(test)]
mod tests;
pub mod webhook;
pub mod webhook_test;
mod worker;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bromo_admission::{Admission, Bus};
use bromo_providers::catalog::Catalog;
use bromo_rules::credit::Prices;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::RequestId;
use bromo_rules::plan::PlanTable;
use bromo_rules::retry::Attempts;
use bromo_rules::time::Clock;
use bromo_rules::window::Limit;
use bromo_store::Store;
use tokio_util::task::TaskTracker;

pub use call::CallError;
pub use caller::Caller;
pub use decide::{DecideError, Decided};
pub use delivery::WebhookSettings;
pub use feed::{Feed, Watcher};
pub use later::Later;
pub use log::{LogQueue, Record};

use crate::caller::Callers;
use crate::counters::Counters;

/// Numbers of the engine that the configuration sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A call is answered or given up within this time: below the 300 s at which clients ask again.
    pub answer_deadline: Duration,
    /// Requests per second, key and route.
    pub rate: Limit,
    /// How long a stored page is kept.
    pub page_ttl: Duration,
    /// What links in answers begin with.
    pub public_url: String,
    /// The later way.
    pub tasks: TaskSettings,
    /// How ends of tasks are told.
    pub webhooks: WebhookSettings,
}

/// Numbers of the later way.
#[derive(Debug, Clone)]
pub struct TaskSettings {
    /// Tasks that an account may have waiting.
    pub queued_max: u64,
    /// Attempts at once on this node.
    pub running_max: usize,
    /// The schedule of attempts.
    pub attempts: Attempts,
    /// One attempt is answered or given up within this time.
    pub deadline: Duration,
    /// How long an ended task is kept.
    pub keep: Duration,
    /// How often all waiting tasks are looked at, whoever handed them in: for what other nodes did not tell. None where
    /// there are no other nodes.
    pub look: Option<Duration>,
}

/// What an engine is made of; nothing is global.
pub struct Parts {
    /// What survives a restart.
    pub store: Arc<dyn Store>,
    /// Who may start.
    pub admission: Arc<dyn Admission>,
    /// The way to the other nodes.
    pub bus: Arc<dyn Bus>,
    /// Who answers.
    pub catalog: Catalog,
    /// The plans.
    pub plans: Arc<PlanTable>,
    /// The prices.
    pub prices: Prices,
    /// The one clock.
    pub clock: Arc<dyn Clock>,
    /// Where log lines go.
    pub log: Arc<LogQueue>,
    /// Numbers.
    pub settings: Settings,
    /// Seals webhook secrets.
    pub seal: seal::Seal,
    /// Counts the work that shutdown waits for.
    pub tracker: TaskTracker,
}

/// Both ways, and the accounts that walk them.
pub struct Engine {
    parts: Arc<Parts>,
    callers: Callers,
    counters: Arc<Counters>,
    pub(crate) in_force: Arc<in_force::InForce>,
    pub(crate) later: Arc<Later>,
    /// Claims and attempts of tasks, and deliveries.
    pub(crate) workers: TaskTracker,
    /// Of members.
    pub(crate) passwords: password::Passwords,
    /// Who has guessed at them too often.
    pub(crate) guard: guard::Guard,
    /// Held while a webhook secret is replaced.
    pub(crate) rotating: tokio::sync::Mutex<()>,
    /// How long an endpoint's answers took lately, in milliseconds: a moving average.
    usual_ms: [AtomicU64; Endpoint::ALL.len()],
}

/// An endpoint is thought to take so long before its first answer.
const USUAL_AT_FIRST: Duration = Duration::from_secs(5);

impl Engine {
    /// An engine of these parts.
    pub fn new(parts: Parts) -> Self {
        let workers = TaskTracker::new();
        workers.close(); // Whoever waits for it waits until it is empty; it takes more all the same.
        let later = Arc::default();
        peers::listen(&*parts.bus, &later, parts.log.feed());
        let usual = u64::try_from(USUAL_AT_FIRST.as_millis()).unwrap_or(u64::MAX);
        Self {
            parts: Arc::new(parts),
            callers: Callers::default(),
            counters: Arc::default(),
            in_force: Arc::default(),
            later,
            workers,
            passwords: password::Passwords::default(),
            guard: guard::Guard::default(),
            rotating: tokio::sync::Mutex::default(),
            usual_ms: std::array::from_fn(|_| AtomicU64::new(usual)),
        }
    }

    /// An id for a request that arrives now.
    pub fn request_id(&self) -> RequestId {
        RequestId::new(self.parts.clock.now(), random::fast())
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.parts.clock
    }

    /// The plans.
    pub fn plans(&self) -> &PlanTable {
        &self.parts.plans
    }

    /// The prices.
    pub fn prices(&self) -> &Prices {
        &self.parts.prices
    }

    /// The numbers.
    pub fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    /// What stays on disk; the dashboard and the admin pages read it.
    pub fn store(&self) -> &dyn Store {
        &*self.parts.store
    }

    /// The clock, for a task of its own.
    pub fn shared_clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.parts.clock)
    }

    /// The counts of slots.
    pub fn admission(&self) -> &dyn Admission {
        &*self.parts.admission
    }

    /// Who answers.
    pub fn catalog(&self) -> &Catalog {
        &self.parts.catalog
    }

    /// Where log lines go.
    pub fn log(&self) -> &Arc<LogQueue> {
        &self.parts.log
    }

    /// What the later way shares and counts.
    pub fn later(&self) -> &Later {
        &self.later
    }

    /// Claims and attempts of tasks, and deliveries: shutdown waits for them.
    pub fn workers(&self) -> &TaskTracker {
        &self.workers
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
