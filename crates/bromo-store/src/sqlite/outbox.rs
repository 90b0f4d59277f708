//! Which deliveries are pending, in memory: by lane, account and host, in the order in which they become due. A pure data
//! structure, no clock, no disk.
//!
//! A delivery that somebody has taken is in no lane; it still counts as pending.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bromo_rules::id::AccountId;
use bromo_rules::time::Timestamp;

use crate::deliveries::{Lane, Room};
use crate::tasks::TaskSeq;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A pending delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    /// Its task.
    pub(super) seq: TaskSeq,
    /// Its task's place in the order of ends, and its own name on disk.
    pub(super) end_seq: i64,
    /// Whose it is.
    pub(super) account: AccountId,
    /// Host and port.
    pub(super) host: Arc<str>,
    /// When it is tried next.
    pub(super) due_at: Timestamp,
    /// Whether an attempt was made before.
    pub(super) lane: Lane,
}

impl Pending {
    const fn turn(&self) -> Turn {
        Turn { due_at: self.due_at, end_seq: self.end_seq, seq: self.seq }
    }

    fn receiver(&self) -> Receiver {
        (self.account, Arc::clone(&self.host))
    }
}

/// A delivery's place within its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    due_at: Timestamp,
    end_seq: i64,
    seq: TaskSeq,
}

#[derive(Debug, Default)]
struct OfAccount {
    pending: u64,
    /// Those in the retry lane, oldest first.
    retrying: BTreeSet<(i64, TaskSeq)>,
}

/// All pending deliveries.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pending: Map<TaskSeq, (Pending, bool)>,
    accounts: Map<AccountId, OfAccount>,
    fresh: Receivers,
    retry: Receivers,
}

impl Outbox {
    /// A delivery that is pending from now on, or that is due at another time. One that is taken is left alone.
    pub(super) fn book(&mut self, delivery: Pending) {
        if self.is_taken(delivery.seq) {
            return;
        }
        self.close(delivery.seq);
        self.accounts.entry(delivery.account).or_default().pending += 1;
        self.show(&delivery);
        self.pending.insert(delivery.seq, (delivery, false));
    }

    /// A delivery is pending no longer.
    pub(super) fn close(&mut self, seq: TaskSeq) {
        let Some((delivery, taken)) = self.pending.remove(&seq) else { return };
        if !taken {
            self.hide(&delivery);
        }
        if let Some(account) = self.accounts.get_mut(&delivery.account) {
            account.pending -= 1;
            if account.pending == 0 {
                self.accounts.remove(&delivery.account);
            }
        }
    }

    /// An attempt failed: gives the delivery back, to be tried again then.
    pub(super) fn retry_at(&mut self, seq: TaskSeq, due_at: Timestamp) {
        let Some((delivery, _)) = self.pending.get(&seq) else { return };
        let delivery = Pending { due_at, lane: Lane::Retry, ..delivery.clone() };
        self.close(seq);
        self.book(delivery);
    }

    /// Takes deliveries that are due, one account and host after the other, oldest first within each.
    pub(super) fn take(
        &mut self,
        lane: Lane,
        now: Timestamp,
        room: Room<'_>,
        count: usize,
    ) -> Vec<(TaskSeq, i64)> {
        let turns = self.receivers(lane).take(now, room, count);
        let taken: Vec<_> = turns.into_iter().map(|turn| (turn.seq, turn.end_seq)).collect();
        for (seq, _) in &taken {
            if let Some((delivery, taken)) = self.pending.get_mut(seq) {
                *taken = true;
                if let Some(account) = self.accounts.get_mut(&delivery.account) {
                    account.retrying.remove(&(delivery.end_seq, *seq));
                }
            }
        }
        taken
    }

    /// Takes the account's oldest delivery in the retry lane.
    pub(super) fn take_oldest_retrying(&mut self, account: AccountId) -> Option<Pending> {
        let (_, seq) = *self.accounts.get(&account)?.retrying.first()?;
        let (delivery, taken) = self.pending.get_mut(&seq)?;
        *taken = true;
        let delivery = delivery.clone();
        self.hide(&delivery);
        Some(delivery)
    }

    /// Gives taken deliveries back, each to its old place.
    pub(super) fn put_back(&mut self, taken: &[TaskSeq]) {
        for seq in taken {
            if let Some((delivery, taken)) = self.pending.get_mut(seq)
                && std::mem::take(taken)
            {
                let delivery = delivery.clone();
                self.show(&delivery);
            }
        }
    }

    /// Whether somebody has it.
    pub(super) fn is_taken(&self, seq: TaskSeq) -> bool {
        self.pending.get(&seq).is_some_and(|(_, taken)| *taken)
    }

    /// Its name on disk, if it is pending.
    pub(super) fn end_seq(&self, seq: TaskSeq) -> Option<i64> {
        self.pending.get(&seq).map(|(delivery, _)| delivery.end_seq)
    }

