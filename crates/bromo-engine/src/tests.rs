//! An engine on a store of its own, with a clock that is moved by hand.

mod member;
mod session;
mod webhook_test;

use std::sync::Arc;
use std::time::Duration;

use bromo_admission::{Alone, Local};
use bromo_providers::breaker::BreakerRules;
use bromo_providers::catalog::{Catalog, Line};
use bromo_providers::gate::Gate;
use bromo_providers::sandbox::Sandbox;
use bromo_rules::credit::Prices;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::member::{Member, Role};
use bromo_rules::plan::{Plan, PlanTable};
use bromo_rules::retry::Attempts;
use bromo_rules::time::{ManualClock, Timestamp};
use bromo_rules::webhook::Schedule;
use bromo_rules::window::Limit;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::delivery::WebhookSettings;
use crate::log::LogQueue;
use crate::seal::Seal;
use crate::{Engine, Parts, Settings, TaskSettings};

const PASSWORD: &str = "correct horse";

struct House {
    engine: Engine,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

impl House {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_760_000_000_000)));
        let attempts = Attempts::default();
        let gate = Arc::new(Gate::open());
        let sandbox = Line::new(None, Arc::new(Sandbox), gate, BreakerRules::NEVER, attempts);
        let engine = Engine::new(Parts {
            store: Arc::new(bromo_store::open_sqlite(folder.path()).unwrap()),
            admission: Arc::new(Local::new()),
            bus: Arc::new(Alone),
            catalog: Catalog::new([const { None }; Endpoint::ALL.len()], Arc::new(sandbox)),
            plans: Arc::new(plans()),
            prices: Prices::default(),
            clock: Arc::<ManualClock>::clone(&clock),
            log: Arc::new(LogQueue::default()),
            settings: settings(attempts),
            seal: Seal::new(&[7; Seal::KEY_BYTES]),
            tracker: TaskTracker::new(),
        });
        Self { engine, clock, _folder: folder }
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// An account on this plan, called like the plan, and its owner `owner@PLAN`.
    async fn owner(&self, plan: &str) -> Member {
        self.engine.sign_up(plan, &format!("owner@{plan}"), PASSWORD, plan).await.unwrap().1
    }

    /// One who was invited and joined.
    async fn join(&self, by: &Member, email: &str, role: Role) -> Member {
        let invitation = self.engine.invite(by, email, role).await.unwrap();
        self.engine.accept_invitation(invitation.reveal(), PASSWORD).await.unwrap()
    }
}

/// The default plans, and `pair`, which has two seats.
fn plans() -> PlanTable {
    let mut plans: Vec<Plan> = PlanTable::default().iter().cloned().collect();
    plans.push(Plan { name: "pair".to_owned(), seats: Some(2), ..plans[1].clone() });
    PlanTable::new(plans).unwrap()
}

fn settings(attempts: Attempts) -> Settings {
    let hour = Duration::from_secs(60 * 60);
    Settings {
        answer_deadline: hour,
        rate: Limit { requests: 10 },
        page_ttl: hour,
        public_url: "http://localhost".to_owned(),
        tasks: TaskSettings {
            queued_max: 10,
            running_max: 1,
            attempts,
            deadline: hour,
            keep: hour,
            look: None,
        },
        webhooks: WebhookSettings {
            schedule: Schedule::default(),
            timeout: hour,
            per_host_max: 1,
            fresh_max: 1,
            retry_max: 1,
            pending_max: 1,
            breaker: BreakerRules::NEVER,
        },
    }
}
