//! Due deliveries: sign, send, record the attempt. What is sent when is the store's to say, how much at once is here.
//!
//! Fresh deliveries and retries have places of their own, and each host only so many of them: a receiver that hangs
//! holds its own share and delays nobody else. A host that keeps failing has its circuit opened: its deliveries wait
//! for it, none is dropped.
//!
//! Source: docs/webhooks.md#deliveries

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bromo_providers::breaker::{Breaker, BreakerRules, Leave, Verdict};
use bromo_providers::webhook::{self, Reception, SendError, Sender};
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
    let deliveries =
        Arc::new(Deliveries { engine, sender, hosts: Hosts::default(), inside: Default::default(), cut });
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
        let waiting = deliveries.engine.store().pending() > 0;
        tokio::select! {
            () = stop.cancelled() => {}
            () = deliveries.engine.later.due.notified() => {}
            () = tokio::time::sleep(TICK), if waiting => {}
        }
    }
}

struct Deliveries {
    engine: Arc<Engine>,
    sender: Arc<Sender>,
    hosts: Hosts,
    /// Attempts under way, by lane.
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
            let room = |host: &str| self.hosts.room(host, settings, now);
            for due in self.engine.store().take_due(lane, now, &room, free.min(TAKE_MAX)).await? {
                any = true;
                self.begin(lane, due, now);
            }
        }
        Ok(any)
    }

    fn begin(self: &Arc<Self>, lane: Lane, due: Due, now: Timestamp) {
        let rules = self.engine.settings().webhooks.breaker;
        let Some(leave) = self.hosts.enter(&due.host, rules, now) else {
            // The circuit opened since its room was asked.
            self.engine.store().put_back(&[due.seq]);
            return;
        };
        self.inside[lane as usize].fetch_add(1, Ordering::Relaxed);
        let this = Arc::clone(self);
        self.engine.workers.spawn(async move {
            let host = due.host.clone();
            let verdict = this.deliver(due).await;
            this.hosts.leave(&host, leave, verdict, this.engine.clock().now());
            this.inside[lane as usize].fetch_sub(1, Ordering::Relaxed);
            this.engine.later.due.notify_one();
        });
    }

    /// One attempt, from the signature to its record.
    async fn deliver(&self, due: Due) -> Verdict {
        let (began, at) = (Instant::now(), self.engine.clock().now());
        let settings = &self.engine.settings().webhooks;
        let sent = tokio::select! {
            biased;
            () = self.cut.cancelled() => {
                self.engine.store().put_back(&[due.seq]);
                return Verdict::Unknown;
            }
            sent = self.send(&due, at, began + settings.timeout) => sent,
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
        let store = self.engine.store();
        // A record that was cut off is an attempt that never was: it is made again at the next start.
        written(&self.cut, || store.record_attempt(due.seq, attempt.clone(), next)).await;
        verdict
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

/// Receivers by host and port, as far as there is something to know of them.
#[derive(Default)]
struct Hosts(Mutex<HashMap<String, Host>>);

struct Host {
    inside: usize,
    breaker: Breaker,
}

impl Hosts {
    /// How many more deliveries the host may be sent now.
    fn room(&self, host: &str, settings: &WebhookSettings, now: Timestamp) -> usize {
        let hosts = self.lock();
        let Some(host) = hosts.get(host) else { return settings.per_host_max };
        match (host.breaker.lets_through(now), host.breaker.is_closed()) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => settings.per_host_max.saturating_sub(host.inside),
        }
    }

    fn enter(&self, host: &str, rules: BreakerRules, now: Timestamp) -> Option<Leave> {
        let mut hosts = self.lock();
        if !hosts.contains_key(host) {
            hosts.insert(host.to_owned(), Host { inside: 0, breaker: Breaker::new(rules) });
        }
        let host = hosts.get_mut(host)?;
        let leave = host.breaker.ask(now).ok()?;
        host.inside += 1;
        Some(leave)
    }

    fn leave(&self, name: &str, leave: Leave, verdict: Verdict, now: Timestamp) {
        let mut hosts = self.lock();
        let Some(host) = hosts.get_mut(name) else { return };
        host.breaker.settle(leave, verdict, now);
        host.inside -= 1;
        if host.inside == 0 && host.breaker.is_spotless() {
            hosts.remove(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Host>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
