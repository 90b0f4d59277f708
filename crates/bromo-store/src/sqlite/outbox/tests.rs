//! The outbox beside a naive model of it: a list that is searched.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::contract::later;

const HOSTS: [&str; 3] = ["a:443", "b:443", "c:443"];
const ACCOUNTS: u64 = 2;

#[derive(Debug, Clone)]
enum Step {
    Book { seq: TaskSeq, account: u64, host: usize, due_ms: i64, retry: bool },
    Close(TaskSeq),
    RetryAt(TaskSeq, i64),
    Take { retry: bool, now_ms: i64, rooms: [usize; 3], count: usize },
    TakeOldest(u64),
    PutBack(Vec<TaskSeq>),
}

fn step() -> impl Strategy<Value = Step> {
    let seq = || 0..30_i64;
    let ms = || 0..40_i64;
    prop_oneof![
        5 => (seq(), 0..ACCOUNTS, 0..3_usize, ms(), any::<bool>()).prop_map(
            |(seq, account, host, due_ms, retry)| Step::Book { seq, account, host, due_ms, retry },
        ),
        1 => seq().prop_map(Step::Close),
        1 => (seq(), ms()).prop_map(|(seq, ms)| Step::RetryAt(seq, ms)),
        3 => (any::<bool>(), ms(), [0..4_usize, 0..4_usize, 0..4_usize], 0..8_usize)
            .prop_map(|(retry, now_ms, rooms, count)| Step::Take { retry, now_ms, rooms, count }),
        1 => (0..ACCOUNTS).prop_map(Step::TakeOldest),
        2 => vec(seq(), 0..4).prop_map(Step::PutBack),
    ]
}

#[derive(Debug, Default)]
struct Model(BTreeMap<TaskSeq, (Pending, bool)>);

impl Model {
    /// What is in this lane and due, by account and host, oldest first.
    fn due(&self, lane: Lane, now: Timestamp) -> BTreeMap<Receiver, Vec<Turn>> {
        let mut due = BTreeMap::<_, Vec<_>>::new();
        for (delivery, taken) in self.0.values() {
            if !taken && delivery.lane == lane && delivery.due_at <= now {
                due.entry(delivery.receiver()).or_default().push(delivery.turn());
            }
        }
        due.values_mut().for_each(|turns| turns.sort_unstable());
        due
    }
}

const fn lane(retry: bool) -> Lane {
    if retry { Lane::Retry } else { Lane::Fresh }
}

fn pending(seq: TaskSeq, account: u64, host: usize, due_ms: i64, retry: bool) -> Pending {
    let account = AccountId::from_random(account);
    Pending {
        seq,
        end_seq: seq + 100,
        account,
        host: HOSTS[host].into(),
        due_at: later(due_ms),
        lane: lane(retry),
    }
}

fn run(outbox: &mut Outbox, model: &mut Model, step: Step) {
    match step {
        Step::Book { seq, account, host, due_ms, retry } => {
            let delivery = pending(seq, account, host, due_ms, retry);
            outbox.book(delivery.clone());
            if !model.0.get(&seq).is_some_and(|(_, taken)| *taken) {
                model.0.insert(seq, (delivery, false));
            }
        }
        Step::Close(seq) => {
            outbox.close(seq);
            model.0.remove(&seq);
        }
        Step::RetryAt(seq, ms) => {
            outbox.retry_at(seq, later(ms));
            if let Some((delivery, taken)) = model.0.get_mut(&seq) {
                (delivery.due_at, delivery.lane, *taken) = (later(ms), Lane::Retry, false);
            }
        }
        Step::Take { retry, now_ms, rooms, count } => {
            take(outbox, model, lane(retry), later(now_ms), rooms, count)
        }
        Step::TakeOldest(account) => {
            let account = AccountId::from_random(account);
            let oldest = model
                .0
                .values_mut()
                .filter(|(delivery, taken)| {
                    !taken && delivery.lane == Lane::Retry && delivery.account == account
                })
                .min_by_key(|(delivery, _)| delivery.end_seq);
            let expected = oldest.map(|(delivery, taken)| {
                *taken = true;
                delivery.clone()
            });
            assert_eq!(outbox.take_oldest_retrying(account), expected);
        }
        Step::PutBack(seqs) => {
            outbox.put_back(&seqs);
            for seq in seqs {
                if let Some((_, taken)) = model.0.get_mut(&seq) {
                    *taken = false;
                }
            }
        }
    }
}

