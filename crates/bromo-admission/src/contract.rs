//! One suite that every backend passes. Time is in hand: it is an argument of every ask. Every test needs a backend in
//! which nothing has happened yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::standing::{RateStanding, SlotStanding, Standing};
use bromo_rules::time::Timestamp;
use bromo_rules::window::Limit;

use crate::{Admission, Ask, Decision, Denial, Facts, Permit, RouteIndex, Settled, Start, Started, Want};

/// Calls the macro `$suite` with the name of every test.
#[macro_export]
macro_rules! each_contract_test {
    ($suite:ident) => {
        $suite! {
            the_slot_after_the_last_is_refused_at_once_and_free_again_after_a_release
            a_dropped_permit_frees_its_slot_and_its_hold
            the_window_counts_every_request_and_opens_with_the_next_second
            a_clock_that_steps_back_admits_nobody_twice
            windows_of_other_keys_and_routes_are_apart
            refusals_come_in_the_order_rate_credits_slots
            holds_of_running_work_keep_a_balance_above_zero
            a_settled_balance_is_the_newest_whatever_order_releases_come_in
            an_upgrade_is_in_force_on_the_next_ask_and_an_older_ask_is_stale
            a_downgrade_kills_nothing_and_admits_nobody_until_the_count_is_below
            a_stale_ask_counts_nothing
            retry_after_is_the_first_usual_end_within_1_to_30_seconds
            accounts_do_not_see_each_other
            ten_thousand_calls_one_after_the_other_on_one_slot_are_never_refused
            tasks_and_requests_share_slots_and_holds
            a_task_counts_in_no_rate_window
            a_denied_task_is_called_out_when_a_slot_comes_free
            a_task_denied_for_held_credits_is_called_out_when_they_come_free
            a_denied_task_is_called_out_when_its_account_changes
            nobody_is_called_out_who_was_not_denied
            a_task_that_can_never_be_paid_is_not_called_out
            a_stale_start_takes_nothing
            tasks_that_ask_together_start_up_to_the_first_that_may_not
        }
    };
}
pub use each_contract_test as each;

/// An asker with everything in hand.
struct Customer<'a> {
    admission: &'a dyn Admission,
    ask: Ask,
}

const PLENTY: Credits = Credits::new(1_000_000);

impl<'a> Customer<'a> {
    fn new(admission: &'a dyn Admission, slots: u32) -> Self {
        let account = AccountId::from_random(7);
        let facts = Facts { account, version: 1, slots, balance: PLENTY, ledger_seq: 1 };
        let now = Timestamp::from_millis(1_760_000_000_000);
        let ask = Ask {
            facts,
            key: KeyId::from_random(8),
            route: RouteIndex::new(0),
            rate: Limit { requests: 1_000_000 },
            now,
            want: Some(Want { hold: Credits::ZERO, usually_ends: now }),
        };
        Self { admission, ask }
    }

    fn hold(mut self, credits: i64) -> Self {
        let usually_ends = self.ask.now;
        self.ask.want = Some(Want { hold: Credits::new(credits), usually_ends });
        self
    }

    async fn open(&self) {
        self.admission.open(self.ask.facts).await.expect("the backend is there");
    }

    async fn decide(&self) -> Decision {
        self.admission.admit(&self.ask).await.expect("the backend is there")
    }

    #[track_caller]
    fn admitted(decision: Decision) -> (Standing, Permit) {
        match decision {
            Decision::Admitted(standing, permit) => (standing, permit),
            other => panic!("not admitted: {other:?}"),
        }
    }

    #[track_caller]
    fn denied(decision: Decision) -> (Standing, Denial) {
        match decision {
            Decision::Denied(standing, denial) => (standing, denial),
            other => panic!("not denied: {other:?}"),
        }
    }

    async fn enter(&self) -> Permit {
        Self::admitted(self.decide().await).1
    }

    async fn refused(&self) -> Denial {
        Self::denied(self.decide().await).1
    }
}

