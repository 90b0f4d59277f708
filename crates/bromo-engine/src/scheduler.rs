//! Whose task is next. Looks at heads, asks admission, claims, and starts workers.
//!
//! It sleeps until something stirs it: a submit, a slot or a hold that came free for an account that was denied, a
//! changed plan, a wait that ended, a worker that ended while the node was full. Between accounts it goes round robin,
//! the node's free places shared out evenly; an account that is denied leaves the ring until admission calls it out.
//!
//! Source: docs/tasks.md#order

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bromo_admission::{Denial, Facts, Permit, Start, Started, Want};
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::AccountId;
use bromo_rules::key::KeyKind;
use bromo_rules::problem::Problem;
use bromo_rules::standing::SlotStanding;
use bromo_rules::time::Timestamp;
use bromo_store::{Ender, Endpoints, Head, TaskSeq};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::decide::DecideError;
use crate::task::TaskError;
use crate::worker::Attempt;

/// Tasks of all accounts that are being failed at once; past it their accounts wait.
const REFUSING_MAX: usize = 1000;
/// Heads that are looked at in one turn of an account.
const HEADS_MAX: usize = 256;
/// How often the clock is looked at while a task waits for its time, or for an endpoint to have room.
const TICK: Duration = Duration::from_millis(10);
/// While the next wait ends later than this, the clock is looked at less often.
const SOON: Duration = Duration::from_secs(1);
const SLOW_TICK: Duration = Duration::from_millis(100);
/// Accounts whose facts are remembered; past it they are read anew.
const KNOWN_MAX: usize = 100_000;
/// After a failure of store or admission nothing is tried for so long.
const BREATHE: Duration = Duration::from_millis(200);

/// Starts tasks until `stop`; attempts that still run at `cut` go back to the queue.
pub async fn run(engine: Arc<Engine>, stop: CancellationToken, cut: CancellationToken) {
    let later = Arc::clone(&engine.later);
    let waker = Arc::clone(&later);
    engine.admission().wake_with(Arc::new(move |account| waker.wake(account)));
    let mut scheduler = Scheduler::new(engine, cut);
    while !stop.is_cancelled() {
        if let Err(error) = scheduler.look_everywhere().await {
            tracing::error!(%error, "cannot look for waiting tasks");
            breathe(&stop).await;
            continue;
        }
        break;
    }
    while !stop.is_cancelled() {
        match scheduler.pass().await {
            Ok(Progress::More) => tokio::task::yield_now().await,
            Ok(Progress::None) => scheduler.rest(&stop).await,
            Err(error) => {
                tracing::error!(%error, "cannot start tasks");
                breathe(&stop).await;
            }
        }
    }
}

async fn breathe(stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(BREATHE) => {}
        () = stop.cancelled() => {}
    }
}

/// Whether looking again at once makes sense.
#[derive(PartialEq, Eq)]
enum Progress {
    More,
    None,
}

struct Scheduler {
    engine: Arc<Engine>,
    cut: CancellationToken,
    /// Accounts to look at, in turn; each stands there once.
    ring: VecDeque<AccountId>,
    in_ring: HashSet<AccountId>,
    /// Accounts that may have tasks for an endpoint that had no room, by endpoint.
    parked: [Parked; Endpoint::ALL.len()],
    known: HashMap<AccountId, Known>,
    /// Tasks that are being failed for want of credits: the queue shows them until that is on disk.
    refusing: Arc<Mutex<HashSet<TaskSeq>>>,
    /// When everything was last looked at.
    looked: Instant,
}

/// An account as it was read last.
#[derive(Clone, Copy)]
struct Known {
    facts: Facts,
    cycle_ends_at: Timestamp,
}

/// A task with what it needs to run.
struct Pick {
    account: AccountId,
    head: Head,
    permit: Permit,
    slots: SlotStanding,
    cancel: CancellationToken,
}

impl Scheduler {
    fn new(engine: Arc<Engine>, cut: CancellationToken) -> Self {
        Self {
            engine,
            cut,
            ring: VecDeque::new(),
            in_ring: HashSet::new(),
            parked: Default::default(),
            known: HashMap::new(),
            refusing: Arc::default(),
            looked: Instant::now(),
        }
    }

