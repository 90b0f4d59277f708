//! The real program on free ports with a data folder of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bromo::Running;
use bromo::config::Config;
use bromo_engine::Engine;
use bromo_rules::account::Account;
use bromo_rules::key::KeyKind;
use bromo_rules::time::{ManualClock, Timestamp};
use bromo_testbed::{Database, Postgres, Redis};
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::{Customer, DEADLINE, Upstream};

/// 2026-11-25T12:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_795_608_000_000);

/// Every endpoint, answered by the sandbox.
const SANDBOX: [&str; 8] = [
    "chatgpt = { provider = \"sandbox\" }\n",
    "gemini = { provider = \"sandbox\" }\n",
    "copilot = { provider = \"sandbox\" }\n",
    "perplexity = { provider = \"sandbox\" }\n",
    "grok = { provider = \"sandbox\" }\n",
    "aimode = { provider = \"sandbox\" }\n",
    "google = { provider = \"sandbox\" }\n",
    "google-news = { provider = \"sandbox\" }\n",
];

/// What nodes share, for one server alone.
struct Servers {
    redis: Redis,
    database: Database<'static>,
}

impl Servers {
    fn start() -> Self {
        Self { redis: Redis::start().unwrap(), database: Postgres::shared().database().unwrap() }
    }

    /// Time there is the clock in hand.
    fn settings(&self) -> String {
        let (store, counts) = (self.database.url(), self.redis.url());
        format!("[store]\nurl = \"{store}\"\n[admission]\nurl = \"{counts}\"\nprefix = \"test:\"\n")
    }
}

/// Whether this run keeps its state in PostgreSQL and Redis. The same tests are run both ways.
pub(crate) fn in_shared_servers() -> bool {
    std::env::var_os("BROMO_IT").is_some_and(|deployment| deployment == "shared")
}

/// A running server. Dropping it fails the test if a slot is held or a charge went wrong.
pub(crate) struct Bromo {
    pub(crate) clock: Arc<ManualClock>,
    running: Option<Running>,
    /// Where state is kept if not in the folder.
    servers: Option<Servers>,
    folder: TempDir,
    endpoints: String,
    settings: String,
}

impl Bromo {
    /// A server whose ChatGPT is answered by `upstream`, all else by the sandbox.
    pub(crate) fn before(upstream: &Upstream) -> Self {
        Self::before_with(upstream, "")
    }

    /// A server that answers everything from the sandbox, with these settings on top.
    pub(crate) fn with(settings: &str) -> Self {
        Self::built(&SANDBOX.concat(), settings)
    }

    /// The same with these settings on top.
    pub(crate) fn before_with(upstream: &Upstream, settings: &str) -> Self {
        Self::with(&format!(
            "[endpoints.chatgpt]\nprovider = \"openai-chat\"\nbase_url = \"{}\"\nmodel = \"counted\"\n{settings}",
            upstream.base_url()
        ))
    }

    /// A server without any provider.
    pub(crate) fn bare() -> Self {
        Self::built("", "")
    }

    fn built(endpoints: &str, settings: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::at(START));
        let (endpoints, settings) = (endpoints.to_owned(), settings.to_owned());
        let servers = in_shared_servers().then(Servers::start);
        let mut bromo = Self { clock, running: None, servers, folder, endpoints, settings };
        bromo.start();
        bromo
    }

    /// A server that answers everything from the sandbox.
    pub(crate) fn sandbox() -> Self {
        Self::with("")
    }

    fn start(&mut self) {
        let data = self.folder.path().join("data");
        let base = format!(
            "[listen]\napi = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nthreads = 2\n\
             {}[admin]\ntoken_file = \"{data}/token\"\n\
             [limits]\nrequests_per_second = 1000000\n\
             [answers]\nfirst_wait_ms = 1\nwait_max_ms = 1\n\
             [webhooks]\nseal_key_file = \"{data}/seal-key\"\nallow_networks = [\"127.0.0.0/8\"]\n\
             [endpoints]\n{}",
            self.servers.as_ref().map_or_else(
                || format!("[store]\nurl = \"sqlite://{}\"\n", data.display()),
                Servers::settings
            ),
            self.endpoints,
            data = data.display(),
        );
        let file = self.folder.path().join("bromo.toml");
        std::fs::write(&file, &self.settings).unwrap();
        let config = Config::load(&base, Some(&file), &BTreeMap::new()).unwrap();
        let clock = Arc::<ManualClock>::clone(&self.clock);
        let running = tokio::task::block_in_place(|| bromo::start(&config, clock));
        self.running = Some(running.unwrap());
    }

    /// Ends it gently; its data stays.
    pub(crate) fn end(&mut self) {
        let running = self.running.take().unwrap();
        running.stop();
        tokio::task::block_in_place(|| running.wait());
    }

    /// Ends it gently and starts it anew on the same data.
    pub(crate) fn restart(&mut self) {
        self.end();
        self.start();
    }

    /// The same with other settings on top.
    pub(crate) fn restart_with(&mut self, settings: &str) {
        self.end();
        settings.clone_into(&mut self.settings);
        self.start();
    }

    /// Ends it, overwrites a file of its data with garbage, and starts it anew.
    pub(crate) fn damage(&mut self, file: &str) {
        self.end();
        std::fs::write(self.folder.path().join("data").join(file), "garbage ".repeat(4096)).unwrap();
        self.start();
    }

    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.running().engine
    }

    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("data/token")).unwrap().trim().to_owned()
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    /// A new account on `plan`, and its key.
    pub(crate) async fn customer(&self, plan: &str) -> Customer {
        let name = format!("account {:x}", fastrand());
        let made = self.engine().create_account(&name, plan).await.unwrap();
        Customer::new(self.running().api, made.account.id, made.key.reveal())
    }

    /// The same customer after a restart.
    pub(crate) fn again(&self, customer: &Customer) -> Customer {
        Customer::new(self.running().api, customer.account, &customer.key)
    }

    /// Another key of the same account.
    pub(crate) async fn key(&self, customer: &Customer, kind: KeyKind) -> Customer {
        let (_, key) = self.engine().create_key(customer.account, kind, None).await.unwrap();
        Customer::new(self.running().api, customer.account, key.reveal())
    }

    pub(crate) async fn account(&self, customer: &Customer) -> Account {
        self.engine().find_account(&customer.account.to_string()).await.unwrap()
    }

    /// Slots in use, over all accounts.
    pub(crate) fn in_use(&self) -> u32 {
        in_use(self.engine())
    }
}

/// Slots in use, over all accounts, as counted in this process.
fn in_use(engine: &Engine) -> u32 {
    let usage = engine.admission().usage();
    let usage = tokio::task::block_in_place(|| Handle::current().block_on(usage)).unwrap();
    usage.iter().map(|usage| usage.slots.current).sum()
}

/// Names need only differ.
fn fastrand() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

impl Drop for Bromo {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        let engine = Arc::clone(&running.engine);
        running.stop();
        tokio::task::block_in_place(|| running.wait());
        if std::thread::panicking() {
            return;
        }
        let end = std::time::Instant::now() + DEADLINE;
        let held = || in_use(&engine) > 0;
        while held() && std::time::Instant::now() < end {
            std::thread::yield_now();
        }
        assert!(!held(), "a slot is still held");
        assert_eq!(engine.counters().charges_short.get(), 0, "a held price was not covered");
        assert_eq!(engine.log().lost.get(), 0, "a log line was lost");
        assert_eq!(engine.later().counters.lost.get(), 0, "a claim was lost");
    }
}