/// Waits until it holds. In a process it must hold at once: a test that polls no second time fails there.
async fn soon(holds: impl AsyncFn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while !holds().await {
        assert!(std::time::Instant::now() < deadline, "it does not hold");
        std::thread::sleep(Duration::from_millis(1));
        let mut polled = false;
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn slots(standing: Standing) -> (u32, u32) {
    (standing.slots.limit, standing.slots.current)
}

/// See its name.
pub async fn the_slot_after_the_last_is_refused_at_once_and_free_again_after_a_release(
    admission: &dyn Admission,
) {
    let customer = Customer::new(admission, 3);
    customer.open().await;
    let mut permits = Vec::new();
    for current in 1..=3 {
        let (standing, permit) = Customer::admitted(customer.decide().await);
        assert_eq!(standing.slots, SlotStanding { limit: 3, current });
        permits.push(permit);
    }
    let (standing, denial) = Customer::denied(customer.decide().await);
    assert!(matches!(denial, Denial::Slots { .. }), "{denial:?}");
    assert_eq!((slots(standing), standing.slots.remaining()), ((3, 3), 0));
    permits.remove(1).release(None).await;
    let (standing, _permit) = Customer::admitted(customer.decide().await);
    assert_eq!(slots(standing), (3, 3));
}

/// See its name.
pub async fn a_dropped_permit_frees_its_slot_and_its_hold(admission: &dyn Admission) {
    let customer = Customer::new(admission, 1).hold(5);
    customer.open().await;
    drop(customer.enter().await);
    let account = customer.ask.facts.account;
    soon(async || admission.held(account).await == Ok(Credits::ZERO)).await;
    let _permit = customer.enter().await;
    assert_eq!(admission.held(customer.ask.facts.account).await, Ok(Credits::new(5)));
}

/// See its name.
pub async fn the_window_counts_every_request_and_opens_with_the_next_second(admission: &dyn Admission) {
    let mut customer = Customer::new(admission, 1);
    customer.open().await;
    customer.ask.rate = Limit { requests: 3 };
    let _permit = customer.enter().await; // Counts one.
    assert!(matches!(customer.refused().await, Denial::Slots { .. })); // A refusal counts as well.
    customer.ask.want = None;
    let Decision::Counted(standing) = customer.decide().await else { panic!("the third fits") };
    assert_eq!(standing.rate, RateStanding { limit: 3, remaining: 0 });
    let (standing, denial) = Customer::denied(customer.decide().await);
    assert_eq!((denial, standing.rate.remaining, slots(standing)), (Denial::Rate, 0, (1, 1)));
    customer.ask.now = customer.ask.now.plus(Duration::from_millis(999));
    assert_eq!(customer.refused().await, Denial::Rate);
    customer.ask.now = customer.ask.now.plus(Duration::from_millis(1));
    assert!(matches!(customer.decide().await, Decision::Counted(_)));
}

/// See its name.
pub async fn a_clock_that_steps_back_admits_nobody_twice(admission: &dyn Admission) {
    let mut customer = Customer::new(admission, 9);
    customer.open().await;
    customer.ask.rate = Limit { requests: 1 };
    let _permit = customer.enter().await;
    customer.ask.now = Timestamp::from_millis(customer.ask.now.millis() - 1);
    assert_eq!(customer.refused().await, Denial::Rate);
    customer.ask.now = Timestamp::from_millis(customer.ask.now.millis() - 3_600_000);
    let _permit = customer.enter().await; // An hour back: the stored second was wrong.
}

/// See its name.
pub async fn windows_of_other_keys_and_routes_are_apart(admission: &dyn Admission) {
    let mut customer = Customer::new(admission, 9);
    customer.open().await;
    customer.ask.rate = Limit { requests: 1 };
    customer.ask.want = None;
    for (key, route) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
        customer.ask.key = KeyId::from_random(key);
        customer.ask.route = RouteIndex::new(route);
        assert!(matches!(customer.decide().await, Decision::Counted(_)));
        assert_eq!(customer.refused().await, Denial::Rate);
    }
}

/// See its name.
pub async fn refusals_come_in_the_order_rate_credits_slots(admission: &dyn Admission) {
    let mut customer = Customer::new(admission, 1);
    customer.open().await;
    let _permit = customer.enter().await;
    customer.ask.want = Some(Want { hold: Credits::MAX, usually_ends: customer.ask.now });
    assert_eq!(customer.refused().await, Denial::Credits { held: false });
    customer.ask.rate = Limit { requests: 1 };
    assert_eq!(customer.refused().await, Denial::Rate);
}

/// See its name.
pub async fn holds_of_running_work_keep_a_balance_above_zero(admission: &dyn Admission) {
    let mut customer = Customer::new(admission, 9).hold(4);
    customer.ask.facts.balance = Credits::new(10);
    customer.open().await;
    let first = customer.enter().await;
    let _second = customer.enter().await;
    assert_eq!(customer.refused().await, Denial::Credits { held: true });
    first.release(Some(Settled { balance: Credits::new(6), ledger_seq: 2 })).await;
    assert_eq!(customer.refused().await, Denial::Credits { held: true });
    let customer = customer.hold(7);
    assert_eq!(customer.refused().await, Denial::Credits { held: false });
}

/// See its name.
pub async fn a_settled_balance_is_the_newest_whatever_order_releases_come_in(admission: &dyn Admission) {
    let customer = Customer::new(admission, 9).hold(1);
    customer.open().await;
    let (first, second) = (customer.enter().await, customer.enter().await);
    second.release(Some(Settled { balance: Credits::new(98), ledger_seq: 3 })).await;
    first.release(Some(Settled { balance: Credits::new(99), ledger_seq: 2 })).await;
    let (standing, _permit) = Customer::admitted(customer.decide().await);
    assert_eq!(standing.balance, Credits::new(98));
}

/// See its name.
pub async fn an_upgrade_is_in_force_on_the_next_ask_and_an_older_ask_is_stale(admission: &dyn Admission) {
    let mut customer = Customer::new(admission, 1);
    customer.open().await;
    let _first = customer.enter().await;
    let upgraded = Facts { version: 2, slots: 2, ..customer.ask.facts };
    admission.announce(upgraded).await.expect("the backend is there");
    assert!(matches!(customer.decide().await, Decision::Stale));
    customer.ask.facts = upgraded;
    let (standing, _permit) = Customer::admitted(customer.decide().await);
    assert_eq!(slots(standing), (2, 2));
}

/// See its name.
pub async fn a_downgrade_kills_nothing_and_admits_nobody_until_the_count_is_below(admission: &dyn Admission) {
    let mut customer = Customer::new(admission, 3);
    customer.open().await;
    let mut permits = vec![customer.enter().await, customer.enter().await, customer.enter().await];
    customer.ask.facts = Facts { version: 2, slots: 1, ..customer.ask.facts };
    admission.announce(customer.ask.facts).await.expect("the backend is there");
    for current in [3, 2, 1] {
        let (standing, denial) = Customer::denied(customer.decide().await);
        assert!(matches!(denial, Denial::Slots { .. }));
        assert_eq!((slots(standing), standing.slots.remaining()), ((1, current), 0));
        permits.pop().expect("one runs").release(None).await;
    }
    let _permit = customer.enter().await;
}

/// See its name.
pub async fn a_stale_ask_counts_nothing(admission: &dyn Admission) {
    let mut customer = Customer::new(admission, 1);
    customer.open().await;
    customer.ask.rate = Limit { requests: 1 };
    let newer = Facts { version: 5, ..customer.ask.facts };
    admission.announce(newer).await.expect("the backend is there");
    for _ in 0..3 {
        assert!(matches!(customer.decide().await, Decision::Stale));
    }
    customer.ask.facts = newer;
    let (standing, _permit) = Customer::admitted(customer.decide().await);
    assert_eq!((standing.rate.remaining, standing.slots.current), (0, 1));
}

/// See its name.
pub async fn retry_after_is_the_first_usual_end_within_1_to_30_seconds(admission: &dyn Admission) {
    let mut customer = Customer::new(admission, 2);
    customer.open().await;
    let start = customer.ask.now;
    let after = |now: Timestamp, ms: i64| Timestamp::from_millis(now.millis() + ms);
    for (first_ms, at_once, later) in
        [(60_000, 30, 30), (19_499, 20, 11), (11_500, 12, 3), (9_001, 10, 1), (100, 1, 1), (-5_000, 1, 1)]
    {
        let mut permits = Vec::new();
        for usual_ms in [70_000, first_ms] {
            customer.ask.want = Some(Want { hold: Credits::ZERO, usually_ends: after(start, usual_ms) });
            permits.push(customer.enter().await);
        }
        for (passed_ms, expected) in [(0, at_once), (8_500, later)] {
            customer.ask.now = after(start, passed_ms);
            let refused = customer.refused().await;
            assert_eq!(refused, Denial::Slots { retry_after_s: expected }, "{first_ms} less {passed_ms} ms");
        }
        customer.ask.now = start;
        for permit in permits {
            permit.release(None).await;
        }
    }
}

/// See its name.
pub async fn accounts_do_not_see_each_other(admission: &dyn Admission) {
    let one = Customer::new(admission, 1);
    one.open().await;
    let mut other = Customer::new(admission, 1);
    other.ask.facts.account = AccountId::from_random(70);
    other.open().await;
    let _permit = one.enter().await;
    let (standing, _other) = Customer::admitted(other.decide().await);
    assert_eq!(slots(standing), (1, 1));
    assert!(matches!(one.refused().await, Denial::Slots { .. }));
    let mut usage = admission.usage().await.expect("the backend is there");
    usage.sort_by_key(|usage| usage.account);
    let current: Vec<_> = usage.iter().map(|usage| usage.slots.current).collect();
    assert_eq!(current, [1, 1]);
    assert_eq!(admission.in_use(other.ask.facts.account).await, Ok(1));
}

/// See its name.
pub async fn ten_thousand_calls_one_after_the_other_on_one_slot_are_never_refused(admission: &dyn Admission) {
    let customer = Customer::new(admission, 1).hold(1);
    customer.open().await;
    for _ in 0..10_000 {
        customer.enter().await.release(None).await;
    }
    assert_eq!(admission.repairs(), 0);
}

/// A task of a customer, and how often its account was called out.
struct Task<'a> {
    admission: &'a dyn Admission,
    start: Start,
    called: Arc<AtomicU32>,
}

