//! Due deliveries: sign, send, record the attempt. What is sent when is the store's to say, how much at once is here.
//!
//! Fresh deliveries and retries have places of their own, each host only so many of them, and each account no more than a
//! share: receivers that hang hold their account's share and delay nobody else. A host that keeps failing for an account
//! has that circuit opened: the account's deliveries to it wait, none is dropped, and other accounts' are not concerned.
//!
//! Source: docs/webhooks.md#deliveries

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bromo_providers::breaker::{Breaker, BreakerRules, Leave, Verdict};
use bromo_providers::webhook::{self, Reception, SendError, Sender};
use bromo_rules::id::AccountId;
use bromo_rules::time::Timestamp;
use bromo_rules::webhook::{Receipt, Schedule};
use bromo_store::{DeliveryAttempt, Due, Lane, Next, StoreError};
use http::HeaderMap;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::task::TaskBody;
use crate::worker::written;
use crate::{Engine, random};

/// Deliveries that are taken in one go.
const TAKE_MAX: usize = 64;
/// How often the clock is looked at while deliveries wait.
const TICK: Duration = Duration::from_millis(20);
/// The places of a lane that one account may use: one in so many.
const ACCOUNT_SHARE: usize = 4;
/// Deliveries of one account to one host that are taken in one go.
const GRANT_MAX: usize = 8;
/// Circuits that are remembered with nothing under way; past it they are forgotten.
const CIRCUITS_IDLE_MAX: usize = 10_000;
/// While the next delivery is due later than this, the clock is looked at less often.
const SOON: Duration = Duration::from_secs(1);
const SLOW_TICK: Duration = Duration::from_millis(100);
/// Bytes of an error's text in the delivery log.
const ERROR_BYTES_MAX: usize = 500;

/// How ends of tasks are told.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// When a failed attempt is made again.
    pub schedule: Schedule,
    /// One attempt, from the look-up of the name to the answer.
    pub timeout: Duration,
    /// Attempts at one host at once.
    pub per_host_max: usize,
    /// Fresh deliveries at once.
    pub fresh_max: usize,
    /// Retries at once.
    pub retry_max: usize,
    /// Deliveries that an account may have pending; past it the oldest retrying one gives up.
    pub pending_max: u64,
    /// When a host's circuit opens.
    pub breaker: BreakerRules,
}

/// Sends what is due until `stop`; attempts that still run at `cut` are put back.
pub async fn run(engine: Arc<Engine>, sender: Arc<Sender>, stop: CancellationToken, cut: CancellationToken) {
    let deliveries = Arc::new(Deliveries {
        engine,
        sender,
        receivers: Receivers::default(),
        inside: Default::default(),
        cut,
    });
    while !stop.is_cancelled() {
        let took = match deliveries.take().await {
            Ok(took) => took,
            Err(error) => {
                tracing::error!(%error, "cannot read due deliveries");
                false
            }
        };
        if took {
            tokio::task::yield_now().await;
            continue;
        }
        let next = deliveries.engine.store().next_due().await.ok().flatten();
        let soon = deliveries.engine.clock().now().plus(SOON);
        let look = deliveries.engine.settings().tasks.look;
        let tick = match next {
            Some(next) if next <= soon => TICK,
            Some(_) => SLOW_TICK,
            None => look.unwrap_or(SLOW_TICK),
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = deliveries.engine.later.due.notified() => {}
            () = tokio::time::sleep(tick), if next.is_some() || look.is_some() => {}
        }
    }
}

struct Deliveries {
    engine: Arc<Engine>,
    sender: Arc<Sender>,
    receivers: Receivers,
    /// Attempts that are not on disk yet, by lane.
    inside: [AtomicUsize; 2],
    cut: CancellationToken,
}

impl Deliveries {
    /// Takes what is due and has a place; whether there was any.
    async fn take(self: &Arc<Self>) -> Result<bool, StoreError> {
        let settings = &self.engine.settings().webhooks;
        let mut any = false;
        for (lane, places) in [(Lane::Fresh, settings.fresh_max), (Lane::Retry, settings.retry_max)] {
            let free = places.saturating_sub(self.inside[lane as usize].load(Ordering::Relaxed));
            if free == 0 {
                continue;
            }
            let now = self.engine.clock().now();
            let share = (places / ACCOUNT_SHARE).max(1);
            let bounds = Bounds { lane, share, per_host_max: settings.per_host_max, now };
            let granted = Mutex::new(Granted::default());
            let room = |account: AccountId, host: &str| {
                let mut granted = granted.lock().unwrap_or_else(PoisonError::into_inner);
                self.receivers.grant(bounds, &mut granted, account, host)
            };
            for due in self.engine.store().take_due(lane, now, &room, free.min(TAKE_MAX)).await? {
                any = true;
                self.begin(lane, due, now);
            }
        }
        Ok(any)
    }

