//! Idempotency keys that their table lacks, in memory: a pure data structure, no disk.
//!
//! Keys are random. Written one by one, each costs a page of the table; in their order and many at once they share
//! pages. So they gather here, and once there are enough of them the writer sweeps: each commit takes the next few in
//! order along, until it is once through. What is accepted meanwhile goes along if the sweep has not yet passed its
//! place, or waits for the next. A key that was removed is taken out of the table in the same way.
//!
//! A crash loses nothing: tasks since `keys_from` are read when the store is opened. It may leave keys of tasks that
//! are gone in the table, which is why a look-up compares the key itself.

use std::collections::BTreeMap;

use crate::tasks::TaskSeq;

/// Keys at which a sweep begins. Tests want to see many.
const SWEEP_KEYS: usize = if cfg!(test) { 16 } else { 32_768 };
/// Tasks after which one begins all the same, so that few need to be read when the store is opened.
const SWEEP_SEQS: i64 = if cfg!(test) { 40 } else { 262_144 };
/// Keys that a commit takes along, besides twice as many as it accepts.
const SLICE_KEYS: usize = if cfg!(test) { 3 } else { 32 };

/// A key's place in the table.
type Place = (i64, TaskSeq);

/// What is to become of a place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It gets its key.
    Add,
    /// It loses it.
    Remove,
}

/// The next few of a sweep.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sweep {
    /// In their order.
    pub(super) places: Vec<(Place, Turn)>,
    /// If these are the last: all tasks before this one have their keys in the table.
    pub(super) keys_from: Option<TaskSeq>,
}

/// Keys that the table lacks, or has too much.
#[derive(Debug, Default)]
pub(super) struct Keys {
    places: BTreeMap<Place, Turn>,
    /// Where the sweep goes on, and which tasks it began with.
    sweeping: Option<(Place, TaskSeq)>,
    keys_from: TaskSeq,
}

impl Keys {
    /// None yet. Tasks before `keys_from` have theirs in the table.
    pub(super) const fn new(keys_from: TaskSeq) -> Self {
        Self { places: BTreeMap::new(), sweeping: None, keys_from }
    }

    /// The task has this key.
    pub(super) fn add(&mut self, hash: i64, seq: TaskSeq) {
        self.places.insert((hash, seq), Turn::Add);
    }

    /// The task is gone.
    pub(super) fn remove(&mut self, hash: i64, seq: TaskSeq) {
        // One that never came to the table need not be taken out; it might be on its way there, though.
        if self.places.get(&(hash, seq)) == Some(&Turn::Add) && self.sweeping.is_none() {
            self.places.remove(&(hash, seq));
        } else {
            self.places.insert((hash, seq), Turn::Remove);
        }
    }

    /// Tasks that may have this key.
    pub(super) fn lookup(&self, hash: i64) -> Vec<TaskSeq> {
        let places = self.places.range((hash, TaskSeq::MIN)..=(hash, TaskSeq::MAX));
        places.filter(|(_, turn)| **turn == Turn::Add).map(|((_, seq), _)| *seq).collect()
    }

    /// What the next commit is to take along, if anything; it accepts so many keys itself, and `next` is the number of
    /// the next task.
    pub(super) fn slice(&mut self, accepted: usize, next: TaskSeq) -> Option<Sweep> {
        let (from, keys_from) = if let Some(sweeping) = self.sweeping {
            sweeping
        } else {
            if self.places.len() < SWEEP_KEYS && next - self.keys_from < SWEEP_SEQS {
                return None;
            }
            ((i64::MIN, TaskSeq::MIN), next)
        };
        self.sweeping = Some((from, keys_from));
        Some(self.from(from, SLICE_KEYS + 2 * accepted, keys_from))
    }

    /// All of it, at the end, if there is anything.
    pub(super) fn rest(&self, next: TaskSeq) -> Option<Sweep> {
        let any = !self.places.is_empty() || self.keys_from < next;
        any.then(|| self.from((i64::MIN, TaskSeq::MIN), usize::MAX, next))
    }

    fn from(&self, from: Place, count: usize, keys_from: TaskSeq) -> Sweep {
        let mut rest = self.places.range(from..).map(|(place, turn)| (*place, *turn));
        let places: Vec<_> = rest.by_ref().take(count).collect();
        Sweep { places, keys_from: rest.next().is_none().then_some(keys_from) }
    }

    /// These are in the table now.
    pub(super) fn swept(&mut self, sweep: &Sweep) {
        for (place, turn) in &sweep.places {
            // It may have been removed since.
            if self.places.get(place) == Some(turn) {
                self.places.remove(place);
            }
        }
        if let Some(keys_from) = sweep.keys_from {
            self.keys_from = keys_from;
            self.sweeping = None;
        } else if let (Some((last, _)), Some((from, _))) = (sweep.places.last(), &mut self.sweeping) {
            *from = (last.0, last.1.saturating_add(1));
        }
    }
}

#[cfg(test)]
mod tests;
