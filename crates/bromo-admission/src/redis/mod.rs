//! Counts in Redis: exact for any number of nodes.
//!
//! One script a decision, with Redis' own clock. A running call is a lease of 10 s there; its node renews it every 3 s,
//! and counts it for 7 s from the moment it sent the last renewal that succeeded. A node that Redis does not answer
//! admits nothing: every ask is an [`AdmissionError`], never "no limit".
//!
//! The protocol and the reasons for its times: decision record 15.

mod bus;
mod clock;
mod command;
mod driver;
mod held;
mod leaving;
mod life;
mod link;
mod links;
mod node;
mod packed;
mod scripts;
mod server;
mod settings;
mod shards;
mod shared;
mod slots;
mod upkeep;
mod wire;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use bromo_rules::credit::Credits;
use bromo_rules::id::AccountId;
use bromo_rules::standing::{RateStanding, Standing};

use crate::ask::{Ask, Facts, Start, Want};
use crate::reply::Reply;
use crate::sync::{Mutex, lock};
use crate::{Admission, AdmissionError, Bus, Decision, Hear, Message, Started, Usage, Wake};
use clock::BootClock;
use command::{Answer, Look, Outcome, Script, Seen};
use held::{Held, Pending};
use links::Via;
use server::Server;
use shards::{Shard, State};
use shared::Shared;

pub use settings::{Living, OpenError, ReadFacts, Retry, Settings, TEST_PREFIX, Time};

/// How often a node looks at its clock, in ms.
pub(crate) const TICK_MS: u64 = 100;
/// An ask on a lost account looks again this often, if nobody says that it opened.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Accounts whose usage is asked for at once.
const USAGE_MAX: usize = 64;

/// Admission for many nodes.
pub struct Redis {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Redis {
    /// Begins to connect, and goes on trying: Redis need not be there. Until it is, every ask is an [`AdmissionError`].
    ///
    /// # Errors
    /// Settings that cannot work, whatever Redis says.
    pub fn open(settings: Settings) -> Result<Arc<Self>, OpenError> {
        Self::open_on(settings, BootClock::System)
    }

    fn open_on(settings: Settings, boot: BootClock) -> Result<Arc<Self>, OpenError> {
        settings.check()?;
        let server = Server::new(&settings.url).map_err(OpenError::Address)?;
        let shared = Arc::new(Shared::new(settings, server, boot));
        let thread = driver::start(Arc::clone(&shared)).map_err(OpenError::Thread)?;
        Ok(Arc::new(Self { shared, thread: Mutex::new(Some(thread)) }))
    }