    /// Every account that has something waiting.
    async fn look_everywhere(&mut self) -> Result<(), DecideError> {
        self.looked = Instant::now();
        for account in self.engine.store().accounts_waiting().await? {
            self.enter(account);
        }
        self.end_waits().await
    }

    fn enter(&mut self, account: AccountId) {
        if self.in_ring.insert(account) {
            self.ring.push_back(account);
        }
    }

    /// One turn for each account of the ring, and on until all are denied, have nothing, or the node is full.
    async fn pass(&mut self) -> Result<Progress, DecideError> {
        if self.engine.settings().tasks.look.is_some_and(|look| self.looked.elapsed() >= look) {
            self.look_everywhere().await?;
        }
        for account in self.engine.later.take_woken() {
            self.enter(account);
        }
        let now = self.engine.clock().now();
        let mut rooms = self.rooms(now);
        let unparked = self.unpark(&rooms);
        let running_max = self.engine.settings().tasks.running_max;
        let mut free = running_max.saturating_sub(self.engine.later.running(false));
        if free == 0 && !self.ring.is_empty() {
            free = running_max.saturating_sub(self.engine.later.running(true));
        }
        let (mut picks, mut turns) = (Vec::new(), VecDeque::new());
        // Those whose heads were used up have their next turn in the next pass, when their picks are claimed.
        let mut again = Vec::new();
        let mut ring = std::mem::take(&mut self.ring);
        let picked = loop {
            if free == 0 {
                break Ok(());
            }
            let mut turn = match ring.pop_front() {
                Some(account) => match self.begin_turn(account, &rooms, free).await {
                    Ok(Some(turn)) => turn,
                    Ok(None) => continue,
                    Err(error) => {
                        again.push(account);
                        break Err(error);
                    }
                },
                None => match turns.pop_front() {
                    Some(turn) => turn,
                    None => break Ok(()),
                },
            };
            if turn.heads.is_empty() {
                if turn.more {
                    again.push(turn.account)
                } else {
                    self.leave(turn.account)
                }
                continue;
            }
            let among = ring.len() + turns.len() + 1;
            let mut wanted = turn.take(free.div_ceil(among), rooms.map(|room| room.div_ceil(among)));
            if wanted.is_empty() {
                again.push(turn.account); // The endpoint's last place went to another in this pass.
                continue;
            }
            match self.start(turn.account, &wanted, now).await {
                Ok(Started::Judged { slots, permits, denial }) => {
                    let left = wanted.split_off(permits.len());
                    let begun = slots.current + 1 - u32::try_from(permits.len()).unwrap_or(slots.current);
                    for ((head, permit), current) in wanted.into_iter().zip(permits).zip(begun..) {
                        // The sandbox has room for any number of test tasks.
                        rooms[head.endpoint.index()] -= usize::from(head.kind == KeyKind::Live);
                        free -= 1;
                        let cancel = self.engine.later.begin(head.seq, gate_of(&head));
                        let slots = SlotStanding { current, ..slots };
                        picks.push(Pick { account: turn.account, head, permit, slots, cancel });
                    }
                    match denial {
                        None => turns.push_back(turn),
                        Some(Denial::Credits { held: false }) => {
                            let mut left = left.into_iter();
                            if let Some(head) = left.next() {
                                self.refuse(turn.account, head.seq);
                            }
                            left.rev().for_each(|head| turn.heads.push_front(head));
                            turns.push_back(turn);
                        }
                        Some(_) => self.leave(turn.account), // Called out when that may change.
                    }
                }
                Ok(Started::Stale) => again.push(turn.account),
                Err(error) => {
                    again.push(turn.account);
                    break Err(error);
                }
            }
        };
        let moved = unparked || !picks.is_empty() || !again.is_empty();
        let progress = if moved { Progress::More } else { Progress::None };
        self.claim(picks, now);
        // Whoever had no turn comes first next time.
        self.ring.extend(ring);
        self.ring.extend(turns.into_iter().map(|turn| turn.account));
        self.ring.extend(again);
        picked.map(|()| progress)
    }

