//! Clients that hand tasks in, one by one and in batches, and ask for answers now; they remember what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::faults::wire::{Account, call};
use crate::process::Process;
use crate::provider::REFUSE;

/// A task as a client knows it: by its key.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// Index of the account.
    pub(crate) account: usize,
    /// Once it was acknowledged.
    pub(crate) id: Option<String>,
    body: Value,
}

#[derive(Default)]
struct Memory {
    /// By idempotency key.
    tasks: BTreeMap<String, Known>,
    /// Request ids of calls that were answered now and paid for.
    answered: BTreeSet<String>,
}

pub(crate) struct Clients {
    webhook: String,
    memory: Mutex<Memory>,
}

/// A task that was acknowledged, as it reads at the end.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) account: usize,
    pub(crate) id: String,
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Clients {
    pub(crate) fn new(webhook: String) -> Self {
        Self { webhook, memory: Mutex::default() }
    }

    /// Starts clients of every account; each ends when the server is gone.
    pub(crate) fn start(
        self: &Arc<Self>,
        process: &Process,
        accounts: &[Account],
        clients: usize,
        random: &mut fastrand::Rng,
    ) -> Vec<JoinHandle<()>> {
        let api = process.api;
        let all = (0..accounts.len()).flat_map(|account| (0..clients).map(move |number| (account, number)));
        all.map(|(index, number)| {
            let (this, account, mut random) = (Arc::clone(self), accounts[index].clone(), random.fork());
            tokio::spawn(async move {
                loop {
                    let gone = match number {
                        0 => this.ask(api, index, &account).await,
                        _ => {
                            let count = if random.u8(..4) == 0 { random.usize(2..20) } else { 1 };
                            this.hand_in(api, index, &account, count, &mut random).await
                        }
                    };
                    if gone {
                        return;
                    }
                }
            })
        })
        .collect()
    }

    /// Hands new tasks in; whether the server is gone.
    async fn hand_in(
        &self,
        api: std::net::SocketAddr,
        index: usize,
        account: &Account,
        count: usize,
        random: &mut fastrand::Rng,
    ) -> bool {
        let keys: Vec<String> = (0..count).map(|_| format!("{:032x}", random.u128(..))).collect();
        let bodies: Vec<Value> = keys.iter().map(|key| self.task(key, index, random)).collect();
        {
            let mut memory = self.memory.lock().unwrap();
            for (key, body) in keys.iter().zip(&bodies) {
                let known = Known { account: index, id: None, body: body.clone() };
                memory.tasks.insert(key.clone(), known);
            }
        }
        let (path, body) = match &bodies[..] {
            [one] => ("/v1/async/task", one.to_string()),
            many => ("/v1/async/task/batch", json!(many).to_string()),
        };
        let Ok(reply) = call(api, Method::POST, path, &account.key, body).await else { return true };
        let status = reply.status().as_u16();
        if status == 503 {
            return false; // It is ending; nothing was taken, or the key tells later.
        }
        let answer: Value = serde_json::from_slice(reply.body()).unwrap();
        assert_eq!(status, 200, "{answer}");
        let results = answer["results"].as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
        let mut memory = self.memory.lock().unwrap();
        for (key, result) in keys.iter().zip(results) {
            assert_eq!(result["task"]["idempotencyKey"], *key, "{result}");
            memory.tasks.get_mut(key).unwrap().id = Some(result["task"]["id"].as_str().unwrap().to_owned());
        }
        false
    }

    fn task(&self, key: &str, index: usize, random: &mut fastrand::Rng) -> Value {
        let account = ["one", "two"][index];
        let refuse = if random.u8(..10) == 0 { REFUSE } else { "" };
        let prompt = format!("task {key} of account {account} {refuse}");
        let mut task = json!({
            "taskType": "CHATGPT", "payload": { "prompt": prompt, "country": "US" },
            "priority": random.u8(1..=10), "idempotencyKey": key,
        });
        if random.u8(..3) > 0 {
            task["webhook"] = json!({ "url": self.webhook });
        }
        task
    }

    /// Asks for an answer now; whether the server is gone.
    async fn ask(&self, api: std::net::SocketAddr, index: usize, account: &Account) -> bool {
        let prompt = format!("call of account {}", ["one", "two"][index]);
        let body = json!({ "prompt": prompt, "country": "US" }).to_string();
        let Ok(reply) = call(api, Method::POST, "/v1/monitor/chatgpt", &account.key, body).await else {
            return true;
        };
        match reply.status().as_u16() {
            200 => {
                let id = reply.headers()["x-request-id"].to_str().unwrap().to_owned();
                assert!(self.memory.lock().unwrap().answered.insert(id), "an id twice");
            }
            429 | 500 | 503 => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            other => panic!("a call was answered with {other}"),
        }
        false
    }

    /// Hands in once more what may or may not have been taken.
    pub(crate) async fn settle(&self, process: &Process, accounts: &[Account]) {
        let open: Vec<_> = {
            let memory = self.memory.lock().unwrap();
            memory
                .tasks
                .iter()
                .filter(|(_, known)| known.id.is_none())
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect()
        };
        for (key, known) in open {
            let bearer = &accounts[known.account].key;
            let reply =
                call(process.api, Method::POST, "/v1/async/task", bearer, known.body.to_string()).await;
            let reply = reply.unwrap();
            let answer: Value = serde_json::from_slice(reply.body()).unwrap();
            let id = match reply.status().as_u16() {
                200 => &answer["task"]["id"],
                409 => &answer["error"]["details"]["id"],
                other => panic!("{other}: {answer}"),
            };
            let id = id.as_str().unwrap().to_owned();
            self.memory.lock().unwrap().tasks.get_mut(&key).unwrap().id = Some(id);
        }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.memory.lock().unwrap().tasks.values().filter(|known| known.id.is_some()).count()
    }

    pub(crate) fn answered(&self) -> BTreeSet<String> {
        self.memory.lock().unwrap().answered.clone()
    }

    /// Every task that was acknowledged, as it reads now.
    pub(crate) async fn read_all(&self, process: &Process, accounts: &[Account]) -> Vec<Read> {
        let known: Vec<Known> = self.memory.lock().unwrap().tasks.values().cloned().collect();
        let mut all = Vec::with_capacity(known.len());
        for Known { account, id, .. } in known {
            let id = id.unwrap();
            let path = format!("/v1/async/task/{id}");
            let reply =
                call(process.api, Method::GET, &path, &accounts[account].key, String::new()).await.unwrap();
            let body = serde_json::from_slice(reply.body()).unwrap();
            all.push(Read { account, id, status: reply.status().as_u16(), body });
        }
        all
    }
}
