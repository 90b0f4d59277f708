//! The queue beside a naive model of it: a list that is searched.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::contract::{later, request};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Waits(Timestamp),
    Taken,
    Running,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    seq: TaskSeq,
    entry: Entry,
    state: State,
}

#[derive(Debug, Default)]
struct Model(Vec<Known>);

impl Model {
    fn find(&mut self, seq: TaskSeq) -> Option<&mut Known> {
        self.0.iter_mut().find(|task| task.seq == seq)
    }

    fn of(&self, account: AccountId, is: impl Fn(State) -> bool) -> Vec<Known> {
        let mut tasks: Vec<_> =
            self.0.iter().filter(|task| task.entry.account == account && is(task.state)).copied().collect();
        tasks.sort_by_key(|task| (std::cmp::Reverse(task.entry.priority), task.seq));
        tasks
    }

    fn depth(&self, account: AccountId) -> Depth {
        let mut depth = Depth::default();
        for task in self.of(account, |_| true) {
            match task.state {
                State::Running => depth.processing += 1,
                _ => depth.queued[task.entry.priority.index()] += 1,
            }
        }
        depth
    }
}

const ACCOUNTS: u64 = 3;
const ENDPOINTS: [Endpoint; 3] = [Endpoint::Chatgpt, Endpoint::Grok, Endpoint::GoogleNews];

fn entry(account: u64, endpoint: usize, priority: i64) -> Entry {
    Entry {
        account: AccountId::from_random(account),
        hold: Credits::new(priority),
        endpoint: ENDPOINTS[endpoint],
        priority: Priority::new(priority).unwrap(),
        kind: KeyKind::Live,
    }
}

fn host(seq: TaskSeq) -> Option<Arc<str>> {
    (seq % 2 == 0).then(|| "example.com:443".into())
}