    fn begin(self: &Arc<Self>, lane: Lane, due: Due, now: Timestamp) {
        let rules = self.engine.settings().webhooks.breaker;
        let receiver = (due.task.account, due.host.clone());
        let Some(leave) = self.receivers.enter(lane, &receiver, rules, now) else {
            // The circuit opened since its room was asked.
            self.engine.store().put_back(&[due.seq]);
            return;
        };
        self.inside[lane as usize].fetch_add(1, Ordering::Relaxed);
        let this = Arc::clone(self);
        self.engine.workers.spawn(async move {
            let (attempt, verdict) = this.attempt(&due).await;
            // The receiver has answered: its place is free while the record is on its way to the disk.
            this.receivers.leave(lane, &receiver, leave, verdict, this.engine.clock().now());
            this.engine.later.due.notify_one();
            if let Some((attempt, next)) = attempt {
                let store = this.engine.store();
                // A record that was cut off is an attempt that never was: it is made again at the next start.
                written(&this.cut, || store.record_attempt(due.seq, attempt.clone(), next)).await;
            }
            this.inside[lane as usize].fetch_sub(1, Ordering::Relaxed);
            this.engine.later.due.notify_one();
        });
    }

    /// One attempt, from the signature to the answer, and what follows it; none if it was cut and put back.
    async fn attempt(&self, due: &Due) -> (Option<(DeliveryAttempt, Next)>, Verdict) {
        let (began, at) = (Instant::now(), self.engine.clock().now());
        let settings = &self.engine.settings().webhooks;
        let sent = tokio::select! {
            biased;
            () = self.cut.cancelled() => {
                self.engine.store().put_back(&[due.seq]);
                return (None, Verdict::Unknown);
            }
            sent = self.send(due, at, began + settings.timeout) => sent,
        };
        let counters = &self.engine.later.counters;
        let (receipt, asked, verdict) = match &sent {
            Ok(reception) => {
                let receipt = Receipt::of(reception.status);
                let verdict = if receipt == Receipt::Failed { Verdict::Failing } else { Verdict::Healthy };
                (receipt, reception.retry_after, verdict)
            }
            Err(Fault::Ours(_)) => (Receipt::Failed, None, Verdict::Unknown),
            Err(Fault::Send(error)) => {
                let forbidden = matches!(error, SendError::Forbidden { .. } | SendError::Url(_));
                if let SendError::Forbidden { host, forbidden } = error {
                    // The address is the operator's to know.
                    tracing::warn!(task = %due.task.id, host, %forbidden, "a webhook's name leads to a forbidden address");
                }
                counters.forbidden.add(u64::from(forbidden));
                (Receipt::Failed, None, if forbidden { Verdict::Unknown } else { Verdict::Failing })
            }
        };
        let wait = settings.schedule.next(due.round_attempt, receipt, asked, random::bits());
        let next = match (receipt, wait) {
            (Receipt::Taken, _) => Next::Delivered,
            (_, Some(wait)) => Next::RetryAt(self.engine.clock().now().plus(wait)),
            (_, None) => Next::GivenUp,
        };
        match next {
            Next::Delivered => counters.delivered.count(),
            Next::RetryAt(_) => counters.delivery_failed.count(),
            Next::GivenUp => {
                counters.delivery_failed.count();
                counters.given_up.count();
            }
        }
        let took_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
        let attempt = match sent {
            Ok(Reception { status, body, .. }) => DeliveryAttempt {
                number: due.attempt,
                at,
                took_ms,
                status: Some(status),
                error: None,
                response: body.to_vec(),
            },
            Err(fault) => {
                let mut error = fault.to_string();
                error.truncate(error.floor_char_boundary(ERROR_BYTES_MAX));
                let error = Some(error);
                DeliveryAttempt {
                    number: due.attempt,
                    at,
                    took_ms,
                    status: None,
                    error,
                    response: Vec::new(),
                }
            }
        };
        (Some((attempt, next)), verdict)
    }