impl<'a> Task<'a> {
    fn of(customer: &Customer<'a>, hold: i64) -> Self {
        let called = Arc::new(AtomicU32::new(0));
        let (counter, account) = (Arc::clone(&called), customer.ask.facts.account);
        customer.admission.wake_with(Arc::new(move |freed| {
            counter.fetch_add(u32::from(freed == account), Ordering::SeqCst);
        }));
        let (facts, now) = (customer.ask.facts, customer.ask.now);
        let want = Want { hold: Credits::new(hold), usually_ends: now };
        Self { admission: customer.admission, start: Start { facts, now, wants: vec![want] }, called }
    }

    async fn start(&self) -> Started {
        self.admission.start(&self.start).await.expect("the backend is there")
    }

    async fn enter(&self) -> Permit {
        match self.start().await {
            Started::Judged { mut permits, denial: None, .. } if permits.len() == 1 => permits.remove(0),
            other => panic!("not admitted: {other:?}"),
        }
    }

    async fn refused(&self) -> Denial {
        match self.start().await {
            Started::Judged { permits, denial: Some(denial), .. } if permits.is_empty() => denial,
            other => panic!("not denied: {other:?}"),
        }
    }

    fn called(&self) -> u32 {
        self.called.load(Ordering::SeqCst)
    }
}

