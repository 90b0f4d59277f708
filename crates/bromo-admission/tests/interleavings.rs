//! The life of permits in every order that a scheduler can find: admit, release, drop and cancel on
//! several threads, with a plan change among them. Run with `--features shuttle`.
#![cfg(feature = "shuttle")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bromo_admission::{Admission, Ask, Decision, Facts, Local, RouteIndex, Settled, Want};
use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::time::Timestamp;
use bromo_rules::window::Limit;
use futures_util::FutureExt;
use shuttle::thread;

const SLOTS: u32 = 2;
const ORDERS: usize = 20_000;

fn facts(version: u64, slots: u32) -> Facts {
    let account = AccountId::from_random(1);
    Facts { account, version, slots, balance: Credits::new(100), ledger_seq: 1 }
}

fn ask(facts: Facts, hold: i64) -> Ask {
    let now = Timestamp::from_millis(1_760_000_000_000);
    Ask {
        facts,
        key: KeyId::from_random(2),
        route: RouteIndex::new(0),
        rate: Limit { requests: 1000 },
        now,
        want: Some(Want { hold: Credits::new(hold), usually_ends: now }),
    }
}

/// How a call ends.
#[derive(Clone, Copy)]
enum End {
    Released,
    Dropped,
    Unwound,
}

fn call(admission: &Local, running: &AtomicU32, facts: Facts, end: End) {
    let Some(Ok(Decision::Admitted(standing, permit))) = admission.admit(&ask(facts, 10)).now_or_never()
    else {
        return;
    };
    let now_running = running.fetch_add(1, Ordering::SeqCst) + 1;
    assert!(now_running <= standing.slots.limit, "{now_running} run within {} slots", standing.slots.limit);
    assert!(standing.slots.current >= 1 && standing.slots.current <= standing.slots.limit);
    thread::yield_now();
    running.fetch_sub(1, Ordering::SeqCst);
    match end {
        End::Released => {
            permit.release(Some(Settled { balance: Credits::new(100), ledger_seq: 2 })).now_or_never();
        }
        End::Dropped => drop(permit),
        End::Unwound => {
            let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _held = permit;
                std::panic::resume_unwind(Box::new("a provider broke"));
            }));
            assert!(unwound.is_err());
        }
    }
}

fn all_free(admission: &Local, facts: Facts) {
    let usage = admission.usage().now_or_never().expect("at once").expect("in reach");
    assert!(usage.iter().all(|usage| usage.slots.current == 0), "{usage:?}");
    assert_eq!(admission.held(facts.account).now_or_never(), Some(Ok(Credits::ZERO)));
}

#[test]
fn no_order_of_ends_leaks_a_slot_or_admits_one_too_many() {
    shuttle::check_random(
        || {
            let (admission, running) = (Arc::new(Local::new()), Arc::new(AtomicU32::new(0)));
            let threads: Vec<_> = [End::Released, End::Dropped, End::Unwound, End::Released]
                .into_iter()
                .map(|end| {
                    let (admission, running) = (Arc::clone(&admission), Arc::clone(&running));
                    thread::spawn(move || {
                        for _ in 0..2 {
                            call(&admission, &running, facts(1, SLOTS), end);
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().expect("no call panics");
            }
            all_free(&admission, facts(1, SLOTS));
        },
        ORDERS,
    );
}

#[test]
fn every_order_of_two_callers_and_an_upgrade_keeps_the_limit_in_force() {
    shuttle::check_dfs(
        || {
            let (admission, running) = (Arc::new(Local::new()), Arc::new(AtomicU32::new(0)));
            let threads: Vec<_> = [End::Released, End::Dropped]
                .into_iter()
                .map(|end| {
                    let (admission, running) = (Arc::clone(&admission), Arc::clone(&running));
                    thread::spawn(move || call(&admission, &running, facts(1, 1), end))
                })
                .collect();
            admission.announce(facts(2, 2)).now_or_never().expect("at once").expect("in reach");
            assert!(matches!(
                admission.admit(&ask(facts(1, 1), 10)).now_or_never(),
                Some(Ok(Decision::Stale))
            ));
            for thread in threads {
                thread.join().expect("no call panics");
            }
            all_free(&admission, facts(2, 2));
        },
        Some(ORDERS),
    );
}