    /// When the next one is due that nobody has.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        [self.fresh.next_due(), self.retry.next_due()].into_iter().flatten().min()
    }

    /// Pending deliveries of the account.
    pub(super) fn pending_of(&self, account: AccountId) -> u64 {
        self.accounts.get(&account).map_or(0, |account| account.pending)
    }

    /// All pending deliveries.
    pub(super) fn pending(&self) -> u64 {
        self.pending.len() as u64
    }

    const fn receivers(&mut self, lane: Lane) -> &mut Receivers {
        match lane {
            Lane::Fresh => &mut self.fresh,
            Lane::Retry => &mut self.retry,
        }
    }

    fn show(&mut self, delivery: &Pending) {
        self.receivers(delivery.lane).put(&delivery.receiver(), delivery.turn());
        if delivery.lane == Lane::Retry {
            let account = self.accounts.entry(delivery.account).or_default();
            account.retrying.insert((delivery.end_seq, delivery.seq));
        }
    }

    fn hide(&mut self, delivery: &Pending) {
        self.receivers(delivery.lane).remove(&delivery.receiver(), delivery.turn());
        if let Some(account) = self.accounts.get_mut(&delivery.account) {
            account.retrying.remove(&(delivery.end_seq, delivery.seq));
        }
    }
}

/// Whose deliveries, and to which host and port: one account's dead receiver holds up nobody else's deliveries, not even
/// to the same host.
type Receiver = (AccountId, Arc<str>);

/// One lane: a line an account and host. Those with something due stand in a ring and are asked in turn; the others
/// sleep until their first delivery becomes due.
#[derive(Debug, Default)]
struct Receivers {
    lines: Map<Receiver, Line>,
    ring: VecDeque<Receiver>,
    asleep: BTreeSet<(Timestamp, Receiver)>,
}

#[derive(Debug, Default)]
struct Line {
    turns: BTreeSet<Turn>,
    /// When it wakes up; none if it is in the ring, where it stays, even without turns, until it is asked.
    sleeps_until: Option<Timestamp>,
}

impl Receivers {
    fn put(&mut self, receiver: &Receiver, turn: Turn) {
        if !self.lines.contains_key(receiver) {
            self.lines.insert(receiver.clone(), Line { sleeps_until: Some(turn.due_at), ..Line::default() });
            self.asleep.insert((turn.due_at, receiver.clone()));
        }
        if let Some(line) = self.lines.get_mut(receiver) {
            line.turns.insert(turn);
            self.sleep_on(receiver);
        }
    }

    fn remove(&mut self, receiver: &Receiver, turn: Turn) {
        if let Some(line) = self.lines.get_mut(receiver) {
            line.turns.remove(&turn);
            self.sleep_on(receiver);
        }
    }

    /// The first turn of a line may have changed: one that sleeps sleeps until the new one.
    fn sleep_on(&mut self, receiver: &Receiver) {
        let Some(line) = self.lines.get_mut(receiver) else { return };
        let Some(until) = line.sleeps_until else { return };
        line.sleeps_until = line.turns.first().map(|turn| turn.due_at);
        let first = line.sleeps_until;
        if first != Some(until) {
            self.asleep.remove(&(until, receiver.clone()));
            match first {
                Some(first) => drop(self.asleep.insert((first, receiver.clone()))),
                None => drop(self.lines.remove(receiver)),
            }
        }
    }

    fn take(&mut self, now: Timestamp, room: Room<'_>, count: usize) -> Vec<Turn> {
        self.wake(now);
        let mut taken = Vec::new();
        // Once round the ring: each receiver's room is asked for, and it gives one.
        let mut more = VecDeque::new();
        for _ in 0..self.ring.len() {
            if taken.len() == count {
                break;
            }
            let Some(receiver) = self.ring.pop_front() else { break };
            if self.sleep_unless_due(&receiver, now) {
                continue;
            }
            let places = room(receiver.0, &receiver.1);
            if places > 0 {
                taken.extend(self.pop(&receiver, now));
                more.push_back((receiver.clone(), places - 1));
            }
            self.ring.push_back(receiver);
        }
        // And round those that had room for more.
        while taken.len() < count
            && let Some((receiver, places)) = more.pop_front()
        {
            if places > 0
                && let Some(turn) = self.pop(&receiver, now)
            {
                taken.push(turn);
                more.push_back((receiver, places - 1));
            }
        }
        taken
    }

    fn wake(&mut self, now: Timestamp) {
        while self.asleep.first().is_some_and(|(until, _)| *until <= now)
            && let Some((_, receiver)) = self.asleep.pop_first()
        {
            if let Some(line) = self.lines.get_mut(&receiver) {
                line.sleeps_until = None;
                self.ring.push_back(receiver);
            }
        }
    }

    /// Sends a receiver that has left the ring to sleep, or forgets it, if it has nothing due.
    fn sleep_unless_due(&mut self, receiver: &Receiver, now: Timestamp) -> bool {
        let Some(line) = self.lines.get_mut(receiver) else { return true };
        match line.turns.first().map(|turn| turn.due_at) {
            Some(due_at) if due_at <= now => return false,
            Some(due_at) => {
                line.sleeps_until = Some(due_at);
                self.asleep.insert((due_at, receiver.clone()));
            }
            None => {
                self.lines.remove(receiver);
            }
        }
        true
    }

    fn pop(&mut self, receiver: &Receiver, now: Timestamp) -> Option<Turn> {
        let turns = &mut self.lines.get_mut(receiver)?.turns;
        if turns.first()?.due_at <= now { turns.pop_first() } else { None }
    }

    fn next_due(&self) -> Option<Timestamp> {
        let awake = self.ring.iter().filter_map(|receiver| self.lines.get(receiver)?.turns.first());
        let asleep = self.asleep.first().map(|(until, _)| *until);
        awake.map(|turn| turn.due_at).chain(asleep).min()
    }
}

#[cfg(test)]
mod tests;