    /// The next heads of an account; none if it has nothing that could run.
    async fn begin_turn(
        &mut self,
        account: AccountId,
        rooms: &[usize; Endpoint::ALL.len()],
        free: usize,
    ) -> Result<Option<Turn>, DecideError> {
        let mut open = Endpoints::ALL;
        for endpoint in Endpoint::ALL.into_iter().filter(|endpoint| rooms[endpoint.index()] == 0) {
            open = open.without(endpoint);
            self.parked[endpoint.index()].add(account);
        }
        let refusing = self.refusing().clone();
        if refusing.len() >= REFUSING_MAX {
            self.leave(account); // Each refusal wakes its account when it is on disk; this one may have to wait.
            self.engine.later.wake_after_refusals(account);
            return Ok(None);
        }
        let count = free.min(HEADS_MAX) + refusing.len();
        let heads = self.engine.store().heads(account, open, count).await?;
        let more = heads.len() >= count;
        let heads: VecDeque<_> = heads.into_iter().filter(|head| !refusing.contains(&head.seq)).collect();
        if heads.is_empty() {
            self.leave(account);
            return Ok(None);
        }
        Ok(Some(Turn { account, heads, more }))
    }

    fn leave(&mut self, account: AccountId) {
        self.in_ring.remove(&account);
    }

    /// How many more attempts each endpoint takes now. One without a provider takes any number: its tasks fail at once.
    fn rooms(&self, now: Timestamp) -> [usize; Endpoint::ALL.len()] {
        Endpoint::ALL.map(|endpoint| match self.engine.catalog().line(endpoint) {
            Ok(line) => line.room(now).saturating_sub(self.engine.later.entering(endpoint)),
            Err(_) => usize::MAX,
        })
    }

    /// Looks at parked accounts again whose endpoint has room now, as many as that; whether there were any.
    fn unpark(&mut self, rooms: &[usize; Endpoint::ALL.len()]) -> bool {
        let mut any = false;
        for endpoint in Endpoint::ALL {
            for _ in 0..rooms[endpoint.index()] {
                let Some(account) = self.parked[endpoint.index()].take() else { break };
                self.enter(account);
                any = true;
            }
        }
        any
    }

    /// Asks admission, on an account that is up to date.
    async fn start(
        &mut self,
        account: AccountId,
        heads: &[Head],
        now: Timestamp,
    ) -> Result<Started, DecideError> {
        let known = match self.known.get(&account) {
            Some(known) if now < known.cycle_ends_at => *known,
            _ => self.read(account).await?,
        };
        let want = |head: &Head| {
            let usually = match head.kind {
                KeyKind::Test => Duration::ZERO,
                KeyKind::Live => self.engine.usually(head.endpoint),
            };
            Want { hold: head.hold, usually_ends: now.plus(usually) }
        };
        let start = Start { facts: known.facts, now, wants: heads.iter().map(want).collect() };
        let started = self.engine.admission().start(&start).await.map_err(DecideError::from)?;
        if matches!(started, Started::Stale) {
            self.known.remove(&account);
        }
        Ok(started)
    }

    async fn read(&mut self, account: AccountId) -> Result<Known, DecideError> {
        let account = self.engine.parts.current(account).await?;
        let known = Known { facts: self.engine.parts.facts(&account), cycle_ends_at: account.cycle.ends_at };
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(account.id, known);
        Ok(known)
    }

    /// Claims what was picked, all in one statement, and sets a worker on each task that was got.
    fn claim(&self, picks: Vec<Pick>, now: Timestamp) {
        if picks.is_empty() {
            return;
        }
        let (engine, cut) = (Arc::clone(&self.engine), self.cut.clone());
        // From this call on the queue does not show them.
        let claiming = engine.store().claim(picks.iter().map(|pick| pick.head.seq).collect(), now);
        let claim = async move {
            let (mut claimed, failed) = match claiming.await {
                Ok(claimed) => (claimed, false),
                Err(error) => {
                    tracing::error!(%error, tasks = picks.len(), "failed to claim");
                    (Vec::new(), true)
                }
            };
            claimed.sort_unstable_by_key(|claimed| claimed.claim.seq);
            let accounts: HashSet<_> = picks.iter().map(|pick| pick.account).filter(|_| failed).collect();
            for Pick { head, permit, slots, cancel, .. } in picks {
                match claimed.binary_search_by_key(&head.seq, |claimed| claimed.claim.seq) {
                    Ok(index) => {
                        let attempt = Attempt::new(&engine, claimed[index].clone(), permit, slots, cancel);
                        engine.workers.spawn(attempt.run(cut.clone()));
                    }
                    Err(_) => {
                        engine.later.entered(gate_of(&head));
                        engine.later.end(head.seq);
                        permit.release(None).await;
                    }
                }
            }
            if failed {
                // The queue shows them again, and their accounts may have left the ring.
                tokio::time::sleep(BREATHE).await;
                for account in accounts {
                    engine.later.wake(account);
                }
            }
        };
        self.engine.workers.spawn(claim);
    }

