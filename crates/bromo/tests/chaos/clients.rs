//! Clients of every account, through all nodes: answers now, tasks alone and in batches, hang-ups, the same key again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bromo_rules::header;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, NODES};
use crate::faults::wire::{Account, call};
use crate::history::{Ask, Limits, Number, Reply, TaskState, What};
use crate::provider::{REFUSE, STAY};
use crate::recorder::Recorder;

/// Acknowledged tasks of an account that are not known to have ended; past it no more are handed in.
const OPEN_MAX: usize = 40;
/// Longer than a freeze and than any answer: such a client learns what became of its request.
const PATIENCE_MS: u64 = 25_000;

/// An account with how it is used.
pub(crate) struct Customer {
    pub(crate) account: Account,
    /// Clients that ask for answers now, one call after the other.
    pub(crate) askers: usize,
    /// Clients that hand in tasks.
    pub(crate) submitters: usize,
}

/// A task as its client knows it.
#[derive(Clone)]
struct Known {
    body: Value,
    id: Option<String>,
    has_ended: bool,
}

pub(crate) struct Clients {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) customers: Vec<Customer>,
    recorder: Arc<Recorder>,
    webhook: String,
    /// By account and idempotency key.
    tasks: Mutex<BTreeMap<(usize, String), Known>>,
    stop: CancellationToken,
}

/// What a response said.
pub(crate) struct Said {
    request: Number,
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Clients {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        customers: Vec<Customer>,
        recorder: Arc<Recorder>,
        webhook: String,
    ) -> Arc<Self> {
        let (tasks, stop) = (Mutex::default(), CancellationToken::new());
        Arc::new(Self { cluster, customers, recorder, webhook, tasks, stop })
    }

