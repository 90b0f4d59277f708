//! Counts in this process: exact for one node, and nothing to wait for.
//!
//! One small struct an account, one a key, each behind its own mutex that is held for arithmetic alone
//! (window first, then account). After an account's first request nothing is allocated.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError};

use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::standing::{RateStanding, SlotStanding, Standing};
use bromo_rules::time::Timestamp;
use bromo_rules::window::Window;

use crate::ask::{Ask, Facts, ROUTES_MAX, Start, Want};
use crate::permit::{Home, Lease, Permit, Settled};
use crate::reply::Reply;
use crate::sync::{Mutex, RwLock, lock};
use crate::{Admission, AdmissionError, Decision, Denial, Started, Usage, Wake};

type Map<K, V> = RwLock<HashMap<K, Arc<V>, foldhash::fast::RandomState>>;

/// Room for running calls that an account gets at once; larger plans grow into theirs.
const RESERVE_MAX: u32 = 4096;
/// Retry-After is at least and at most this many seconds.
const RETRY_AFTER_S: std::ops::RangeInclusive<i64> = 1..=30;

/// Admission for one node.
#[derive(Default)]
pub struct Local {
    accounts: Map<AccountId, Seat>,
    wake: Arc<OnceLock<Wake>>,
}

/// One account and the windows of its keys.
struct Seat {
    account: AccountId,
    counts: Mutex<Counts>,
    windows: Map<KeyId, KeyWindows>,
    wake: Arc<OnceLock<Wake>>,
}

struct KeyWindows([Mutex<Window>; ROUTES_MAX]);

struct Counts {
    version: u64,
    slots: u32,
    balance: Credits,
    ledger_seq: u64,
    held: Credits,
    /// Running calls by lease; none where a place is free.
    running: Vec<Option<Running>>,
    free: Vec<u32>,
    /// A task was denied since the last change that might let it start.
    waited_for: bool,
}

#[derive(Clone, Copy)]
struct Running {
    hold: Credits,
    usually_ends: Timestamp,
}

impl Local {
    /// No account, nothing running.
    pub fn new() -> Self {
        Self::default()
    }

    fn seat(&self, facts: &Facts) -> Arc<Seat> {
        lookup_or_insert(&self.accounts, facts.account, || Seat {
            account: facts.account,
            counts: Mutex::new(Counts::new(facts)),
            windows: Map::default(),
            wake: Arc::clone(&self.wake),
        })
    }

    fn decide(&self, ask: &Ask) -> Decision {
        let seat = self.seat(&ask.facts);
        let windows = lookup_or_insert(&seat.windows, ask.key, KeyWindows::default);
        let mut window = lock(&windows.0[ask.route.get()]);
        let mut counts = lock(&seat.counts);
        if ask.facts.version < counts.version {
            return Decision::Stale;
        }
        if counts.learn(&ask.facts) {
            seat.call_out();
        }
        let rate = match window.take(ask.rate, ask.now) {
            Ok(rate) => rate,
            Err(rate) => return Decision::Denied(counts.standing(rate), Denial::Rate),
        };
        let Some(want) = ask.want else { return Decision::Counted(counts.standing(rate)) };
        match counts.take(want, ask.now) {
            Ok(lease) => {
                let standing = counts.standing(rate);
                drop(counts);
                Decision::Admitted(standing, Permit::new(seat, lease))
            }
            Err(denial) => Decision::Denied(counts.standing(rate), denial),
        }
    }

    fn decide_start(&self, start: &Start) -> Started {
        let seat = self.seat(&start.facts);
        let mut counts = lock(&seat.counts);
        if start.facts.version < counts.version {
            return Started::Stale;
        }
        counts.learn(&start.facts);
        let mut leases = Vec::with_capacity(start.wants.len());
        let mut denial = None;
        for want in &start.wants {
            match counts.take(*want, start.now) {
                Ok(lease) => leases.push(lease),
                Err(denied) => {
                    counts.waited_for |= denied != Denial::Credits { held: false };
                    denial = Some(denied);
                    break;
                }
            }
        }
        let slots = counts.slots();
        drop(counts);
        let permits = leases.into_iter().map(|lease| Permit::new(Arc::<Seat>::clone(&seat), lease)).collect();
        Started::Judged { slots, permits, denial }
    }

    fn lookup(&self, account: AccountId) -> Option<Arc<Seat>> {
        self.accounts.read().unwrap_or_else(PoisonError::into_inner).get(&account).cloned()
    }
}

impl Admission for Local {
    fn admit<'a>(&'a self, ask: &'a Ask) -> Reply<'a, Result<Decision, AdmissionError>> {
        Reply::now(Ok(self.decide(ask)))
    }

    fn start<'a>(&'a self, start: &'a Start) -> Reply<'a, Result<Started, AdmissionError>> {
        Reply::now(Ok(self.decide_start(start)))
    }

    fn wake_with(&self, wake: Wake) {
        drop(self.wake.set(wake));
    }

