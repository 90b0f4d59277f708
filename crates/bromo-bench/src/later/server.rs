//! bromo as the later way is measured: on every core, answered by the sandbox at once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use bromo_testbed::{Database, Postgres, Redis};

use crate::bromo::run;
use crate::client::Connection;
use crate::process::{Process, free_port};

/// Accounts that the load is spread over.
pub(crate) const ACCOUNTS: usize = 10;
/// Slots of each.
const SLOTS: u32 = 100;

/// Where servers are started.
pub(crate) struct Place<'a> {
    pub(crate) program: &'a Path,
    pub(crate) folder: PathBuf,
    /// PostgreSQL and Redis, where nodes share them.
    pub(crate) shared: Option<&'a Shared>,
    /// Whether other queues are measured on the same PostgreSQL.
    pub(crate) peers: bool,
}

/// What nodes share.
pub(crate) struct Shared {
    /// Ends with this process.
    postgres: &'static Postgres,
    redis: Redis,
}

impl Shared {
    /// PostgreSQL commits to the disk, as in production; Redis keeps nothing.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let postgres = Box::leak(Box::new(Postgres::start_durable()?));
        Ok(Self { postgres, redis: Redis::start()? })
    }

    /// A database of one's own, to be dropped behind whoever uses it: or the server cleans it up while others are
    /// measured. That also makes a checkpoint, so that all begin alike.
    pub(crate) fn database(&self) -> anyhow::Result<Database<'static>> {
        self.postgres.database()
    }

    /// The settings of a node with this database.
    pub(crate) fn settings(&self, database: &Database<'_>) -> String {
        let (store, counts) = (database.url(), self.redis.url());
        format!("[store]\nurl = \"{store}\"\n[admission]\nurl = \"{counts}\"\n")
    }
}

pub(crate) struct Server {
    _process: Process,
    _database: Option<Database<'static>>,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    folder: PathBuf,
    /// One of each account.
    pub(crate) keys: Vec<String>,
    /// Of an account on one slot.
    pub(crate) other_key: String,
    numbers: AtomicU64,
}

impl Server {
    pub(crate) fn start(place: &Place<'_>, settings: &str) -> anyhow::Result<Self> {
        let (program, folder) = (place.program, place.folder.as_path());
        let database = place.shared.map(Shared::database).transpose()?;
        let shared = place.shared.zip(database.as_ref());
        let shared = shared.map(|(shared, database)| shared.settings(database)).unwrap_or_default();
        // A data folder of an earlier run would be measured along.
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder)?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let plan = |name: &str, slots: u32| {
            format!(
                "[[plans]]\nname = \"{name}\"\nusd_per_month = 1\ncredits = 1000000000000\nslots = {slots}\n"
            )
        };
        let text = format!(
            "[listen]\napi = \"{address}\"\nadmin = \"{admin}\"\nthreads = 2\nshutdown_ms = 100\n\
             [limits]\nrequests_per_second = 1000000\nqueued_tasks_max = 1000000000\n\
             [endpoints]\nchatgpt = {{ provider = \"sandbox\" }}\n{settings}\n{shared}{}{}",
            plan("many", SLOTS),
            plan("one", 1)
        );
        std::fs::write(folder.join("bromo.toml"), text)?;
        let log = folder.join("out.log");
        let mut process = Process::unpinned(program, &["serve", "--config", "bromo.toml"], folder, &log)?;
        process.listening(address).with_context(|| format!("see {}", log.display()))?;
        let account = |name: &str, plan: &str| -> anyhow::Result<String> {
            let made = run(program, folder, &["account", "create", name, "--plan", plan])?;
            let key = made.get("key").and_then(serde_json::Value::as_str);
            Ok(key.context("an account without a key")?.to_owned())
        };
        let keys = (0..ACCOUNTS).map(|number| account(&format!("many-{number}"), "many"));
        let keys = keys.collect::<anyhow::Result<_>>()?;
        let other_key = account("one", "one")?;
        let folder = folder.to_owned();
        let numbers = AtomicU64::new(0);
        Ok(Self { _process: process, _database: database, address, admin, folder, keys, other_key, numbers })
    }

    /// Another number each time.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Counters and gauges as they are now, in the order asked for.
    pub(crate) async fn metrics<const N: usize>(&self, names: [&str; N]) -> anyhow::Result<[f64; N]> {
        let mut connection = Connection::open(self.admin).await?;
        let text =
            connection.fetch(b"GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").await?;
        let mut values = [0.0; N];
        for (value, name) in values.iter_mut().zip(names) {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            *value =
                line.and_then(|value| value.parse().ok()).with_context(|| format!("no metric {name}"))?;
        }
        Ok(values)
    }

    pub(crate) async fn completed(&self) -> anyhow::Result<f64> {
        Ok(self.metrics(["bromo_tasks_total{end=\"completed\"}"]).await?[0])
    }

    pub(crate) fn wal_mb(&self) -> f64 {
        let wal = self.folder.join("bromo-data/bromo.db-wal");
        wal.metadata().map_or(0.0, |file| file.len() as f64 / 1e6)
    }
}
