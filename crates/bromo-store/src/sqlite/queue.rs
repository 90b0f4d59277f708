//! Which tasks wait and which run, in memory: a pure data structure, no clock, no disk.
//!
//! It mirrors the disk: what waits here is QUEUED there, what runs is PROCESSING. Only one thing goes beyond it: a
//! task that somebody is about to claim is not shown as a head, while it still counts as waiting.
//!
//! A waiting task takes about 60 bytes. All that is asked often is a counter or the front of an ordered set, so it
//! costs the same with a thousand tasks and with a million.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bromo_rules::credit::Credits;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::AccountId;
use bromo_rules::key::KeyKind;
use bromo_rules::task::{Depth, Priority, TaskId};
use bromo_rules::time::Timestamp;

use super::task_blocks;
use crate::tasks::{Endpoints, Head, TaskSeq};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What the queue knows of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Whose it is.
    pub(super) account: AccountId,
    /// Its largest possible price.
    pub(super) hold: Credits,
    /// Who is asked.
    pub(super) endpoint: Endpoint,
    /// Its priority.
    pub(super) priority: Priority,
    /// Live or test.
    pub(super) kind: KeyKind,
}

/// What is kept of a running task, so that its end need not look it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    /// As it stood in the queue.
    pub(super) entry: Entry,
    /// Its id: the key of its charge.
    pub(super) id: TaskId,
    /// Host and port of its webhook.
    pub(super) host: Option<Arc<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// May run now.
    Ready,
    /// May run later: see `Queue::waits`.
    Waits,
    /// Somebody is about to claim it.
    Taken,
}

/// A waiting task's place in the order of its account: higher priority first, then first in, first out. One number, so
/// that an ordered set of them is small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u64);

const SEQ_BITS: u32 = 56;

impl Rank {
    fn new(priority: Priority, seq: TaskSeq) -> Self {
        let behind = Priority::COUNT - 1 - priority.index();
        Self((behind as u64) << SEQ_BITS | seq.unsigned_abs())
    }

    fn seq(self) -> TaskSeq {
        (self.0 & ((1 << SEQ_BITS) - 1)).cast_signed()
    }
}

/// One account's tasks.
#[derive(Debug, Default)]
struct Line {
    /// Live tasks that may run now, by endpoint; after them the test tasks, which ask none.
    ready: [BTreeSet<Rank>; Endpoint::ALL.len() + 1],
    /// The other waiting ones.
    aside: BTreeSet<Rank>,
    depth: Depth,
    /// The last block of `seq`s that it is known to have tasks in.
    block: Option<i64>,
}

impl Line {
    fn is_empty(&self) -> bool {
        self.depth == Depth::default()
    }

    fn set(&mut self, entry: &Entry, place: Place) -> &mut BTreeSet<Rank> {
        match place {
            Place::Ready => match entry.kind {
                KeyKind::Live => &mut self.ready[entry.endpoint.index()],
                KeyKind::Test => &mut self.ready[Endpoint::ALL.len()],
            },
            Place::Waits | Place::Taken => &mut self.aside,
        }
    }
}

/// All waiting and running tasks.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: Map<AccountId, Line>,
    waiting: Map<TaskSeq, (Entry, Place)>,
    running: Map<TaskSeq, Running>,
    /// When waits end …
    waits: BTreeSet<(Timestamp, TaskSeq)>,
    /// … and the same the other way round.
    wait_ends: BTreeMap<TaskSeq, Timestamp>,
    /// How many tasks of each block wait or run; the last block stands there even with none.
    open: BTreeMap<i64, u32>,
    /// Blocks that have left `open`.
    closed: Vec<i64>,
}

impl Queue {
    /// A block that may have tasks which have not ended, those of later blocks not yet accepted.
    pub(super) fn open(&mut self, block: i64) {
        if let Some((last, 0)) = self.open.last_key_value().map(|(last, open)| (*last, *open)) {
            self.open.remove(&last);
            self.closed.push(last);
        }
        self.open.insert(block, 0);
    }

    /// A task that is new here and waits, at its place by `seq`. At most so many stand before it.
    pub(super) fn accept(&mut self, seq: TaskSeq, entry: Entry, not_before: Option<Timestamp>) -> u64 {
        let block = task_blocks::block(seq);
        if !self.open.contains_key(&block) {
            self.open(block);
        }
        *self.open.entry(block).or_default() += 1;
        self.push(seq, entry, not_before)
    }