    fn open(&self, facts: Facts) -> Reply<'_, Result<(), AdmissionError>> {
        self.announce(facts)
    }

    fn announce(&self, facts: Facts) -> Reply<'_, Result<(), AdmissionError>> {
        // Kept for an account that has asked for nothing yet too: older copies of it may be cached.
        let seat = self.seat(&facts);
        let freed = lock(&seat.counts).learn(&facts);
        if freed {
            seat.call_out();
        }
        Reply::now(Ok(()))
    }

    fn held(&self, account: AccountId) -> Reply<'_, Result<Credits, AdmissionError>> {
        Reply::now(Ok(self.lookup(account).map_or(Credits::ZERO, |seat| lock(&seat.counts).held)))
    }

    fn in_reach(&self) -> Result<(), AdmissionError> {
        Ok(())
    }

    fn in_use(&self, account: AccountId) -> Reply<'_, Result<u32, AdmissionError>> {
        Reply::now(Ok(self.lookup(account).map_or(0, |seat| lock(&seat.counts).slots().current)))
    }

    fn usage(&self) -> Reply<'_, Result<Vec<Usage>, AdmissionError>> {
        let seats: Vec<_> =
            self.accounts.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let usage = |seat: &Arc<Seat>| Usage { account: seat.account, slots: lock(&seat.counts).slots() };
        Reply::now(Ok(seats.iter().map(usage).collect()))
    }

    fn repairs(&self) -> u64 {
        0 // A permit in this process cannot be lost: dropping it is its release.
    }
}

impl Home for Seat {
    fn release(self: Arc<Self>, lease: Lease, settled: Option<Settled>) -> Reply<'static, ()> {
        let freed = lock(&self.counts).give_back(lease, settled);
        if freed {
            self.call_out();
        }
        Reply::now(())
    }

    fn is_live(&self, _: Lease) -> bool {
        true // What this process counts it cannot lose.
    }

    fn lost(&self, _: Lease) -> Reply<'static, ()> {
        Reply::never()
    }
}

impl Seat {
    /// Tells that a task of this account that was denied may start now.
    fn call_out(&self) {
        if let Some(wake) = self.wake.get() {
            wake(self.account);
        }
    }
}

impl Counts {
    fn new(facts: &Facts) -> Self {
        let room = facts.slots.min(RESERVE_MAX) as usize;
        Self {
            version: facts.version,
            slots: facts.slots,
            balance: facts.balance,
            ledger_seq: facts.ledger_seq,
            held: Credits::ZERO,
            running: Vec::with_capacity(room),
            free: Vec::with_capacity(room),
            waited_for: false,
        }
    }

    /// Keeps what is newer. Limits go by the account's version, balances by their place in the ledger. True if
    /// someone waits for that.
    fn learn(&mut self, facts: &Facts) -> bool {
        let newer = facts.version > self.version;
        if newer {
            self.version = facts.version;
            self.slots = facts.slots;
        }
        self.settle(Settled { balance: facts.balance, ledger_seq: facts.ledger_seq });
        newer && std::mem::take(&mut self.waited_for)
    }

    fn settle(&mut self, settled: Settled) {
        if settled.ledger_seq > self.ledger_seq {
            self.ledger_seq = settled.ledger_seq;
            self.balance = settled.balance;
        }
    }

    fn take(&mut self, want: Want, now: Timestamp) -> Result<Lease, Denial> {
        if self.balance - self.held < want.hold {
            return Err(Denial::Credits { held: self.balance >= want.hold });
        }
        if self.in_use() >= self.slots {
            return Err(Denial::Slots { retry_after_s: self.retry_after_s(now) });
        }
        let running = Some(Running { hold: want.hold, usually_ends: want.usually_ends });
        let place = self.free.pop().unwrap_or_else(|| {
            self.running.push(None);
            // `free` must never grow at a release: it has room for every place.
            self.free.reserve(self.running.len() - self.free.len());
            in_u32(self.running.len() - 1)
        });
        self.running[place as usize] = running;
        self.held += want.hold;
        Ok(Lease(u64::from(place)))
    }

    /// True if someone waits for it.
    fn give_back(&mut self, lease: Lease, settled: Option<Settled>) -> bool {
        let place = usize::try_from(lease.0).ok().and_then(|place| self.running.get_mut(place));
        if let Some(running) = place.and_then(Option::take) {
            self.held = self.held - running.hold;
            self.free.push(u32::try_from(lease.0).unwrap_or(u32::MAX));
        }
        if let Some(settled) = settled {
            self.settle(settled);
        }
        std::mem::take(&mut self.waited_for)
    }

    fn in_use(&self) -> u32 {
        in_u32(self.running.len() - self.free.len())
    }

    fn slots(&self) -> SlotStanding {
        SlotStanding { limit: self.slots, current: self.in_use() }
    }

    fn standing(&self, rate: RateStanding) -> Standing {
        Standing { rate, slots: self.slots(), balance: self.balance }
    }

    /// When the first of the running calls is likely to end. One that takes longer than usual may end
    /// any moment.
    fn retry_after_s(&self, now: Timestamp) -> u32 {
        let first = self.running.iter().flatten().map(|running| running.usually_ends).min();
        let wait_ms = first.map_or(0, |ends| ends.millis() - now.millis());
        let seconds = wait_ms.saturating_add(999).div_euclid(1000);
        u32::try_from(seconds.clamp(*RETRY_AFTER_S.start(), *RETRY_AFTER_S.end())).unwrap_or(1)
    }
}

impl Default for KeyWindows {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(Window::default())))
    }
}

fn in_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn lookup_or_insert<K: Eq + std::hash::Hash, V>(map: &Map<K, V>, key: K, make: impl FnOnce() -> V) -> Arc<V> {
    if let Some(value) = map.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Arc::clone(value);
    }
    let mut map = map.write().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(map.entry(key).or_insert_with(|| Arc::new(make())))
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;
    use crate::contract;

    macro_rules! suite {
        ($($name:ident)*) => { $(
            #[test]
            fn $name() {
                futures_util::future::FutureExt::now_or_never(contract::$name(&Local::new())).unwrap();
            }
        )* };
    }

    contract::each!(suite);
}