/// See its name.
pub async fn tasks_and_requests_share_slots_and_holds(admission: &dyn Admission) {
    let mut customer = Customer::new(admission, 2).hold(4);
    customer.ask.facts.balance = Credits::new(10);
    customer.open().await;
    let task = Task::of(&customer, 5);
    let running = task.enter().await;
    let (standing, _permit) = Customer::admitted(customer.decide().await);
    assert_eq!(slots(standing), (2, 2));
    assert_eq!(task.refused().await, Denial::Credits { held: true });
    running.release(None).await;
    let _running = task.enter().await;
    assert_eq!(customer.refused().await, Denial::Credits { held: true });
    let customer = customer.hold(1);
    assert!(matches!(customer.refused().await, Denial::Slots { .. }));
}

/// See its name.
pub async fn a_task_counts_in_no_rate_window(admission: &dyn Admission) {
    let mut customer = Customer::new(admission, 9);
    customer.open().await;
    customer.ask.rate = Limit { requests: 1 };
    let task = Task::of(&customer, 0);
    let _running = (task.enter().await, task.enter().await);
    let (standing, _permit) = Customer::admitted(customer.decide().await);
    assert_eq!((standing.rate.remaining, standing.slots.current), (0, 3));
}

/// See its name.
pub async fn a_denied_task_is_called_out_when_a_slot_comes_free(admission: &dyn Admission) {
    let customer = Customer::new(admission, 2);
    customer.open().await;
    let task = Task::of(&customer, 0);
    let (request, running) = (customer.enter().await, task.enter().await);
    assert!(matches!(task.refused().await, Denial::Slots { .. }));
    assert_eq!(task.called(), 0);
    request.release(None).await;
    assert_eq!(task.called(), 1);
    drop(running); // Nobody was denied since.
    soon(async || admission.in_use(customer.ask.facts.account).await == Ok(0)).await;
    assert_eq!(task.called(), 1);
}