    fn push(&mut self, seq: TaskSeq, entry: Entry, not_before: Option<Timestamp>) -> u64 {
        let place = if let Some(until) = not_before {
            self.waits.insert((until, seq));
            self.wait_ends.insert(seq, until);
            Place::Waits
        } else {
            Place::Ready
        };
        let line = self.lines.entry(entry.account).or_default();
        line.set(&entry, place).insert(Rank::new(entry.priority, seq));
        let index = entry.priority.index();
        let before = line.depth.queued[index..].iter().sum();
        line.depth.queued[index] += 1;
        self.waiting.insert(seq, (entry, place));
        before
    }

    /// Takes those that may run now out of sight; answers which.
    pub(super) fn take(&mut self, tasks: &[TaskSeq]) -> Vec<TaskSeq> {
        tasks.iter().copied().filter(|seq| self.place(*seq, Place::Ready, Place::Taken)).collect()
    }

    /// Shows those again that were taken out of sight and are still there.
    pub(super) fn untake(&mut self, tasks: &[TaskSeq]) {
        for seq in tasks {
            self.place(*seq, Place::Taken, Place::Ready);
        }
    }

    /// Moves a waiting task; false if it is not where it was expected.
    fn place(&mut self, seq: TaskSeq, from: Place, to: Place) -> bool {
        let Some((entry, place)) = self.waiting.get_mut(&seq) else { return false };
        if *place != from {
            return false;
        }
        *place = to;
        let rank = Rank::new(entry.priority, seq);
        if let Some(line) = self.lines.get_mut(&entry.account) {
            line.set(entry, from).remove(&rank);
            line.set(entry, to).insert(rank);
        }
        true
    }

    /// A waiting task is gone: deleted, or ended without an attempt.
    pub(super) fn remove(&mut self, seq: TaskSeq) -> Option<Entry> {
        let entry = self.pull(seq)?;
        self.leave_block(seq);
        Some(entry)
    }

    /// A running task has ended.
    pub(super) fn end(&mut self, seq: TaskSeq) -> Option<Running> {
        let running = self.stop(seq)?;
        self.leave_block(seq);
        Some(running)
    }

    fn leave_block(&mut self, seq: TaskSeq) {
        let block = task_blocks::block(seq);
        let Some(open) = self.open.get_mut(&block) else { return };
        *open -= 1;
        if *open == 0 && self.open.last_key_value().is_some_and(|(last, _)| *last > block) {
            self.open.remove(&block);
            self.closed.push(block);
        }
    }

    fn pull(&mut self, seq: TaskSeq) -> Option<Entry> {
        let (entry, place) = self.waiting.remove(&seq)?;
        if let Some(until) = self.wait_ends.remove(&seq) {
            self.waits.remove(&(until, seq));
        }
        if let Some(line) = self.lines.get_mut(&entry.account) {
            line.set(&entry, place).remove(&Rank::new(entry.priority, seq));
            line.depth.queued[entry.priority.index()] -= 1;
        }
        self.forget_if_empty(entry.account);
        Some(entry)
    }

    /// A waiting task runs from now on.
    pub(super) fn start(&mut self, seq: TaskSeq, id: TaskId, host: Option<Arc<str>>) {
        if let Some(entry) = self.pull(seq) {
            self.lines.entry(entry.account).or_default().depth.processing += 1;
            self.running.insert(seq, Running { entry, id, host });
        }
    }

    /// A running task waits again, at its old place.
    pub(super) fn put_back(&mut self, seq: TaskSeq, not_before: Option<Timestamp>) {
        if let Some(running) = self.stop(seq) {
            self.push(seq, running.entry, not_before);
        }
    }

    fn stop(&mut self, seq: TaskSeq) -> Option<Running> {
        let running = self.running.remove(&seq)?;
        let account = running.entry.account;
        if let Some(line) = self.lines.get_mut(&account) {
            line.depth.processing -= 1;
        }
        self.forget_if_empty(account);
        Some(running)
    }

    fn forget_if_empty(&mut self, account: AccountId) {
        if self.lines.get(&account).is_some_and(Line::is_empty) {
            self.lines.remove(&account);
        }
    }