    /// Waits for the connection, in a Redis Cluster for those to all primaries.
    ///
    /// # Errors
    /// Redis is there, and cannot be used as it is set up. It is tried again nevertheless.
    pub async fn ready(&self) -> Result<(), OpenError> {
        let mut states = self.shared.shards.state.subscribe();
        let settled = states.wait_for(|state| !matches!(state, State::Away(_))).await;
        match settled.as_deref() {
            Ok(State::Refused(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Waits until Redis has every release. To be called at a shutdown, with a deadline around it: what is left then
    /// expires by itself.
    pub async fn settled(&self) {
        while !self.shared.node().is_idle() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn decide(&self, ask: &Ask) -> Result<Decision, AdmissionError> {
        let account = ask.facts.account;
        self.shared.see(account);
        self.shared.set_time(ask.now);
        let wants: Vec<Want> = ask.want.into_iter().collect();
        let admit = |lease: Option<command::Lease>| Script::Admit {
            facts: ask.facts,
            key: ask.key,
            route: ask.route,
            rate: ask.rate,
            lease,
        };
        let (answer, held) =
            self.ask(account, ask.now, &wants, |leases| admit(leases.first().copied())).await?;
        let Answer::Judged { outcome, left, slots, balance, .. } = answer else { return Ok(Decision::Stale) };
        let rate = RateStanding { limit: ask.rate.requests, remaining: left };
        let standing = Standing { rate, slots, balance };
        Ok(match (outcome, held.into_iter().next()) {
            (Outcome::Counted, _) => Decision::Counted(standing),
            (Outcome::Denied(denial), _) => Decision::Denied(standing, denial),
            (Outcome::Admitted, Some(held)) => Decision::Admitted(standing, held.into_permit()),
            (Outcome::Admitted, None) => return Err(late()),
        })
    }

    async fn decide_start(&self, start: &Start) -> Result<Started, AdmissionError> {
        let (facts, account) = (start.facts, start.facts.account);
        self.shared.see(account);
        self.shared.set_time(start.now);
        let script = |leases: &[command::Lease]| Script::Start { facts, leases: leases.to_vec() };
        let (answer, held) = self.ask(account, start.now, &start.wants, script).await?;
        let Answer::Started { taken, slots, denial, expires_in_ms, .. } = answer else {
            return Ok(Started::Stale);
        };
        if held.len() < taken {
            // Which of them were too late does not matter: they must be the first of the wants.
            return Err(late());
        }
        if denial.is_some() {
            let expires = self.shared.boot.now().plus(expires_in_ms);
            lock(&self.shared.waiting).insert(account, expires);
        }
        Ok(Started::Judged { slots, permits: held.into_iter().map(Held::into_permit).collect(), denial })
    }

    /// Asks until the account is open, for as long as a decision may take.
    async fn ask(
        &self,
        account: AccountId,
        now: bromo_rules::time::Timestamp,
        wants: &[Want],
        script: impl Fn(&[command::Lease]) -> Script,
    ) -> Result<(Answer, Vec<Held>), AdmissionError> {
        let mut deadline = None;
        loop {
            let mut opened = std::pin::pin!(self.shared.opened.notified());
            opened.as_mut().enable();
            let path = self.shared.path_here(account)?;
            let pending = self.pending(account, now, wants, path.via)?;
            let leases: Vec<_> = pending.asked.iter().map(|asked| asked.lease).collect();
            let answer = self.shared.run_by(&path, account, script(&leases)).await?;
            let taken = match &answer {
                Answer::Judged { outcome, .. } => usize::from(*outcome == Outcome::Admitted),
                Answer::Started { taken, .. } => *taken,
                _ => 0,
            };
            let held = pending.settle(taken);
            match answer {
                Answer::Elsewhere | Answer::Lost { .. } | Answer::Opening { .. } => {
                    self.wait_for_opening(account, &answer, &mut deadline, opened).await?;
                }
                Answer::Doubtful { doubts } => self.ask_store(account, doubts).await?,
                answer => return Ok((answer, held)),
            }
        }
    }

    fn pending(
        &self,
        account: AccountId,
        now: bromo_rules::time::Timestamp,
        wants: &[Want],
        via: Via,
    ) -> Result<Pending, AdmissionError> {
        let boot = self.shared.boot.now();
        let mut node = self.shared.node();
        let mut asked = Vec::with_capacity(wants.len());
        for want in wants {
            let usual_ms = want.usually_ends.millis().saturating_sub(now.millis());
            match node.ask(boot, account, want.hold, usual_ms, via) {
                Some(lease) => asked.push(lease),
                None => break,
            }
        }
        drop(node);
        let complete = asked.len() == wants.len();
        let pending = Pending::new(Arc::clone(&self.shared), account, asked);
        if complete { Ok(pending) } else { Err(fenced(&*self.shared.shards.of(account)?)) }
    }

    /// Brings the account's balance, after holds expired whose charges may have been committed.
    async fn ask_store(&self, account: AccountId, doubts: u64) -> Result<(), AdmissionError> {
        let read = (self.shared.settings.facts)(account);
        let facts = match tokio::time::timeout(self.shared.settings.timeout, read).await {
            Ok(Ok(Some(facts))) => facts,
            Ok(Ok(None)) => {
                return Err(AdmissionError { reason: "the store knows no such account".to_owned() });
            }
            Ok(Err(reason)) => return Err(AdmissionError { reason }),
            Err(_) => {
                return Err(AdmissionError { reason: "the store does not say what is left".to_owned() });
            }
        };
        self.shared.run(account, Script::Announce { facts, doubts }).await.map(drop)
    }

    /// Begins to register, if nobody does, and waits a little.
    async fn wait_for_opening(
        &self,
        account: AccountId,
        answer: &Answer,
        deadline: &mut Option<tokio::time::Instant>,
        opened: impl Future<Output = ()>,
    ) -> Result<(), AdmissionError> {
        if let Answer::Lost { seen } = answer {
            self.shared.node().lost(account, *seen);
            self.shared.kick();
        }
        let now = tokio::time::Instant::now();
        let deadline = *deadline.get_or_insert(now + self.shared.settings.timeout);
        if now >= deadline {
            let reason = match answer {
                Answer::Opening { in_ms, .. } => {
                    format!("Redis lost its data; the account opens within {in_ms} ms")
                }
                Answer::Elsewhere => {
                    "the account moves to another server of the Redis Cluster, or is not served now"
                        .to_owned()
                }
                _ => "Redis lost its data; the account is being registered".to_owned(),
            };
            return Err(AdmissionError { reason });
        }
        let until = deadline.min(now + LOOK_AGAIN);
        drop(tokio::time::timeout_at(until, opened).await);
        Ok(())
    }

    async fn change(&self, account: AccountId, script: Script) -> Result<(), AdmissionError> {
        self.shared.see(account);
        let mut deadline = None;
        loop {
            let mut opened = std::pin::pin!(self.shared.opened.notified());
            opened.as_mut().enable();
            match self.shared.run(account, script.clone()).await? {
                answer @ (Answer::Lost { .. } | Answer::Elsewhere) => {
                    self.wait_for_opening(account, &answer, &mut deadline, opened).await?;
                }
                _ => return Ok(()),
            }
        }
    }

    async fn look(&self, account: AccountId) -> Result<Look, AdmissionError> {
        let mut deadline = None;
        loop {
            let mut opened = std::pin::pin!(self.shared.opened.notified());
            opened.as_mut().enable();
            match self.shared.run(account, Script::Look { compare: false }).await? {
                Answer::Looked(look) if look.opens_in_ms == 0 => return Ok(look),
                Answer::Looked(Look { opens_in_ms, .. }) => {
                    let opening = Answer::Opening { in_ms: opens_in_ms, seen: Seen::default() };
                    self.wait_for_opening(account, &opening, &mut deadline, opened).await?;
                }
                answer => self.wait_for_opening(account, &answer, &mut deadline, opened).await?,
            }
        }
    }

    async fn look_at_all(&self) -> Result<Vec<Usage>, AdmissionError> {
        let mut usage = Vec::new();
        for accounts in self.shared.seen().chunks(USAGE_MAX) {
            let looks = accounts.iter().map(|account| async {
                let answer = self.shared.run(*account, Script::Look { compare: false }).await?;
                Ok(match answer {
                    Answer::Looked(look) => Some(look.usage(*account)),
                    _ => None, // Lost, and not asked for since.
                })
            });
            for look in futures_util::future::join_all(looks).await {
                usage.extend(look?);
            }
        }
        Ok(usage)
    }
}

fn fenced(shard: &Shard) -> AdmissionError {
    if shard.is_connected() {
        return AdmissionError { reason: "this node could not renew its leases for a while".to_owned() };
    }
    shard.away()
}

fn late() -> AdmissionError {
    AdmissionError { reason: "Redis answered too late".to_owned() }
}

impl Admission for Redis {
    fn admit<'a>(&'a self, ask: &'a Ask) -> Reply<'a, Result<Decision, AdmissionError>> {
        Reply::Later(Box::pin(self.decide(ask)))
    }

    fn start<'a>(&'a self, start: &'a Start) -> Reply<'a, Result<Started, AdmissionError>> {
        Reply::Later(Box::pin(self.decide_start(start)))
    }

    fn wake_with(&self, wake: Wake) {
        drop(self.shared.wake.set(wake));
    }

    fn open(&self, facts: Facts) -> Reply<'_, Result<(), AdmissionError>> {
        Reply::Later(Box::pin(self.change(facts.account, Script::Open(facts))))
    }

    fn announce(&self, facts: Facts) -> Reply<'_, Result<(), AdmissionError>> {
        Reply::Later(Box::pin(self.change(facts.account, Script::Announce { facts, doubts: 0 })))
    }

    fn held(&self, account: AccountId) -> Reply<'_, Result<Credits, AdmissionError>> {
        Reply::Later(Box::pin(async move { Ok(self.look(account).await?.held) }))
    }

    fn in_reach(&self) -> Result<(), AdmissionError> {
        let shards = self.shared.shards.all();
        // Where one server of several is away, it is so for all nodes: none is better than this one.
        let admits = shards.iter().any(|shard| shard.is_connected())
            && self.shared.node().may_admit_any(self.shared.boot.now());
        match shards.first() {
            Some(shard) if !admits => Err(fenced(shard)),
            _ => Ok(()),
        }
    }

    fn in_use(&self, account: AccountId) -> Reply<'_, Result<u32, AdmissionError>> {
        Reply::Later(Box::pin(async move { Ok(self.look(account).await?.slots.current) }))
    }

    fn usage(&self) -> Reply<'_, Result<Vec<Usage>, AdmissionError>> {
        Reply::Later(Box::pin(self.look_at_all()))
    }

    fn repairs(&self) -> u64 {
        self.shared.repairs.load(Ordering::Relaxed)
    }
}

impl Bus for Redis {
    fn tell(&self, message: Message) {
        self.shared.tell(message);
    }

    fn hear(&self, hear: Hear) {
        drop(self.shared.hear.set(hear));
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.shared.stopped.notify_one();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            drop(thread.join());
        }
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Redis").field(&self.shared.settings).finish()
    }
}

#[cfg(test)]
mod tests;