/// See its name.
pub async fn a_task_denied_for_held_credits_is_called_out_when_they_come_free(admission: &dyn Admission) {
    let mut customer = Customer::new(admission, 9).hold(8);
    customer.ask.facts.balance = Credits::new(10);
    customer.open().await;
    let task = Task::of(&customer, 5);
    let request = customer.enter().await;
    assert_eq!(task.refused().await, Denial::Credits { held: true });
    request.release(Some(Settled { balance: Credits::new(2), ledger_seq: 2 })).await;
    assert_eq!(task.called(), 1);
    assert_eq!(task.refused().await, Denial::Credits { held: false });
}

/// See its name.
pub async fn a_denied_task_is_called_out_when_its_account_changes(admission: &dyn Admission) {
    let customer = Customer::new(admission, 1);
    customer.open().await;
    let mut task = Task::of(&customer, 0);
    let _running = task.enter().await;
    task.refused().await;
    let upgraded = Facts { version: 2, slots: 2, ..task.start.facts };
    admission.announce(upgraded).await.expect("the backend is there");
    assert_eq!(task.called(), 1);
    task.start.facts = upgraded;
    let _second = task.enter().await;
    task.refused().await;
    // A request may know of a change before it is announced.
    let mut request = Customer::new(admission, 3);
    request.ask.facts = Facts { version: 3, slots: 3, ..upgraded };
    request.ask.want = None;
    assert!(matches!(request.decide().await, Decision::Counted(_)));
    assert_eq!(task.called(), 2);
}

/// See its name.
pub async fn nobody_is_called_out_who_was_not_denied(admission: &dyn Admission) {
    let customer = Customer::new(admission, 2);
    customer.open().await;
    let task = Task::of(&customer, 0);
    task.enter().await.release(None).await;
    drop(customer.enter().await);
    soon(async || admission.in_use(customer.ask.facts.account).await == Ok(0)).await;
    admission.announce(Facts { version: 2, ..customer.ask.facts }).await.expect("the backend is there");
    assert_eq!(task.called(), 0);
}

/// See its name.
pub async fn a_task_that_can_never_be_paid_is_not_called_out(admission: &dyn Admission) {
    let mut customer = Customer::new(admission, 9);
    customer.ask.facts.balance = Credits::new(3);
    customer.open().await;
    let task = Task::of(&customer, 5);
    let running = customer.enter().await;
    assert_eq!(task.refused().await, Denial::Credits { held: false });
    running.release(None).await;
    assert_eq!(task.called(), 0);
}

/// See its name.
pub async fn a_stale_start_takes_nothing(admission: &dyn Admission) {
    let customer = Customer::new(admission, 1).hold(5);
    customer.open().await;
    let task = Task::of(&customer, 5);
    admission.announce(Facts { version: 5, ..customer.ask.facts }).await.expect("the backend is there");
    assert!(matches!(task.start().await, Started::Stale));
    assert_eq!(admission.held(customer.ask.facts.account).await, Ok(Credits::ZERO));
}

/// See its name.
pub async fn tasks_that_ask_together_start_up_to_the_first_that_may_not(admission: &dyn Admission) {
    let mut customer = Customer::new(admission, 3);
    customer.ask.facts.balance = Credits::new(10);
    customer.open().await;
    let mut task = Task::of(&customer, 4);
    let want = task.start.wants[0];
    task.start.wants =
        vec![want, want, Want { hold: Credits::new(3), ..want }, Want { hold: Credits::new(1), ..want }];
    let Started::Judged { slots, mut permits, denial } = task.start().await else { panic!("stale") };
    // The last would fit; but it may not pass the one before it.
    assert_eq!((slots.current, permits.len(), denial), (2, 2, Some(Denial::Credits { held: true })));
    assert!(permits.iter().all(Permit::is_live));
    permits.remove(0).release(None).await;
    assert_eq!((task.called(), admission.held(task.start.facts.account).await), (1, Ok(Credits::new(4))));
    task.start.wants = vec![Want { hold: Credits::ZERO, ..want }; 4];
    let Started::Judged { slots, permits, denial } = task.start().await else { panic!("stale") };
    assert!(matches!((slots.current, permits.len(), denial), (3, 2, Some(Denial::Slots { .. }))));
}