    /// Lets tasks run whose wait is over: their accounts, and when the next wait ends.
    pub(super) fn end_waits(&mut self, now: Timestamp) -> (Vec<AccountId>, Option<Timestamp>) {
        let mut accounts = Vec::new();
        while let Some(&(until, seq)) = self.waits.first() {
            if until > now {
                return (accounts, Some(until));
            }
            self.waits.pop_first();
            self.wait_ends.remove(&seq);
            self.place(seq, Place::Waits, Place::Ready);
            let account = self.waiting.get(&seq).map(|(entry, _)| entry.account);
            accounts.extend(account.filter(|account| !accounts.contains(account)));
        }
        (accounts, None)
    }

    /// The first tasks of the account that may run.
    pub(super) fn heads(&self, account: AccountId, endpoints: Endpoints, count: usize) -> Vec<Head> {
        let Some(line) = self.lines.get(&account) else { return Vec::new() };
        let shown =
            Endpoint::ALL.into_iter().filter(|endpoint| endpoints.has(*endpoint)).map(Endpoint::index);
        let mut fronts: Vec<_> = shown
            .chain(std::iter::once(Endpoint::ALL.len()))
            .map(|index| line.ready[index].iter().peekable())
            .collect();
        let mut heads = Vec::new();
        while heads.len() < count
            && let Some((_, front)) = fronts
                .iter_mut()
                .filter_map(|front| Some((*front.peek()?, front)))
                .min_by_key(|(rank, _)| *rank)
            && let Some(rank) = front.next()
        {
            let seq = rank.seq();
            if let Some((Entry { endpoint, kind, hold, .. }, _)) = self.waiting.get(&seq).copied() {
                heads.push(Head { seq, endpoint, kind, hold });
            }
        }
        heads
    }

    /// At most so many tasks of the account stand before this one, which waits: all of higher priority, and of its own
    /// no more than there are nor than were accepted since the first of them.
    pub(super) fn ahead_max(&self, account: AccountId, priority: Priority, seq: TaskSeq) -> u64 {
        let Some(line) = self.lines.get(&account) else { return 0 };
        let queued = &line.depth.queued;
        let higher: u64 = queued[priority.index() + 1..].iter().sum();
        let own = queued[priority.index()].saturating_sub(1);
        let from = Rank::new(priority, 0);
        let first = line.ready.iter().chain([&line.aside]).filter_map(|set| set.range(from..).next());
        let accepted_since = first.min().map_or(0, |first| seq.saturating_sub(first.seq()));
        higher + own.min(u64::try_from(accepted_since).unwrap_or(0))
    }

    /// What the account has waiting and running.
    pub(super) fn depth(&self, account: AccountId) -> Depth {
        self.lines.get(&account).map(|line| line.depth).unwrap_or_default()
    }

    /// Accounts with tasks that may run now.
    pub(super) fn accounts_ready(&self) -> Vec<AccountId> {
        let ready = |line: &Line| line.ready.iter().any(|set| !set.is_empty());
        self.lines.iter().filter(|(_, line)| ready(line)).map(|(account, _)| *account).collect()
    }

    /// All waiting tasks of the account, oldest first.
    pub(super) fn waiting_of(&self, account: AccountId) -> Vec<TaskSeq> {
        let Some(line) = self.lines.get(&account) else { return Vec::new() };
        let mut all: Vec<_> =
            line.ready.iter().chain([&line.aside]).flatten().map(|rank| rank.seq()).collect();
        all.sort_unstable();
        all
    }

    /// Whether the block is known to have tasks that wait or run, or may yet get some.
    pub(super) fn is_open(&self, block: i64) -> bool {
        self.open.contains_key(&block)
    }

    /// Blocks whose tasks have all ended, each named once.
    pub(super) fn take_closed(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.closed)
    }

    /// A running task.
    pub(super) fn running(&self, seq: TaskSeq) -> Option<&Running> {
        self.running.get(&seq)
    }

    /// Whether the account's tasks reach this block for the first time, as far as is known here.
    pub(super) fn enters_block(&self, account: AccountId, block: i64) -> bool {
        self.lines.get(&account).is_none_or(|line| line.block != Some(block))
    }

    /// The account has tasks in this block, on disk.
    pub(super) fn entered_block(&mut self, account: AccountId, block: i64) {
        if let Some(line) = self.lines.get_mut(&account) {
            line.block = Some(block);
        }
    }

    /// All waiting and all running tasks.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.waiting.len() as u64, self.running.len() as u64)
    }
}

#[cfg(test)]
mod tests;
