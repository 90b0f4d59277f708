//! Whatever happens, kill -9 included: no credit is lost, doubled or overdrawn (promise M1).

use std::collections::BTreeSet;
use std::io::BufRead;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::Mutex;

use bromo_rules::account::EntryKind;
use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, RequestId};
use bromo_store::{Accounts, Ledger};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Bromo, Customer, DEADLINE, Upstream, in_shared_servers, until};

/// What an answer costs here.
const PRICE: i64 = 7;
/// Entries read at once; more than these tests write.
const ENTRIES: u32 = 1_000_000;

/// The real program, in a process of its own.
struct Process {
    child: Child,
    api: SocketAddr,
    admin: SocketAddr,
}

impl Process {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bromo"))
            .args(["serve", "--config", "bromo.toml"])
            .current_dir(folder)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
        let listening: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        std::thread::spawn(move || lines.for_each(drop)); // A full pipe would stop it.
        let address = |name: &str| listening["fields"][name].as_str().unwrap().parse().unwrap();
        Self { api: address("api"), admin: address("admin"), child }
    }

    fn kill(mut self) {
        self.child.kill().unwrap(); // SIGKILL.
        self.child.wait().unwrap();
    }
}

async fn create_account(process: &Process, folder: &Path) -> Customer {
    let token = std::fs::read_to_string(folder.join("data/token")).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", token.trim())).unwrap());
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let body = json!({ "name": "acme", "plan": "lite" }).to_string();
    let made = crate::support::call(process.admin, Method::POST, "/admin/v1/accounts", headers, body).await;
    let account = made.body["account"].as_str().unwrap().parse().unwrap();
    Customer::new(process.api, account, made.body["key"].as_str().unwrap())
}