#[derive(Debug, Clone)]
enum Step {
    Push { account: u64, endpoint: usize, priority: i64, waits_ms: Option<i64> },
    Take(Vec<TaskSeq>),
    Untake(TaskSeq),
    Start(TaskSeq),
    PutBack(TaskSeq, Option<i64>),
    End(TaskSeq),
    Remove(TaskSeq),
    EndWaits(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let seq = || 0..40_i64;
    prop_oneof![
        4 => (0..ACCOUNTS, 0..3_usize, 1..=10_i64, proptest::option::weighted(0.2, 0..50_i64)).prop_map(
            |(account, endpoint, priority, waits_ms)| Step::Push { account, endpoint, priority, waits_ms },
        ),
        2 => vec(seq(), 0..5).prop_map(Step::Take),
        1 => seq().prop_map(Step::Untake),
        2 => seq().prop_map(Step::Start),
        1 => (seq(), proptest::option::of(0..50_i64)).prop_map(|(seq, waits)| Step::PutBack(seq, waits)),
        1 => seq().prop_map(Step::End),
        1 => seq().prop_map(Step::Remove),
        1 => (0..50_i64).prop_map(Step::EndWaits),
    ]
}

fn run(queue: &mut Queue, model: &mut Model, next: TaskSeq, step: Step) {
    match step {
        Step::Push { account, endpoint, priority, waits_ms } => {
            let entry = entry(account, endpoint, priority);
            let until = waits_ms.map(later);
            let before = model.of(entry.account, |state| state != State::Running);
            let before = before.iter().filter(|task| task.entry.priority >= entry.priority).count() as u64;
            assert_eq!(queue.accept(next, entry, until), before);
            let state = until.map_or(State::Ready, State::Waits);
            model.0.push(Known { seq: next, entry, state });
        }
        Step::Take(seqs) => {
            let mut expected = Vec::new();
            for seq in &seqs {
                if let Some(task) = model.find(*seq).filter(|task| task.state == State::Ready) {
                    task.state = State::Taken;
                    expected.push(*seq);
                }
            }
            assert_eq!(queue.take(&seqs), expected);
        }
        Step::Untake(seq) => {
            queue.untake(&[seq]);
            if let Some(task) = model.find(seq).filter(|task| task.state == State::Taken) {
                task.state = State::Ready;
            }
        }
        Step::Start(seq) => {
            queue.start(seq, request(1), host(seq));
            if let Some(task) = model.find(seq) {
                task.state = State::Running;
            }
        }
        Step::PutBack(seq, waits_ms) => {
            let until = waits_ms.map(later);
            queue.put_back(seq, until);
            if let Some(task) = model.find(seq).filter(|task| task.state == State::Running) {
                task.state = until.map_or(State::Ready, State::Waits);
            }
        }
        Step::End(seq) => {
            let ended = queue.end(seq);
            let was = model.0.extract_if(.., |task| task.seq == seq && task.state == State::Running).next();
            assert_eq!(ended.map(|running| running.entry), was.map(|task| task.entry));
        }
        Step::Remove(seq) => {
            let removed = queue.remove(seq);
            let was = model.0.extract_if(.., |task| task.seq == seq && task.state != State::Running).next();
            assert_eq!(removed, was.map(|task| task.entry));
        }
        Step::EndWaits(ms) => {
            let (mut accounts, next) = queue.end_waits(later(ms));
            let mut expected = Vec::new();
            let mut rest = Vec::new();
            for task in &mut model.0 {
                match task.state {
                    State::Waits(until) if until <= later(ms) => {
                        task.state = State::Ready;
                        expected.push(task.entry.account);
                    }
                    State::Waits(until) => rest.push(until),
                    _ => {}
                }
            }
            expected.sort();
            expected.dedup();
            accounts.sort();
            assert_eq!((accounts, next), (expected, rest.into_iter().min()));
        }
    }
}

fn compare(queue: &Queue, model: &Model) {
    let mut waiting = Vec::new();
    for account in (0..ACCOUNTS).map(AccountId::from_random) {
        assert_eq!(queue.depth(account), model.depth(account));
        let ready = model.of(account, |state| state == State::Ready);
        if !ready.is_empty() {
            waiting.push(account);
        }
        for without in ENDPOINTS {
            let endpoints = Endpoints::ALL.without(without);
            for count in [0, 1, 4, 99] {
                let expected: Vec<_> = ready
                    .iter()
                    .filter(|task| endpoints.has(task.entry.endpoint))
                    .map(|task| task.seq)
                    .take(count)
                    .collect();
                let heads = queue.heads(account, endpoints, count);
                assert_eq!(heads.iter().map(|head| head.seq).collect::<Vec<_>>(), expected);
            }
        }
        let all = model.of(account, |state| state != State::Running);
        for (before, task) in all.iter().enumerate() {
            let ahead_max = queue.ahead_max(account, task.entry.priority, task.seq);
            assert!(ahead_max >= before as u64 && ahead_max < all.len() as u64, "{ahead_max} {before}");
        }
        let mut expected: Vec<_> = all.iter().map(|task| task.seq).collect();
        expected.sort_unstable();
        assert_eq!(queue.waiting_of(account), expected);
    }
    let mut accounts = queue.accounts_ready();
    accounts.sort();
    assert_eq!(accounts, waiting);
    let running = model.0.iter().filter(|task| task.state == State::Running).count() as u64;
    assert_eq!(queue.totals(), (model.0.len() as u64 - running, running));
    if model.0.is_empty() {
        assert!(queue.lines.is_empty() && queue.waits.is_empty() && queue.wait_ends.is_empty());
    }
}

proptest! {
    #[test]
    fn it_does_what_a_list_would_do(steps in vec(step(), 1..120)) {
        let (mut queue, mut model) = (Queue::default(), Model::default());
        for (step, next) in steps.into_iter().zip(0..) {
            run(&mut queue, &mut model, next, step);
            compare(&queue, &model);
        }
    }
}

#[test]
fn the_first_of_a_long_queue_knows_that_few_stand_before_it() {
    let mut queue = Queue::default();
    for seq in 0..10_000 {
        queue.accept(seq, entry(1, 0, 3), None);
    }
    let account = AccountId::from_random(1);
    let priority = Priority::new(3).unwrap();
    assert_eq!([0, 1, 9_999].map(|seq| queue.ahead_max(account, priority, seq)), [0, 1, 9_999]);
    for seq in 0..9_000 {
        queue.remove(seq);
    }
    assert_eq!([9_000, 9_001, 9_999].map(|seq| queue.ahead_max(account, priority, seq)), [0, 1, 999]);
}

#[test]
fn a_running_task_keeps_what_its_end_needs() {
    let mut queue = Queue::default();
    queue.accept(2, entry(1, 0, 3), None);
    queue.start(2, request(7), host(2));
    let expected = Running { entry: entry(1, 0, 3), id: request(7), host: host(2) };
    assert_eq!(queue.running(2), Some(&expected));
    assert_eq!(queue.end(2), Some(expected));
    assert_eq!(queue.running(2), None);
}

#[test]
fn an_account_that_came_back_enters_its_block_again() {
    let mut queue = Queue::default();
    let account = AccountId::from_random(1);
    assert!(queue.enters_block(account, 0));
    queue.accept(1, entry(1, 0, 1), None);
    queue.entered_block(account, 0);
    assert!(!queue.enters_block(account, 0));
    assert!(queue.enters_block(account, 1));
    queue.remove(1);
    assert!(queue.enters_block(account, 0));
}