    pub(crate) fn start(self: &Arc<Self>, random: &mut fastrand::Rng) -> Vec<JoinHandle<()>> {
        let mut all = Vec::new();
        for (index, customer) in self.customers.iter().enumerate() {
            for _ in 0..customer.askers {
                let (this, mut random) = (Arc::clone(self), random.fork());
                all.push(tokio::spawn(async move {
                    while !this.stop.is_cancelled() {
                        this.ask(index, &mut random).await;
                    }
                }));
            }
            for _ in 0..customer.submitters {
                let (this, mut random) = (Arc::clone(self), random.fork());
                all.push(tokio::spawn(async move {
                    while !this.stop.is_cancelled() {
                        this.hand_in_or_look(index, &mut random).await;
                    }
                }));
            }
        }
        all
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Sends a request and notes what becomes of it; hangs up after `patience`, if there is any.
    pub(crate) async fn send(
        &self,
        (node, account): (usize, usize),
        (method, path): (Method, &str),
        body: String,
        ask: Ask,
        patience: Option<Duration>,
    ) -> Option<Said> {
        let request: Number = self.recorder.number();
        let api = self.cluster.nodes[node].addresses().api;
        let key = &self.customers[account].account.key;
        self.recorder.record(What::Sent { request, node, account, ask });
        let call = call(api, method, path, key, body);
        let response = match patience {
            Some(patience) => tokio::time::timeout(patience, call).await.map_err(|_| true),
            None => Ok(call.await),
        };
        match response {
            Ok(Ok(response)) => {
                let status = response.status().as_u16();
                let headers = response.headers();
                let id = headers.get(header::REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
                let (limits, retry_after) = (limits(headers), headers.contains_key("retry-after"));
                let reply = Reply { status, id: id.to_owned(), limits, retry_after };
                self.recorder.record(What::Answered { request, reply });
                Some(Said {
                    request,
                    status,
                    body: serde_json::from_slice(response.body()).unwrap_or_default(),
                })
            }
            other => {
                self.recorder.record(What::Unanswered { request, hung_up: other.is_err() });
                None
            }
        }
    }

    /// One answer now.
    async fn ask(&self, account: usize, random: &mut fastrand::Rng) {
        let tag = format!("n{}", self.recorder.number());
        // Most go elsewhere after a while, or all would soon wait for one frozen node.
        let patience = match random.u8(..100) {
            0..15 => random.u64(1..400),
            15..80 => 2_000,
            _ => PATIENCE_MS,
        };
        let patience = Some(Duration::from_millis(patience));
        let said = self.ask_with(random.usize(..NODES), account, &tag, "", patience).await;
        let pause = match said {
            None => 20..100,
            Some(200) => 0..30,
            Some(_) => 20..150,
        };
        tokio::time::sleep(Duration::from_millis(random.u64(pause))).await;
    }

    pub(crate) async fn ask_with(
        &self,
        node: usize,
        account: usize,
        tag: &str,
        more: &str,
        patience: Option<Duration>,
    ) -> Option<u16> {
        let body = json!({ "prompt": format!("call {tag} of account {account} {more}"), "country": "US" });
        let to = (Method::POST, "/v1/monitor/chatgpt");
        let ask = Ask::Now { tag: tag.to_owned() };
        self.send((node, account), to, body.to_string(), ask, patience).await.map(|said| said.status)
    }

    /// As many answers at once as there are slots; how many came. Asks in turn at all nodes.
    pub(crate) async fn probe(&self, account: usize, slots: u32) -> u32 {
        let calls = (0..slots).map(async |number| {
            let tag = format!("p{}", self.recorder.number());
            self.ask_with(number as usize % NODES, account, &tag, STAY, None).await
        });
        let all = futures_util::future::join_all(calls).await;
        u32::try_from(all.iter().filter(|status| **status == Some(200)).count()).unwrap()
    }

    async fn hand_in_or_look(&self, account: usize, random: &mut fastrand::Rng) {
        let (open, doubted) = {
            let tasks = self.tasks.lock().unwrap();
            let own = tasks.iter().filter(|((of, _), _)| *of == account);
            let open: Vec<String> =
                own.clone().filter(|(_, one)| !one.has_ended).filter_map(|(_, one)| one.id.clone()).collect();
            let doubted: Vec<(String, Value)> = own
                .filter(|(_, one)| one.id.is_none())
                .map(|((_, key), one)| (key.clone(), one.body.clone()))
                .collect();
            (open, doubted)
        };
        let node = random.usize(..NODES);
        let patience = Some(Duration::from_millis(if random.u8(..5) == 0 { PATIENCE_MS } else { 1_500 }));
        if let Some((key, body)) = random.choice(doubted)
            && random.bool()
        {
            // The answer was lost: the same key tells whether the task is there.
            self.hand_in(node, account, vec![(key, body)], patience).await;
        } else if open.len() < OPEN_MAX && random.u8(..3) > 0 {
            let count = if random.u8(..5) == 0 { random.usize(2..8) } else { 1 };
            let tasks = (0..count).map(|_| self.new_task(account, random)).collect();
            self.hand_in(node, account, tasks, patience).await;
        } else if let Some(id) = random.choice(open) {
            self.look(node, account, &id, patience).await;
        }
        tokio::time::sleep(Duration::from_millis(random.u64(10..120))).await;
    }

    fn new_task(&self, account: usize, random: &mut fastrand::Rng) -> (String, Value) {
        let key = format!("t{}", self.recorder.number());
        let refuse = if random.u8(..12) == 0 { REFUSE } else { "" };
        let mut body = json!({
            "taskType": "CHATGPT",
            "payload": { "prompt": format!("task {key} of account {account} {refuse}"), "country": "US" },
            "priority": random.u8(1..=10), "idempotencyKey": key,
        });
        if random.u8(..3) > 0 {
            body["webhook"] = json!({ "url": self.webhook });
        }
        (key, body)
    }

    async fn hand_in(
        &self,
        node: usize,
        account: usize,
        tasks: Vec<(String, Value)>,
        patience: Option<Duration>,
    ) {
        {
            let mut known = self.tasks.lock().unwrap();
            for (key, body) in &tasks {
                let new = Known { body: body.clone(), id: None, has_ended: false };
                known.entry((account, key.clone())).or_insert(new);
            }
        }
        let (path, body) = match &tasks[..] {
            [(_, one)] => ("/v1/async/task", one.to_string()),
            many => {
                let bodies: Vec<&Value> = many.iter().map(|(_, body)| body).collect();
                ("/v1/async/task/batch", json!(bodies).to_string())
            }
        };
        let keys: Vec<String> = tasks.into_iter().map(|(key, _)| key).collect();
        let ask = Ask::Submit { keys: keys.clone() };
        let Some(said) = self.send((node, account), (Method::POST, path), body, ask, patience).await else {
            return;
        };
        let results = match said.body["results"].as_array() {
            Some(results) => results.clone(),
            None => vec![said.body; keys.len()],
        };
        for (key, result) in keys.into_iter().zip(results) {
            self.acknowledge(account, key, &result);
        }
    }

    fn acknowledge(&self, account: usize, key: String, result: &Value) {
        let mut tasks = self.tasks.lock().unwrap();
        let code = result["error"]["code"].as_str().unwrap_or_default();
        let id = match code {
            "" => result["task"]["id"].as_str(),
            "RESOURCE_ALREADY_EXISTS" => result["error"]["details"]["id"].as_str(),
            // Refused for good: it was never taken.
            "INSUFFICIENT_CREDITS" | "QUEUE_LIMIT_EXCEEDED" => {
                tasks.remove(&(account, key));
                return;
            }
            _ => None,
        };
        let Some(id) = id.map(str::to_owned) else { return };
        self.recorder.record(What::Acknowledged { account, key: key.clone(), id: id.clone() });
        if let Some(known) = tasks.get_mut(&(account, key)) {
            known.id = Some(id);
        }
    }

    /// Reads a task; whether it has ended and been told.
    async fn look(&self, node: usize, account: usize, id: &str, patience: Option<Duration>) -> bool {
        let path = format!("/v1/async/task/{id}");
        let to = (Method::GET, path.as_str());
        let Some(said) = self.send((node, account), to, String::new(), Ask::Look, patience).await else {
            return false;
        };
        let status = said.body["task"]["status"].as_str().unwrap_or_default().to_owned();
        let has_ended = matches!(&status[..], "COMPLETED" | "FAILED");
        let delivered = said.body["webhook"]["delivered"].as_bool();
        let task = TaskState { status, end: has_ended.then(|| end(&said.body)), delivered };
        self.recorder.record(What::TaskRead {
            request: said.request,
            account,
            id: id.to_owned(),
            http: said.status,
            task,
        });
        if has_ended {
            let mut tasks = self.tasks.lock().unwrap();
            if let Some(known) = tasks.values_mut().find(|known| known.id.as_deref() == Some(id)) {
                known.has_ended = true;
            }
        }
        // One that is not there will not come.
        said.status == 404 || (has_ended && delivered != Some(false))
    }

    /// Hands in once more what may or may not have been taken, until it is known.
    pub(crate) async fn settle(&self, deadline: tokio::time::Instant) {
        let mut node = 0;
        while tokio::time::Instant::now() < deadline {
            let doubted: Vec<(usize, String, Value)> = {
                let tasks = self.tasks.lock().unwrap();
                let doubted = tasks.iter().filter(|(_, known)| known.id.is_none());
                doubted.map(|((account, key), known)| (*account, key.clone(), known.body.clone())).collect()
            };
            if doubted.is_empty() {
                return;
            }
            for (account, key, body) in doubted {
                self.hand_in(node % NODES, account, vec![(key, body)], None).await;
                node += 1;
            }
        }
    }

    /// Reads every task until it has ended and its webhook is delivered, or for the last time.
    pub(crate) async fn read_all(&self, deadline: tokio::time::Instant) {
        let mut left: Vec<(usize, String)> = {
            let tasks = self.tasks.lock().unwrap();
            tasks.iter().filter_map(|((account, _), known)| Some((*account, known.id.clone()?))).collect()
        };
        let mut round = 0;
        while !left.is_empty() {
            let is_last = tokio::time::Instant::now() > deadline;
            let mut still = Vec::new();
            for (account, id) in left {
                round += 1;
                if !self.look(round % NODES, account, &id, None).await {
                    still.push((account, id));
                }
            }
            if is_last {
                return;
            }
            left = still;
            if !left.is_empty() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Whether none of the account's tasks waits or runs.
    pub(crate) async fn is_drained(&self, node: usize, account: usize) -> bool {
        let to = (Method::GET, "/v1/async/status");
        let said = self.send((node, account), to, String::new(), Ask::Look, None).await;
        said.is_some_and(|said| said.body["queuedTasks"] == 0 && said.body["processingTasks"] == 0)
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.tasks.lock().unwrap().values().filter(|known| known.id.is_some()).count()
    }
}

/// What of a task does not change any more once it has ended.
pub(crate) fn end(body: &Value) -> String {
    let mut text = String::new();
    for part in ["task", "response"] {
        write_sorted(&body[part], &mut text);
    }
    text
}

fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            for (name, value) in sorted {
                text.push_str(name);
                text.push(':');
                write_sorted(value, text);
                text.push(' ');
            }
        }
        other => text.push_str(&other.to_string()),
    }
}

fn limits(headers: &HeaderMap) -> Limits {
    [
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-concurrent-limit",
        "x-concurrent-current",
        "x-concurrent-remaining",
        "x-concurrency-limit",
        "x-concurrency-current",
        "x-concurrency-remaining",
    ]
    .map(|name| headers.get(name)?.to_str().ok()?.parse().ok())
}
