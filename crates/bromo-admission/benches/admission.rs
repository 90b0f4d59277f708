//! One admit and release on one thread. To reach: under 200 ns, no allocation (design section 10).

use bromo_admission::{Admission, Ask, Decision, Facts, Local, RouteIndex, Want};
use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::time::Timestamp;
use bromo_rules::window::Limit;
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;

fn ask(account: u64, now: Timestamp) -> Ask {
    let account = AccountId::from_random(account);
    Ask {
        facts: Facts { account, version: 1, slots: 1000, balance: Credits::MAX, ledger_seq: 1 },
        key: KeyId::from_random(2),
        route: RouteIndex::new(3),
        rate: Limit { requests: u32::MAX },
        now,
        want: Some(Want { hold: Credits::new(7), usually_ends: now }),
    }
}

fn admission(c: &mut Criterion) {
    let now = Timestamp::from_millis(1_760_000_000_000);
    let local = Local::new();
    for account in 0..1000 {
        let _ = local.admit(&ask(account, now)).now_or_never();
    }
    let mut account = 0;
    c.bench_function("admit + release, in process, 1,000 accounts", |b| {
        b.iter(|| {
            account = (account + 1) % 1000;
            let Some(Ok(Decision::Admitted(standing, permit))) =
                local.admit(&ask(account, now)).now_or_never()
            else {
                unreachable!("1,000 slots are free");
            };
            permit.release(None).now_or_never();
            standing
        });
    });
    let full = Local::new();
    let _permits: Vec<_> = (0..1000).map(|_| full.admit(&ask(1, now)).now_or_never()).collect();
    c.bench_function("refusal with 1,000 slots in use", |b| {
        b.iter(|| full.admit(&ask(1, now)).now_or_never())
    });
}

criterion_group!(benches, admission);
criterion_main!(benches);