/// Asks until the server is gone; the ids of its 200s go to `answered`.
async fn ask_until_gone(customer: Customer, answered: Arc<Mutex<BTreeSet<String>>>) {
    loop {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", customer.key)).unwrap());
        let url = format!("http://{}/v1/monitor/chatgpt", customer.address());
        let body = r#"{"prompt":"x"}"#.into();
        let reply =
            bromo_providers::client::request(Method::POST, &url, headers, body, Instant::now() + DEADLINE)
                .await;
        let Ok(reply) = reply else { return };
        if reply.status() == 200 {
            assert_eq!(reply.headers()["x-credits-charged"], PRICE.to_string().as_str());
            let id = reply.headers()["x-request-id"].to_str().unwrap().to_owned();
            assert!(answered.lock().unwrap().insert(id), "an id twice");
        } else {
            assert!(matches!(reply.status().as_u16(), 429 | 503), "{reply:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_200_that_was_seen_is_in_the_ledger_once_after_kill_9() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = format!(
        "[listen]\napi = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[store]\nurl = \"sqlite://data\"\n\
         [admin]\ntoken_file = \"data/token\"\n[telemetry]\nformat = \"json\"\n[limits]\nrequests_per_second = 1000000\n\
         [endpoints.chatgpt]\nprovider = \"openai-chat\"\nbase_url = \"{}\"\nmodel = \"m\"\n",
        upstream.base_url()
    );
    std::fs::write(folder.path().join("bromo.toml"), settings).unwrap();
    let answered = Arc::<Mutex<BTreeSet<String>>>::default();
    let mut customer: Option<Customer> = None;
    for round in 1..=4 {
        let process = Process::start(folder.path());
        let caller = match customer.take() {
            Some(known) => Customer::new(process.api, known.account, &known.key),
            None => create_account(&process, folder.path()).await,
        };
        customer = Some(caller.clone());
        let callers: Vec<_> =
            (0..12).map(|_| tokio::spawn(ask_until_gone(caller.clone(), Arc::clone(&answered)))).collect();
        until("answers come", || answered.lock().unwrap().len() >= round * 60).await;
        process.kill();
        for caller in callers {
            caller.await.unwrap();
        }
    }
    let account = customer.unwrap().account;
    let charged = check_ledger(&folder.path().join("data"), account).await;
    let answered = answered.lock().unwrap();
    for id in answered.iter() {
        assert!(charged.contains(&id.parse::<RequestId>().unwrap()), "{id} was answered and not charged");
    }
    // Beyond those seen, at most what was in flight at each kill: one call a caller.
    assert!(charged.len() - answered.len() <= 4 * 12, "{} charged, {} seen", charged.len(), answered.len());
    assert!(charged.len() as u64 <= upstream.begun());
}

/// Opens the data of a dead process: entries without gaps, each request once, and their sum the balance.
async fn check_ledger(data: &Path, account: AccountId) -> BTreeSet<RequestId> {
    let store = bromo_store::open_sqlite(data).unwrap();
    let entries = store.list_entries(account, 0, ENTRIES).await.unwrap();
    let account = store.lookup_account(account).await.unwrap().unwrap();
    let mut balance = Credits::ZERO;
    let mut charged = BTreeSet::new();
    for (index, entry) in entries.iter().enumerate() {
        balance += entry.amount;
        assert_eq!((entry.seq, entry.balance), (index as u64 + 1, balance));
        assert!(balance >= Credits::ZERO);
        if entry.kind == EntryKind::Charge {
            assert_eq!(entry.amount, Credits::new(-PRICE));
            assert!(charged.insert(entry.request.unwrap()), "charged twice");
        }
    }
    assert_eq!(account.balance.total(), balance);
    charged
}

/// What a customer does in the property test.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Asks and waits.
    Answered,
    /// Asks what the provider fails at.
    Failed,
    /// Asks and hangs up at once, or a little later.
    HangUp(u8),
    /// An operator gives credits.
    Grant(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Answered),
        2 => Just(Step::Failed),
        3 => (0u8..5).prop_map(Step::HangUp),
        1 => (1u8..40).prop_map(Step::Grant),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_interleaving_of_ends_loses_doubles_or_overdraws_a_credit() {
    let cases = Config { cases: 12, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        TestRunner::new(cases)
            .run(&proptest::collection::vec(step(), 20..80), |steps| {
                runtime.block_on(interleave(steps));
                Ok(())
            })
            .unwrap();
    });
}

async fn interleave(steps: Vec<Step>) {
    // Few slots and a balance that runs out: refusals of every kind happen on the way.
    let bromo = Bromo::with(
        "[[plans]]\nname = \"small\"\nslots = 4\ncredits = 60\n[answers]\nattempts_max = 1\n[breaker]\nfailures_max = 0\n",
    );
    let customer = bromo.customer("small").await;
    let mut granted = 0;
    let mut tasks = Vec::new();
    for step in steps {
        let customer = customer.clone();
        match step {
            Step::Answered => tasks.push(tokio::spawn(async move {
                let reply = customer.ask("[sandbox latency_ms=1] x").await;
                if reply.status == 200 { reply.number("x-credits-charged") } else { 0 }
            })),
            Step::Failed => tasks.push(tokio::spawn(async move {
                assert_ne!(customer.ask("[sandbox latency_ms=1 fail=broken] x").await.status, 200);
                0
            })),
            Step::HangUp(turns) => {
                let stream = customer.begin("[sandbox latency_ms=1] x").await;
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                drop(stream);
            }
            Step::Grant(credits) => {
                granted += i64::from(credits);
                bromo.engine().grant(customer.account, Credits::new(credits.into())).await.unwrap();
            }
        }
    }
    let mut paid = 0;
    for task in tasks {
        paid += task.await.unwrap();
    }
    until("no slot is held", || bromo.in_use() == 0).await;
    let balance = bromo.account(&customer).await.balance.total().get();
    let charged = 60 + granted - balance;
    assert!(balance >= 0 && charged >= paid, "{balance} left, {charged} charged, {paid} paid for");
    // The log tells the same story: a charge is a 200, whether the client stayed or not.
    // Its lines come a moment after their slots are free.
    let end = Instant::now() + DEADLINE;
    let lines = loop {
        let lines = crate::admin::log_lines(&bromo, &customer).await;
        let logged: i64 = lines.iter().map(|line| line["credits"].as_i64().unwrap()).sum();
        if logged == charged {
            break lines;
        }
        assert!(Instant::now() < end && logged < charged, "{logged} logged, {charged} charged");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert!(lines.iter().all(|line| line["credits"] == 0 || line["status"] == 200));
    let entries = bromo.engine().store().list_entries(customer.account, 0, ENTRIES).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.amount.get()).sum::<i64>(), balance);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_read_is_set_aside_and_answers_go_on() {
    if in_shared_servers() {
        return; // There is no file then.
    }
    let mut bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    customer.ask("x").await;
    bromo.damage("logs.db");
    assert_eq!(
        Customer::new(bromo.running().api, customer.account, &customer.key).ask("x").await.status,
        200
    );
    until("its line is written", || bromo.engine().log().written.get() == 1).await;
    assert_eq!(crate::admin::log_lines(&bromo, &customer).await.len(), 1);
}