fn take(outbox: &mut Outbox, model: &mut Model, lane: Lane, now: Timestamp, rooms: [usize; 3], count: usize) {
    let due = model.due(lane, now);
    let room =
        |host: &str| HOSTS.iter().zip(rooms).find(|(other, _)| **other == host).map_or(0, |(_, room)| room);
    let asked = Mutex::new(Vec::new());
    let taken = outbox.take(
        lane,
        now,
        &|account, host| {
            asked.lock().unwrap().push((account, host.to_owned()));
            room(host)
        },
        count,
    );
    let mut asked = asked.into_inner().unwrap();
    let calls = asked.len();
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), calls, "a receiver was asked twice");
    let of_receiver = |receiver: &Receiver| {
        let of =
            |seq: &TaskSeq| model.0.get(seq).is_some_and(|(delivery, _)| delivery.receiver() == *receiver);
        taken.iter().filter(|(seq, _)| of(seq)).copied().collect::<Vec<_>>()
    };
    let possible = |receiver: &Receiver, turns: &Vec<Turn>| turns.len().min(room(&receiver.1));
    let most: usize = due.iter().map(|(receiver, turns)| possible(receiver, turns)).sum();
    assert_eq!(taken.len(), most.min(count));
    let fair = due.keys().map(|receiver| of_receiver(receiver).len()).max().unwrap_or(0);
    for (receiver, turns) in &due {
        let got = of_receiver(receiver);
        let oldest: Vec<_> = turns.iter().map(|turn| (turn.seq, turn.end_seq)).take(got.len()).collect();
        assert_eq!(got, oldest);
        assert!(
            got.len() + 1 >= fair.min(possible(receiver, turns)),
            "{receiver:?} got {} of {fair}",
            got.len()
        );
    }
    for (seq, _) in taken {
        model.0.get_mut(&seq).unwrap().1 = true;
    }
}

fn compare(outbox: &Outbox, model: &Model) {
    let waiting = model.0.values().filter(|(_, taken)| !taken).map(|(delivery, _)| delivery.due_at);
    assert_eq!(outbox.next_due(), waiting.min());
    assert_eq!(outbox.pending(), model.0.len() as u64);
    for account in (0..ACCOUNTS).map(AccountId::from_random) {
        let pending = model.0.values().filter(|(delivery, _)| delivery.account == account).count() as u64;
        assert_eq!(outbox.pending_of(account), pending);
    }
    for seq in 0..30 {
        let known = model.0.get(&seq);
        assert_eq!(outbox.end_seq(seq), known.map(|(delivery, _)| delivery.end_seq));
        assert_eq!(outbox.is_taken(seq), known.is_some_and(|(_, taken)| *taken));
    }
}

proptest! {
    #[test]
    fn it_does_what_a_list_would_do(steps in vec(step(), 1..100)) {
        let (mut outbox, mut model) = (Outbox::default(), Model::default());
        for step in steps {
            run(&mut outbox, &mut model, step);
            compare(&outbox, &model);
        }
        // Nothing is kept of what is gone: at the latest when it is next asked for.
        for seq in 0..30 {
            outbox.close(seq);
        }
        for lane in [Lane::Fresh, Lane::Retry] {
            outbox.take(lane, later(1000), &|_, _| 9, 9);
        }
        prop_assert!(outbox.accounts.is_empty());
        for receivers in [&outbox.fresh, &outbox.retry] {
            prop_assert!(receivers.lines.is_empty() && receivers.ring.is_empty() && receivers.asleep.is_empty());
        }
    }
}

#[test]
fn a_host_that_was_not_reached_is_first_the_next_time() {
    let mut outbox = Outbox::default();
    for seq in 0..9 {
        outbox.book(pending(seq, 0, usize::try_from(seq % 3).unwrap(), 0, false));
    }
    let mut hosts = Vec::new();
    for _ in 0..9 {
        let (seq, _) = outbox.take(Lane::Fresh, later(0), &|_, _| 9, 1)[0];
        hosts.push(seq % 3);
    }
    assert_eq!(hosts[..3], hosts[3..6]);
    assert_eq!(hosts[..3], hosts[6..]);
    hosts.truncate(3);
    hosts.sort_unstable();
    assert_eq!(hosts, [0, 1, 2]);
}
