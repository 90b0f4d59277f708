//! Several nodes in this process, over a PostgreSQL and a Redis of their own. Time is the machine's: the servers keep
//! theirs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bromo::Running;
use bromo::clock::SystemClock;
use bromo::config::Config;
use bromo_testbed::{Database, Postgres, Redis};
use tempfile::TempDir;

use super::{Customer, Upstream};

pub(crate) struct Cluster {
    pub(crate) redis: Redis,
    database: Database<'static>,
    nodes: Vec<Option<Running>>,
    folder: TempDir,
    settings: String,
}

impl Cluster {
    /// So many nodes whose ChatGPT is answered by `upstream`, all else by the sandbox, with these settings on top.
    pub(crate) async fn before(upstream: &Upstream, nodes: usize, settings: &str) -> Self {
        let mut cluster = Self {
            redis: Redis::start().unwrap(),
            database: Postgres::shared().database().unwrap(),
            nodes: Vec::new(),
            folder: TempDir::new().unwrap(),
            settings: format!(
                "{settings}\n[endpoints]\ngemini = {{ provider = \"sandbox\" }}\n\
                 [endpoints.chatgpt]\nprovider = \"openai-chat\"\nbase_url = \"{}\"\nmodel = \"counted\"\n",
                upstream.base_url()
            ),
        };
        for _ in 0..nodes {
            cluster.add("");
        }
        cluster
    }

    /// One more node, with these settings in place of others.
    pub(crate) fn add(&mut self, settings: &str) -> usize {
        self.nodes.push(Some(self.try_start(settings).unwrap()));
        self.nodes.len() - 1
    }

    pub(crate) fn try_start(&self, settings: &str) -> anyhow::Result<Running> {
        let data = self.folder.path().display();
        let base = format!(
            "[listen]\napi = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nthreads = 1\nshutdown_ms = 5000\n\
             [store]\nurl = \"{}\"\n[admission]\nurl = \"{}\"\n\
             [admin]\ntoken_file = \"{data}/token\"\n[limits]\nrequests_per_second = 1000000\n\
             [answers]\nfirst_wait_ms = 1\nwait_max_ms = 1\n\
             [webhooks]\nseal_key_file = \"{data}/seal-key\"\nallow_networks = [\"127.0.0.0/8\"]\n{}",
            self.database.url(),
            self.redis.url(),
            self.settings,
        );
        let file = self.folder.path().join("bromo.toml");
        std::fs::write(&file, settings).unwrap();
        let config = Config::load(&base, Some(&file), &BTreeMap::new())?;
        tokio::task::block_in_place(|| bromo::start(&config, Arc::new(SystemClock::start())))
    }

    /// The database's address.
    pub(crate) fn store_url(&self) -> String {
        self.database.url()
    }

    /// Where the nodes have their files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn node(&self, index: usize) -> &Running {
        self.nodes[index].as_ref().unwrap()
    }

    pub(crate) fn end(&mut self, index: usize) {
        let running = self.nodes[index].take().unwrap();
        running.stop();
        tokio::task::block_in_place(|| running.wait());
    }

    pub(crate) fn admin(&self, index: usize) -> SocketAddr {
        self.node(index).admin
    }

    /// A new account on `plan`, made at the first node.
    pub(crate) async fn customer(&self, plan: &str) -> Customer {
        let made = self.node(0).engine.create_account("acme", plan).await.unwrap();
        Customer::new(self.node(0).api, made.account.id, made.key.reveal())
    }

    /// The same customer at another node.
    pub(crate) fn at(&self, index: usize, customer: &Customer) -> Customer {
        Customer::new(self.node(index).api, customer.account, &customer.key)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for index in 0..self.nodes.len() {
            if self.nodes[index].is_some() {
                self.end(index);
            }
        }
    }
}
