//! Who changes plans and grants credits while all goes on, and who reads the books at the end.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::clients::Clients;
use crate::cluster::{NODES, PLANS, plan_of};
use crate::history::{Entry, What};
use crate::recorder::Recorder;

/// Grants are told apart by their amounts.
const GRANT_MIN: i64 = 100;
/// So much more is enough for whatever is still to come.
const PLENTY: i64 = 100_000;

pub(crate) struct Operator {
    clients: Arc<Clients>,
    recorder: Arc<Recorder>,
    next_grant: i64,
}

impl Operator {
    pub(crate) const fn new(clients: Arc<Clients>, recorder: Arc<Recorder>) -> Self {
        Self { clients, recorder, next_grant: GRANT_MIN }
    }

    fn path(&self, account: usize, what: &str) -> String {
        format!("/admin/v1/accounts/{}/{what}", self.clients.customers[account].account.id)
    }

    /// Changes one account's plan up and down and gives another one credits, until `length` has passed.
    pub(crate) async fn work(
        &mut self,
        length: Duration,
        changing: usize,
        poor: usize,
        random: &mut fastrand::Rng,
    ) {
        let end = tokio::time::Instant::now() + length;
        while tokio::time::Instant::now() < end {
            let node = random.usize(..NODES);
            if random.u8(..3) > 0 {
                let slots = PLANS[random.usize(..PLANS.len())];
                self.set_plan(node, changing, slots).await;
            } else {
                self.grant(node, poor).await;
            }
            tokio::time::sleep(Duration::from_millis(random.u64(200..1_500))).await;
        }
    }

    /// Whether it was confirmed.
    pub(crate) async fn set_plan(&self, node: usize, account: usize, slots: u32) -> bool {
        let change = self.recorder.number();
        self.recorder.record(What::PlanSent { change, account, slots, node });
        let body = json!({ "plan": plan_of(slots) }).to_string();
        let done = self.clients.cluster.admin(node, Method::POST, &self.path(account, "plan"), body).await;
        match &done {
            Ok(_) => self.recorder.record(What::PlanConfirmed { change }),
            Err(said) => self.recorder.record(What::Refused { number: change, said: said.clone() }),
        }
        done.is_ok()
    }

    /// Gives an account that ran out as much as it will need.
    pub(crate) async fn grant_plenty(&mut self, node: usize, account: usize) -> bool {
        self.next_grant += PLENTY;
        self.grant(node, account).await
    }

    /// Whether it was confirmed.
    async fn grant(&mut self, node: usize, account: usize) -> bool {
        self.next_grant += 1;
        let (grant, credits) = (self.recorder.number(), self.next_grant);
        self.recorder.record(What::GrantSent { grant, account, credits, node });
        let body = json!({ "credits": credits }).to_string();
        let done = self.clients.cluster.admin(node, Method::POST, &self.path(account, "grants"), body).await;
        match &done {
            Ok(_) => self.recorder.record(What::GrantConfirmed { grant }),
            Err(said) => self.recorder.record(What::Refused { number: grant, said: said.clone() }),
        }
        done.is_ok()
    }

    /// Reads an account's balance and ledger.
    pub(crate) async fn read_books(&self, account: usize) {
        match self.books(account).await {
            Ok(books) => self.recorder.record(books),
            Err(said) => self.recorder.record(What::Refused { number: self.recorder.number(), said }),
        }
    }

    async fn books(&self, account: usize) -> Result<What, String> {
        let get = async |what: &str| {
            let path = self.path(account, what);
            let path = path.trim_end_matches('/');
            self.clients.cluster.admin(account % NODES, Method::GET, path, String::new()).await
        };
        let shown = get("").await?;
        let mut entries = Vec::new();
        let mut after = Some(0);
        while let Some(seq) = after {
            let page = get(&format!("ledger?after={seq}")).await?;
            entries.extend(page["entries"].as_array().unwrap().iter().map(entry));
            after = page["next"].as_u64();
        }
        let balance = shown["credits"].as_i64().unwrap();
        Ok(What::Ledger { account, balance, entries })
    }
}

fn entry(line: &Value) -> Entry {
    Entry {
        seq: line["seq"].as_u64().unwrap(),
        kind: line["kind"].as_str().unwrap().to_owned(),
        amount: line["amount"].as_i64().unwrap(),
        balance: line["balance"].as_i64().unwrap(),
        request: line["request"].as_str().map(str::to_owned),
    }
}