    async fn send(&self, due: &Due, now: Timestamp, deadline: Instant) -> Result<Reception, Fault> {
        let body = body(due).map_err(|error| Fault::Ours(error.to_string()))?;
        let headers = match &due.secrets {
            None => HeaderMap::new(),
            Some(sealed) => {
                let secrets = self.engine.unsealed(due.task.account, sealed);
                let secrets = secrets.map_err(|error| Fault::Ours(error.to_string()))?;
                webhook::headers(secrets.sign(due.task.id, due.attempt, now, &body))
            }
        };
        Ok(self.sender.post(&due.url, headers, body.into(), deadline).await?)
    }
}

/// Why a delivery was not answered.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Send(#[from] SendError),
    /// Before it was sent.
    #[error("not sent: {0}")]
    Ours(String),
}

/// `{task, credits, response}` (contract section 7.1).
fn body(due: &Due) -> Result<Vec<u8>, serde_json::Error> {
    let response: &RawValue = serde_json::from_slice(&due.response)?;
    serde_json::to_vec(&TaskBody { response: Some(response), ..TaskBody::of(&due.task) })
}

/// Who is being sent to, and how that went.
#[derive(Default)]
struct Receivers(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// Attempts under way, by account and lane, and by host.
    accounts: HashMap<(AccountId, usize), usize>,
    hosts: HashMap<String, usize>,
    /// One an account and host, as far as there is something to know of it.
    circuits: HashMap<(AccountId, String), Circuit>,
}

/// What bounds the deliveries that are taken in one go.
#[derive(Clone, Copy)]
struct Bounds {
    lane: Lane,
    /// Places of the lane that one account may use.
    share: usize,
    per_host_max: usize,
    now: Timestamp,
}

/// What was granted in one call and is not under way yet.
#[derive(Default)]
struct Granted {
    accounts: HashMap<AccountId, usize>,
    hosts: HashMap<String, usize>,
}

struct Circuit {
    inside: usize,
    breaker: Breaker,
}

impl Receivers {
    /// How many more deliveries of this account the host may be sent now, beside what was granted before.
    fn grant(&self, bounds: Bounds, granted: &mut Granted, account: AccountId, host: &str) -> usize {
        let Bounds { lane, share, per_host_max, now } = bounds;
        let seen = self.lock();
        let of_account = seen.accounts.get(&(account, lane as usize)).copied().unwrap_or_default();
        let of_host = seen.hosts.get(host).copied().unwrap_or_default();
        let account_granted = granted.accounts.entry(account).or_default();
        let host_granted = granted.hosts.entry(host.to_owned()).or_default();
        let most = match seen.circuits.get(&(account, host.to_owned())).map(|circuit| &circuit.breaker) {
            Some(breaker) if !breaker.lets_through(now) => 0,
            Some(breaker) if !breaker.is_closed() => 1,
            _ => GRANT_MAX,
        };
        let grant = most
            .min(share.saturating_sub(of_account + *account_granted))
            .min(per_host_max.saturating_sub(of_host + *host_granted));
        *account_granted += grant;
        *host_granted += grant;
        grant
    }

    fn enter(
        &self,
        lane: Lane,
        receiver: &(AccountId, String),
        rules: BreakerRules,
        now: Timestamp,
    ) -> Option<Leave> {
        let mut seen = self.lock();
        if !seen.circuits.contains_key(receiver) {
            if seen.circuits.len() >= CIRCUITS_IDLE_MAX {
                seen.circuits.retain(|_, circuit| circuit.inside > 0);
            }
            seen.circuits.insert(receiver.clone(), Circuit { inside: 0, breaker: Breaker::new(rules) });
        }
        let circuit = seen.circuits.get_mut(receiver)?;
        let leave = circuit.breaker.ask(now).ok()?;
        circuit.inside += 1;
        *seen.accounts.entry((receiver.0, lane as usize)).or_default() += 1;
        *seen.hosts.entry(receiver.1.clone()).or_default() += 1;
        Some(leave)
    }

    fn leave(
        &self,
        lane: Lane,
        receiver: &(AccountId, String),
        leave: Leave,
        verdict: Verdict,
        now: Timestamp,
    ) {
        let mut seen = self.lock();
        if let Some(circuit) = seen.circuits.get_mut(receiver) {
            circuit.breaker.settle(leave, verdict, now);
            circuit.inside -= 1;
            if circuit.inside == 0 && circuit.breaker.is_spotless() {
                seen.circuits.remove(receiver);
            }
        }
        one_less(&mut seen.accounts, &(receiver.0, lane as usize));
        one_less(&mut seen.hosts, &receiver.1);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one less; a count of none is not kept.
fn one_less<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
