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
use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::decide::DecideError;
use crate::task::TaskError;
use crate::worker::Attempt;

/// Tasks of all accounts that are being failed at once; past it their accounts wait.
const REFUSING_MAX: usize = 1000;
/// Heads that are looked at in one turn of an account: twice as many as it started last, within these bounds.
const HEADS_MIN: usize = 8;
const HEADS_MAX: usize = 256;
/// Accounts that are looked at and judged side by side: among nodes each look and each judgement is a round trip.
const ROUND_ACCOUNTS_MAX: usize = 64;
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
    /// Heads to look at in its next turn.
    heads: usize,
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
        let rooms = self.rooms(now);
        let unparked = self.unpark(&rooms);
        let running_max = self.engine.settings().tasks.running_max;
        let mut free = running_max.saturating_sub(self.engine.later.running(false));
        if free == 0 && !self.ring.is_empty() {
            free = running_max.saturating_sub(self.engine.later.running(true));
        }
        let mut pass = Pass { now, places: Places { free, rooms }, ..Pass::default() };
        let started = self.start_all(&mut pass).await;
        let moved = unparked || !pass.picks.is_empty() || !pass.again.is_empty();
        self.claim(pass.picks, now);
        // Behind whoever had no turn.
        self.ring.extend(pass.turns.into_iter().map(|turn| turn.account));
        self.ring.extend(pass.again);
        started.map(|()| if moved { Progress::More } else { Progress::None })
    }

    /// Round after round: first the accounts of the ring, then those that have heads left, again and again.
    async fn start_all(&mut self, pass: &mut Pass) -> Result<(), DecideError> {
        while pass.places.free > 0 && !(self.ring.is_empty() && pass.turns.is_empty()) {
            let turns =
                if self.ring.is_empty() { std::mem::take(&mut pass.turns) } else { self.look(pass).await? };
            self.start_round(turns, pass).await?;
        }
        Ok(())
    }

    /// The heads of the next accounts of the ring, without those that have nothing that could run.
    async fn look(&mut self, pass: &mut Pass) -> Result<VecDeque<Turn>, DecideError> {
        let accounts: Vec<_> = self.ring.drain(..self.ring.len().min(ROUND_ACCOUNTS_MAX)).collect();
        let mut open = Endpoints::ALL;
        for endpoint in Endpoint::ALL.into_iter().filter(|endpoint| pass.places.rooms[endpoint.index()] == 0)
        {
            open = open.without(endpoint);
            accounts.iter().for_each(|account| self.parked[endpoint.index()].add(*account));
        }
        let refusing = self.refusing().clone();
        if refusing.len() >= REFUSING_MAX {
            for account in accounts {
                self.leave(account); // Each refusal wakes its account when it is on disk; this one may have to wait.
                self.engine.later.wake_after_refusals(account);
            }
            return Ok(VecDeque::new());
        }
        let heads = |account| self.known.get(&account).map_or(HEADS_MIN, |known| known.heads);
        let count = |account| heads(account).min(pass.places.free) + refusing.len();
        let asked: Vec<_> = accounts.iter().map(|account| (*account, count(*account))).collect();
        let found = match self.engine.store().heads_of(&asked, open).await {
            Ok(found) => found,
            Err(error) => {
                pass.again.extend(accounts);
                return Err(error.into());
            }
        };
        let mut turns = VecDeque::with_capacity(asked.len());
        for ((account, count), heads) in asked.into_iter().zip(found) {
            let more = heads.len() >= count;
            let heads: VecDeque<_> = heads.into_iter().filter(|head| !refusing.contains(&head.seq)).collect();
            if heads.is_empty() {
                self.leave(account);
            } else {
                turns.push_back(Turn { account, heads, more, started: 0 });
            }
        }
        Ok(turns)
    }

    /// Asks admission for all of these accounts at once, each for its share of the places that are left.
    async fn start_round(&mut self, mut turns: VecDeque<Turn>, pass: &mut Pass) -> Result<(), DecideError> {
        let mut left = pass.places;
        let (mut asking, mut starts) = (Vec::with_capacity(turns.len()), Vec::with_capacity(turns.len()));
        let mut failed = None;
        while let Some(mut turn) = turns.pop_front() {
            let among = self.ring.len() + pass.turns.len() + turns.len() + 1;
            if turn.heads.is_empty() {
                // Used up: what is behind them is looked at in the next pass, when these are claimed.
                if turn.more {
                    pass.again.push(turn.account)
                } else {
                    self.leave(turn.account)
                }
                continue;
            }
            if left.free == 0 {
                pass.turns.push_back(turn);
                continue;
            }
            let wanted = turn.take(left.share(among));
            if wanted.is_empty() {
                pass.again.push(turn.account); // The endpoint's last place went to another in this pass.
                continue;
            }
            match self.ask(turn.account, &wanted, pass.now).await {
                Ok(start) => {
                    wanted.iter().for_each(|head| left.take(head));
                    starts.push(start);
                    asking.push((turn, wanted));
                }
                Err(error) => {
                    pass.again.push(turn.account);
                    failed = Some(error);
                }
            }
        }
        let engine = Arc::clone(&self.engine);
        let answers = join_all(starts.iter().map(|start| engine.admission().start(start))).await;
        for ((turn, wanted), answer) in asking.into_iter().zip(answers) {
            match answer {
                Ok(Started::Judged { slots, permits, denial }) => {
                    self.judged(turn, wanted, pass, Judgement { slots, permits, denial });
                }
                Ok(Started::Stale) => {
                    self.known.remove(&turn.account);
                    pass.again.push(turn.account);
                }
                Err(error) => {
                    pass.again.push(turn.account);
                    failed = Some(error.into());
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Picks what was admitted; an account that was denied leaves the ring.
    fn judged(&mut self, mut turn: Turn, mut wanted: Vec<Head>, pass: &mut Pass, judgement: Judgement) {
        let Judgement { slots, permits, denial } = judgement;
        let left = wanted.split_off(permits.len());
        turn.started += permits.len();
        if let Some(known) = self.known.get_mut(&turn.account) {
            known.heads = (2 * turn.started).clamp(HEADS_MIN, HEADS_MAX);
        }
        let begun = slots.current + 1 - u32::try_from(permits.len()).unwrap_or(slots.current);
        for ((head, permit), current) in wanted.into_iter().zip(permits).zip(begun..) {
            pass.places.take(&head);
            let cancel = self.engine.later.begin(head.seq, gate_of(&head));
            let slots = SlotStanding { current, ..slots };
            pass.picks.push(Pick { account: turn.account, head, permit, slots, cancel });
        }
        match denial {
            None => pass.turns.push_back(turn),
            Some(Denial::Credits { held: false }) => {
                let mut left = left.into_iter();
                if let Some(head) = left.next() {
                    self.refuse(turn.account, head.seq);
                }
                left.rev().for_each(|head| turn.heads.push_front(head));
                pass.turns.push_back(turn);
            }
            Some(_) => self.leave(turn.account), // Called out when that may change.
        }
    }

    fn leave(&mut self, account: AccountId) {
        self.in_ring.remove(&account);
    }

    /// How many more attempts each endpoint takes now. One without a provider takes any number: its tasks fail at once.
    fn rooms(&self, now: Timestamp) -> Rooms {
        Endpoint::ALL.map(|endpoint| match self.engine.catalog().line(endpoint) {
            Ok(line) => line.room(now).saturating_sub(self.engine.later.entering(endpoint)),
            Err(_) => usize::MAX,
        })
    }

    /// Looks at parked accounts again whose endpoint has room now, as many as that; whether there were any.
    fn unpark(&mut self, rooms: &Rooms) -> bool {
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

    /// What admission is asked, on an account that is up to date.
    async fn ask(
        &mut self,
        account: AccountId,
        heads: &[Head],
        now: Timestamp,
    ) -> Result<Start, DecideError> {
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
        Ok(Start { facts: known.facts, now, wants: heads.iter().map(want).collect() })
    }

    async fn read(&mut self, account: AccountId) -> Result<Known, DecideError> {
        let account = self.engine.parts.current(account).await?;
        let (facts, cycle_ends_at) = (self.engine.parts.facts(&account), account.cycle.ends_at);
        let known = Known { facts, cycle_ends_at, heads: HEADS_MIN };
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

/// How many more attempts each endpoint takes.
type Rooms = [usize; Endpoint::ALL.len()];

/// Places that are left: of this node, and of each endpoint.
#[derive(Clone, Copy, Default)]
struct Places {
    free: usize,
    rooms: Rooms,
}

impl Places {
    /// One in so many of them, rounded up.
    fn share(self, among: usize) -> Self {
        Self { free: self.free.div_ceil(among), rooms: self.rooms.map(|room| room.div_ceil(among)) }
    }

    /// This task has one. The sandbox has room for any number of test tasks.
    fn take(&mut self, head: &Head) {
        self.free -= 1;
        self.rooms[head.endpoint.index()] -= usize::from(head.kind == KeyKind::Live);
    }

    const fn has(&self, head: &Head) -> bool {
        self.free > 0 && (matches!(head.kind, KeyKind::Test) || self.rooms[head.endpoint.index()] > 0)
    }
}

/// One pass over the ring.
#[derive(Default)]
struct Pass {
    now: Timestamp,
    places: Places,
    /// Accounts that have heads left, in turn.
    turns: VecDeque<Turn>,
    picks: Vec<Pick>,
    /// Accounts that have their next turn in the next pass.
    again: Vec<AccountId>,
}

/// What an account may start in this pass.
struct Turn {
    account: AccountId,
    heads: VecDeque<Head>,
    /// There may be more behind these.
    more: bool,
    /// In this pass.
    started: usize,
}

impl Turn {
    /// The next heads, as long as there is a place for each.
    fn take(&mut self, mut places: Places) -> Vec<Head> {
        let mut taken = Vec::new();
        while let Some(head) = self.heads.pop_front_if(|head| places.has(head)) {
            places.take(&head);
            taken.push(head);
        }
        taken
    }
}

/// What admission says of the tasks of one account.
struct Judgement {
    slots: SlotStanding,
    permits: Vec<Permit>,
    denial: Option<Denial>,
}