    /// Fails a task that its account can never pay as things stand (contract section 8.2).
    fn refuse(&self, account: AccountId, seq: TaskSeq) {
        self.refusing().insert(seq);
        let (engine, refusing) = (Arc::clone(&self.engine), Arc::clone(&self.refusing));
        let cut = self.cut.clone();
        self.engine.workers.spawn(async move {
            let error = TaskError::of(Problem::INSUFFICIENT_CREDITS);
            engine.end_failed(Ender::Queued(seq), &error, &cut).await;
            refusing.lock().unwrap_or_else(PoisonError::into_inner).remove(&seq);
            engine.later.wake(account);
            engine.later.wake_held_back();
        });
    }

    fn refusing(&self) -> MutexGuard<'_, HashSet<TaskSeq>> {
        self.refusing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until something stirs it, or it is time to look at the clock.
    async fn rest(&mut self, stop: &CancellationToken) {
        let later = Arc::clone(&self.engine.later);
        let look = self.engine.settings().tasks.look;
        let parked = self.parked.iter().any(|parked| !parked.in_line.is_empty());
        let next = later.next_wait();
        let soon = parked || next.is_some_and(|next| next <= self.engine.clock().now().plus(SOON));
        tokio::select! {
            () = stop.cancelled() => return,
            () = later.stirred() => {}
            () = tokio::time::sleep_until(self.looked + look.unwrap_or_default()), if look.is_some() => {}
            () = tokio::time::sleep(if soon { TICK } else { SLOW_TICK }), if parked || next.is_some() => {}
        }
        let now = self.engine.clock().now();
        if later.next_wait().is_some_and(|at| at <= now)
            && let Err(error) = self.end_waits().await
        {
            tracing::error!(%error, "cannot end waits");
            later.waits_until(now.plus(BREATHE));
        }
    }

    async fn end_waits(&mut self) -> Result<(), DecideError> {
        self.engine.later.reset_wait();
        let (accounts, next) = self.engine.store().end_waits(self.engine.clock().now()).await?;
        for account in accounts {
            self.enter(account);
        }
        if let Some(next) = next {
            self.engine.later.waits_until(next);
        }
        Ok(())
    }
}

/// The endpoint whose gate the task has to pass; test tasks pass none.
fn gate_of(head: &Head) -> Option<Endpoint> {
    (head.kind == KeyKind::Live).then_some(head.endpoint)
}

/// Accounts in line for an endpoint, each once.
#[derive(Default)]
struct Parked {
    in_line: VecDeque<AccountId>,
    all: HashSet<AccountId>,
}

impl Parked {
    fn add(&mut self, account: AccountId) {
        if self.all.insert(account) {
            self.in_line.push_back(account);
        }
    }

    fn take(&mut self) -> Option<AccountId> {
        let account = self.in_line.pop_front()?;
        self.all.remove(&account);
        Some(account)
    }
}

/// What an account may start in this pass.
struct Turn {
    account: AccountId,
    heads: VecDeque<Head>,
    /// There may be more behind these.
    more: bool,
}

impl Turn {
    /// The next heads, at most `share`, and of each endpoint's at most its room.
    fn take(&mut self, share: usize, mut rooms: [usize; Endpoint::ALL.len()]) -> Vec<Head> {
        let mut taken = Vec::new();
        while taken.len() < share
            && let Some(head) = self.heads.front()
        {
            if head.kind == KeyKind::Live {
                let room = &mut rooms[head.endpoint.index()];
                if *room == 0 {
                    break;
                }
                *room -= 1;
            }
            taken.extend(self.heads.pop_front());
        }
        taken
    }
}
