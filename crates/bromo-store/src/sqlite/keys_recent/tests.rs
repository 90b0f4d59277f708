//! Keys beside a table that a commit may or may not reach.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A group that accepts this many tasks with keys of these hashes, and commits or not.
    Group { accepts: u8, commits: bool },
    /// The task of this number, if it is there, is deleted by a group of its own.
    Delete(TaskSeq),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..12_u8, proptest::bool::weighted(0.8))
            .prop_map(|(accepts, commits)| Step::Group { accepts, commits }),
        2 => (0..300_i64).prop_map(Step::Delete),
    ]
}

/// Few enough for several tasks to share one.
const fn hash(seq: TaskSeq) -> i64 {
    seq * 7919 % 23 - 11
}

#[derive(Debug, Default)]
struct World {
    keys: Keys,
    table: BTreeSet<Place>,
    keys_from: TaskSeq,
    /// Tasks that are there, by the hash of their key.
    live: BTreeSet<Place>,
    next: TaskSeq,
}

impl World {
    /// One group of the writer.
    fn group(&mut self, accepted: Vec<Place>, gone: Option<Place>, commits: bool) {
        let next = self.next - i64::try_from(accepted.len()).unwrap();
        let sweep = self.keys.slice(accepted.len(), next);
        if !commits {
            return;
        }
        for (hash, seq) in accepted {
            self.live.insert((hash, seq));
            self.keys.add(hash, seq);
        }
        if let Some((hash, seq)) = gone {
            self.live.remove(&(hash, seq));
            self.keys.remove(hash, seq);
        }
        if let Some(sweep) = sweep {
            self.write(&sweep);
            self.keys.swept(&sweep);
        }
    }

    fn write(&mut self, sweep: &Sweep) {
        for (place, turn) in &sweep.places {
            match turn {
                Turn::Add => self.table.insert(*place),
                Turn::Remove => self.table.remove(place),
            };
        }
        self.keys_from = sweep.keys_from.unwrap_or(self.keys_from);
    }

    fn check(&self) {
        for hash in -11..12 {
            let all = |places: &BTreeSet<Place>| {
                places.range((hash, 0)..=(hash, i64::MAX)).map(|(_, seq)| *seq).collect::<BTreeSet<_>>()
            };
            let mut found = all(&self.table);
            found.extend(self.keys.lookup(hash));
            assert!(found.is_superset(&all(&self.live)), "a key is not found");
        }
        let unwritten = self.live.difference(&self.table).find(|(_, seq)| *seq < self.keys_from);
        assert_eq!(unwritten, None, "a key would be lost by a crash");
        assert!(self.keys.places.len() <= 8 * (SWEEP_KEYS + 12), "it only grows");
    }

    /// The process ends or crashes, and the store is opened again.
    fn open_again(&mut self) {
        self.keys = Keys::new(self.keys_from);
        for (hash, seq) in self.live.iter().filter(|(_, seq)| *seq >= self.keys_from) {
            self.keys.add(*hash, *seq);
        }
    }
}

proptest! {
    #[test]
    fn every_key_is_found_whatever_is_written_when(
        steps in vec(step(), 1..150),
        crash_at in 0..150_usize,
    ) {
        let mut world = World::default();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Group { accepts, commits } => {
                    let seqs = world.next..world.next + i64::from(accepts);
                    world.next = seqs.end;
                    world.group(seqs.map(|seq| (hash(seq), seq)).collect(), None, commits);
                }
                Step::Delete(seq) => {
                    let gone = Some((hash(seq), seq)).filter(|place| world.live.contains(place));
                    world.group(Vec::new(), gone, true);
                }
            }
            world.check();
            if number == crash_at {
                world.open_again();
                world.check();
            }
        }
        // A clean end leaves nothing to be read, and without a crash nothing too much.
        if let Some(rest) = world.keys.rest(world.next) {
            world.write(&rest);
        }
        prop_assert!(world.table.is_superset(&world.live));
        prop_assert_eq!(world.keys_from, world.next);
        world.open_again();
        prop_assert!(world.keys.places.is_empty());
    }

    #[test]
    fn without_a_crash_the_table_ends_with_what_is_there(steps in vec(step(), 1..150)) {
        let mut world = World::default();
        for step in steps {
            match step {
                Step::Group { accepts, commits } => {
                    let seqs = world.next..world.next + i64::from(accepts);
                    world.next = seqs.end;
                    world.group(seqs.map(|seq| (hash(seq), seq)).collect(), None, commits);
                }
                Step::Delete(seq) => {
                    let gone = Some((hash(seq), seq)).filter(|place| world.live.contains(place));
                    world.group(Vec::new(), gone, true);
                }
            }
        }
        if let Some(rest) = world.keys.rest(world.next) {
            world.write(&rest);
        }
        prop_assert_eq!(world.table, world.live);
    }
}

#[test]
fn a_sweep_begins_when_there_are_many_keys_and_ends() {
    let mut keys = Keys::default();
    for seq in 0..SWEEP_KEYS as i64 {
        assert_eq!(keys.slice(0, seq), None);
        keys.add(hash(seq), seq);
    }
    let mut swept = 0;
    while let Some(sweep) = keys.slice(1, SWEEP_KEYS as i64) {
        assert!(sweep.places.is_sorted_by_key(|(place, _)| *place) && sweep.places.len() <= SLICE_KEYS + 2);
        swept += sweep.places.len();
        keys.swept(&sweep);
    }
    assert_eq!((swept, keys.places.len(), keys.keys_from), (SWEEP_KEYS, 0, SWEEP_KEYS as i64));
}
