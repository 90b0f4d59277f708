//! Three nodes and the servers they share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bromo_testbed::{Postgres, Proxy, Redis};
use http::Method;
use serde_json::{Value, json};

use crate::faults::wire::{Account, call};
use crate::history::{Link, What};
use crate::node::Node;
use crate::provider::Provider;
use crate::recorder::Recorder;

pub(crate) const NODES: usize = 3;
/// Plans, by their slots. All give the same credits, so that a change of plan is a change of slots alone.
pub(crate) const PLANS: [u32; 5] = [1, 2, 3, 4, 6];
const CREDITS: i64 = 1_000_000;
/// Slots and credits of a plan whose accounts run out.
pub(crate) const POOR: &str = "poor";
pub(crate) const POOR_SLOTS: u32 = 2;
const POOR_CREDITS: i64 = 60;
/// Everything is there in this time.
const READY_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    postgres: Arc<Postgres>,
    redis: Arc<Redis>,
    recorder: Arc<Recorder>,
    token: String,
}

impl Cluster {
    pub(crate) async fn start(folder: &Path, provider: &Provider, recorder: Arc<Recorder>) -> Self {
        let (postgres, redis) = servers().await;
        let database = format!("chaos_{}", std::process::id());
        postgres.execute("postgres", &format!("CREATE DATABASE {database}")).unwrap();
        let local = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let targets = [local(postgres.port()), local(redis.port()), provider.address()];
        let mut nodes = Vec::new();
        let mut ways = Vec::new();
        for index in 0..NODES {
            let links = targets.map(|target| Arc::new(Proxy::start(target).unwrap()));
            ways.push(Arc::clone(&links[Link::Provider as usize]));
            let settings = settings(index, &links, &database);
            std::fs::write(folder.join(format!("node-{index}.toml")), settings).unwrap();
            nodes.push(Node::new(index, folder, links, Arc::clone(&recorder)));
        }
        provider.is_reached_by(ways);
        let mut this = Self { nodes, postgres, redis, recorder, token: String::new() };
        // The first makes what all share: the schema, the token, the key that seals.
        this.nodes[0].start().await;
        this.ready(0).await;
        for node in &this.nodes[1..] {
            node.start().await;
        }
        this.all_ready().await;
        this.token = std::fs::read_to_string(folder.join("token")).unwrap().trim().to_owned();
        this
    }

    pub(crate) async fn all_ready(&self) {
        for index in 0..NODES {
            self.ready(index).await;
        }
    }

