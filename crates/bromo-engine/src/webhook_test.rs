//! A sample event, sent to an address right away and to nobody else: signed, guarded and bounded as a delivery is, but of
//! no task, not charged and not kept.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bromo_providers::webhook::{self, Reception, SendError, Sender};
use bromo_rules::credit::{Credits, Price};
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::AccountId;
use bromo_rules::task::{Priority, Task, TaskState};
use bromo_rules::time::Timestamp;
use bromo_store::StoreError;
use http::HeaderMap;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::Engine;
use crate::task::TaskBody;

/// Tests under way at once, over all accounts; of each account one.
pub const TESTS_MAX: usize = 16;
/// How long the sample's answer seems to have taken.
const SAMPLE_TOOK: Duration = Duration::from_millis(1234);
/// What the sample says.
const SAMPLE_RESPONSE: &str = r#"{"text":"This is a test of your webhook. No task was run and nothing is charged.","sources":[],"model":"sample","provider":"sandbox"}"#;

/// Sends tests, each account's one after the other.
#[derive(Debug)]
pub struct Tester {
    sender: Arc<Sender>,
    /// Accounts with a test under way.
    busy: Mutex<HashSet<AccountId>>,
}

/// What became of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// When it was sent.
    pub at: Timestamp,
    /// From the signature to the status, or to the fault.
    pub took: Duration,
    /// Names and values of the headers that it was signed with; none where signing is disabled.
    pub signed: Vec<(&'static str, String)>,
    /// What was sent.
    pub body: String,
    /// What the receiver answered, or why it did not.
    pub outcome: Result<Reception, SendError>,
}

/// Why no test was sent.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// The account has one under way, or too many others have.
    #[error("another test is under way")]
    Busy,
    /// The secret cannot be opened any more.
    #[error("the signing secret cannot be read; rotate it")]
    Secret,
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Tester {
    /// One that sends as deliveries are sent.
    pub fn new(sender: Arc<Sender>) -> Self {
        Self { sender, busy: Mutex::default() }
    }

    /// Sends a sample of a finished task to `url` and waits for the receiver's answer.
    ///
    /// # Errors
    /// [`TestError`]: nothing was sent.
    pub async fn send(&self, engine: &Engine, account: AccountId, url: &str) -> Result<Tested, TestError> {
        let _place = self.enter(account)?;
        let (task, at) = (engine.request_id(), engine.clock().now());
        let body = sample(task, account, at);
        let signed = match engine.store().lookup_secrets(account).await? {
            None => Vec::new(),
            Some(sealed) => {
                let secrets = engine.unsealed(account, &sealed).map_err(|_| TestError::Secret)?;
                secrets.sign(task, 1, at, body.as_bytes()).to_vec()
            }
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &signed {
            headers.extend(webhook::headers([(*name, value.clone())]));
        }
        let began = Instant::now();
        let deadline = began + engine.settings().webhooks.timeout;
        let outcome = self.sender.post(url, headers, body.clone().into(), deadline).await;
        if let Err(SendError::Forbidden { host, forbidden }) = &outcome {
            // The address is the operator's to know.
            tracing::warn!(%account, host, %forbidden, "a test's name leads to a forbidden address");
        }
        Ok(Tested { at, took: began.elapsed(), signed, body, outcome })
    }

    fn enter(&self, account: AccountId) -> Result<Place<'_>, TestError> {
        let mut busy = self.lock();
        if busy.len() >= TESTS_MAX || !busy.insert(account) {
            return Err(TestError::Busy);
        }
        Ok(Place { tester: self, account })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<AccountId>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A test under way.
struct Place<'a> {
    tester: &'a Tester,
    account: AccountId,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.tester.lock().remove(&self.account);
    }
}

/// The body of a delivery of a task that never was, marked as such.
fn sample(id: bromo_rules::task::TaskId, account: AccountId, now: Timestamp) -> String {
    #[derive(Serialize)]
    struct Sample<'a> {
        test: bool,
        #[serde(flatten)]
        body: TaskBody<'a>,
    }
    let began = Timestamp::from_millis(now.millis().saturating_sub_unsigned(SAMPLE_TOOK.as_millis() as u64));
    let task = Task {
        id,
        account,
        endpoint: Endpoint::Chatgpt,
        priority: Priority::DEFAULT,
        webhook: None,
        idempotency_key: None,
        price: Price { fixed: Credits::new(0), clusters_max: 0 },
        created_at: began,
        state: TaskState::Completed,
        attempts: 1,
        started_at: Some(began),
        ended_at: Some(now),
        charged: Credits::new(0),
    };
    let response = serde_json::from_str::<&RawValue>(SAMPLE_RESPONSE).ok();
    let sample = Sample { test: true, body: TaskBody { response, ..TaskBody::of(&task) } };
    serde_json::to_string(&sample).expect("writing to memory cannot fail, and every key is a string")
}
