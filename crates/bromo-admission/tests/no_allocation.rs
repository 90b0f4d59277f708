//! Deciding allocates nothing after an account's first request.
#![expect(unsafe_code, reason = "a counting allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use bromo_admission::{Admission, Ask, Decision, Facts, Local, RouteIndex, Want};
use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::time::Timestamp;
use bromo_rules::window::Limit;
use futures_util::FutureExt;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system allocator as it came; only a counter moves.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_decision_and_its_release_allocate_nothing_after_the_first_request() {
    let admission = Local::new();
    let now = Timestamp::from_millis(1_760_000_000_000);
    let facts = Facts {
        account: AccountId::from_random(1),
        version: 1,
        slots: 100,
        balance: Credits::new(1_000),
        ledger_seq: 1,
    };
    let ask = Ask {
        facts,
        key: KeyId::from_random(2),
        route: RouteIndex::new(3),
        rate: Limit { requests: u32::MAX },
        now,
        want: Some(Want { hold: Credits::new(1), usually_ends: now }),
    };
    let enter = || match admission.admit(&ask).now_or_never() {
        Some(Ok(Decision::Admitted(_, permit))) => Some(permit),
        _ => None,
    };
    drop(enter());
    let mut permits = [const { None }; 100];
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..10 {
        permits.iter_mut().for_each(|place| *place = enter());
        assert!(permits.iter().all(Option::is_some) && enter().is_none());
        for place in &mut permits {
            if let Some(permit) = place.take() {
                permit.release(None).now_or_never();
            }
        }
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before);
}