    async fn ready(&self, index: usize) {
        let deadline = tokio::time::Instant::now() + READY_MAX;
        loop {
            let admin = self.nodes[index].addresses().admin;
            let reply = call(admin, Method::GET, "/readyz", "", String::new()).await;
            if reply.as_ref().is_ok_and(|reply| reply.status() == 200) {
                return;
            }
            let log = || self.nodes[index].log();
            assert!(tokio::time::Instant::now() < deadline, "node {index}: {reply:?}\n{}", log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks one node's admin API; what it said instead if it did not do what it was asked.
    pub(crate) async fn admin(
        &self,
        node: usize,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<Value, String> {
        let admin = self.nodes[node].addresses().admin;
        let reply = call(admin, method, path, &self.token, body).await.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(reply.body());
        if reply.status() != 200 {
            return Err(format!("{}: {text}", reply.status()));
        }
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    pub(crate) async fn create_account(&self, name: &str, plan: &str) -> Account {
        let body = json!({ "name": name, "plan": plan }).to_string();
        let admin = self.nodes[0].addresses().admin;
        let made = call(admin, Method::POST, "/admin/v1/accounts", &self.token, body).await.unwrap();
        Account::read(made.body())
    }

    /// What a figure of every node comes to; none if it is not shown.
    pub(crate) async fn figure(&self, name: &str) -> Option<f64> {
        let mut sum = None;
        for node in &self.nodes {
            let metrics =
                call(node.addresses().admin, Method::GET, "/metrics", "", String::new()).await.ok()?;
            let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
            for line in metrics.lines().filter(|line| line.starts_with(name)) {
                let value: f64 = line.rsplit(' ').next()?.parse().ok()?;
                sum = Some(sum.unwrap_or(0.0) + value);
            }
        }
        sum
    }

    fn note(&self, server: Link, is_there: bool, words: &'static str) {
        self.recorder.record(What::Server { server, is_there, words });
    }

    /// Redis ends as in a crash, stays away, and has what it had.
    pub(crate) async fn restart_redis(&self, away: Duration) {
        self.note(Link::Redis, false, "killed");
        on(&self.redis, |redis| redis.kill()).await;
        tokio::time::sleep(away).await;
        on(&self.redis, |redis| redis.start_again()).await;
        self.note(Link::Redis, true, "back with its data");
    }

    pub(crate) async fn empty_redis(&self) {
        self.note(Link::Redis, false, "ends and loses all");
        on(&self.redis, |redis| redis.restart_empty()).await;
        self.note(Link::Redis, true, "back without data");
    }

    /// PostgreSQL ends as in a crash, stays away, and recovers.
    pub(crate) async fn restart_postgres(&self, away: Duration) {
        self.note(Link::Postgres, false, "killed");
        on(&self.postgres, |postgres| postgres.kill()).await;
        tokio::time::sleep(away).await;
        on(&self.postgres, |postgres| postgres.start_again()).await;
        self.note(Link::Postgres, true, "recovered");
    }
}

async fn servers() -> (Arc<Postgres>, Arc<Redis>) {
    let start = || (Postgres::start().unwrap(), Redis::start_durable().unwrap());
    let (postgres, redis) = tokio::task::spawn_blocking(start).await.unwrap();
    (Arc::new(postgres), Arc::new(redis))
}

async fn on<S: Send + Sync + 'static>(server: &Arc<S>, act: fn(&S) -> anyhow::Result<()>) {
    let server = Arc::clone(server);
    tokio::task::spawn_blocking(move || act(&server)).await.unwrap().unwrap();
}

fn settings(index: usize, links: &[Arc<Proxy>; 3], database: &str) -> String {
    let [postgres, redis, provider] = links.each_ref().map(|link| link.address());
    let plan = |name: &str, slots: u32, credits: i64| {
        format!(
            "[[plans]]\nname = \"{name}\"\ntitle = \"{name}\"\nusd_per_month = 1\ncredits = {credits}\n\
             slots = {slots}\nsupport = \"none\"\nself_serve = false\n"
        )
    };
    let plans: String = PLANS.iter().map(|slots| plan(&plan_of(*slots), *slots, CREDITS)).collect();
    format!(
        "[listen]\napi = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nthreads = 1\nshutdown_ms = 1500\n\
         [store]\nurl = \"postgres://bromo@{postgres}/{database}\"\n\
         [admission]\nurl = \"redis://{redis}\"\n\
         [admin]\ntoken_file = \"token\"\n[telemetry]\nformat = \"json\"\n\
         [limits]\nrequests_per_second = 1000000\n\
         [answers]\ndeadline_ms = 15000\nfirst_wait_ms = 20\nwait_max_ms = 100\n\
         [tasks]\nfirst_wait_ms = 20\nwait_max_ms = 200\ndeadline_ms = 15000\n\
         [breaker]\nfailures_max = 0\n\
         [webhooks]\nallow_networks = [\"127.0.0.0/8\"]\nfailures_max = 0\nschedule_s = [{}]\n\
         seal_key_file = \"seal-key\"\n\
         [endpoints.chatgpt]\nprovider = \"openai-chat\"\nbase_url = \"http://{provider}/node/{index}/v1\"\n\
         model = \"m\"\n{plans}{}",
        ["1"; 60].join(", "),
        plan(POOR, POOR_SLOTS, POOR_CREDITS),
    )
}

pub(crate) fn plan_of(slots: u32) -> String {
    format!("slots-{slots}")
}
