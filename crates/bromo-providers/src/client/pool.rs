//! Kept connections of this thread.
//!
//! The program runs one single-threaded runtime a core and a socket belongs to the poller it was
//! registered with, so the pool is the thread's own and takes no lock.
//!
//! Connections whose address was judged before they were made have a pool of their own: one that was made
//! to a provider, on a private network maybe, never carries a request that may go to judged addresses only.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime;
use tokio::time::Instant;

use super::wire::Wire;

/// Connections kept for one scheme, host and port.
pub const IDLE_PER_AUTHORITY_MAX: usize = 512;
/// Shelves in the pool; a connection of one more is closed.
pub const IDLE_AUTHORITIES_MAX: usize = 64;
/// Connections to judged addresses kept for one scheme, host and port.
pub const IDLE_JUDGED_PER_AUTHORITY_MAX: usize = 128;
/// Connections to judged addresses kept in all, and shelves for them; one more is closed.
pub const IDLE_JUDGED_MAX: usize = 1024;
/// A connection unused for longer is closed: under the keep-alive time of common servers, so that a
/// kept connection is seldom a dead one.
pub const IDLE_AGE_MAX: Duration = Duration::from_secs(15);
/// A full pool is searched for old connections this often at most.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Says again whether a judged address may be called.
pub(super) type Guard<'a> = &'a (dyn Fn(IpAddr) -> bool + Sync);

thread_local! {
    static IDLE: RefCell<Pool> =
        RefCell::new(Pool::new(IDLE_PER_AUTHORITY_MAX, IDLE_AUTHORITIES_MAX, usize::MAX));
    static IDLE_JUDGED: RefCell<Pool> =
        RefCell::new(Pool::new(IDLE_JUDGED_PER_AUTHORITY_MAX, IDLE_JUDGED_MAX, IDLE_JUDGED_MAX));
}

/// A kept connection to `authority` that still looks alive; with a guard one to a judged address that
/// passes it, without one of the others.
pub(super) async fn take(authority: &str, guard: Option<Guard<'_>>) -> Option<Box<Wire>> {
    let pool = if guard.is_some() { &IDLE_JUDGED } else { &IDLE };
    std::future::poll_fn(|cx| {
        Poll::Ready(pool.with_borrow_mut(|pool| {
            let runtime = runtime::Handle::current().id();
            let now = Instant::now();
            while let Some(mut wire) = pool.pop(authority) {
                if now.duration_since(wire.idle_since) > IDLE_AGE_MAX {
                    // All before it are older still.
                    pool.clear(authority);
                    return None;
                }
                let passes = guard.is_none_or(|guard| wire.judged.is_some_and(guard));
                if passes && wire.runtime == runtime && wire.poll_reusable(cx) {
                    return Some(wire);
                }
            }
            None
        }))
    })
    .await
}

/// Keeps a connection whose last response was read to its end.
pub(super) fn keep(mut wire: Box<Wire>) {
    let pool = if wire.judged.is_some() { &IDLE_JUDGED } else { &IDLE };
    let now = Instant::now();
    wire.idle_since = now;
    pool.with_borrow_mut(|pool| pool.push(wire, now));
}

/// Closes this thread's connections that were unused for longer than `age`. Calls do this by the way;
/// a program that falls silent may call it from a timer, and with zero before it ends.
pub fn close_idle(age: Duration) {
    let now = Instant::now();
    for pool in [&IDLE, &IDLE_JUDGED] {
        pool.with_borrow_mut(|pool| pool.close(|idle| idle >= age, now));
    }
}

struct Pool {
    /// Oldest in front; the newest is used first.
    shelves: HashMap<Arc<str>, VecDeque<Box<Wire>>>,
    /// On all shelves.
    kept: usize,
    swept_at: Option<Instant>,
    per_authority_max: usize,
    authorities_max: usize,
    kept_max: usize,
}

impl Pool {
    fn new(per_authority_max: usize, authorities_max: usize, kept_max: usize) -> Self {
        let shelves = HashMap::new();
        Self { shelves, kept: 0, swept_at: None, per_authority_max, authorities_max, kept_max }
    }

    fn pop(&mut self, authority: &str) -> Option<Box<Wire>> {
        let wire = self.shelves.get_mut(authority)?.pop_back()?;
        self.kept -= 1;
        Some(wire)
    }

    fn clear(&mut self, authority: &str) {
        if let Some(shelf) = self.shelves.get_mut(authority) {
            self.kept -= shelf.len();
            shelf.clear();
        }
    }

    fn push(&mut self, wire: Box<Wire>, now: Instant) {
        let is_new = !self.shelves.contains_key(&wire.authority);
        if self.is_full(is_new) && self.swept_at.is_none_or(|at| now.duration_since(at) >= SWEEP_EVERY) {
            self.swept_at = Some(now);
            self.close(|idle| idle > IDLE_AGE_MAX, now);
        }
        if self.is_full(is_new) {
            return;
        }
        let shelf = self.shelves.entry(Arc::clone(&wire.authority)).or_default();
        self.kept -= close_old(shelf, |idle| idle > IDLE_AGE_MAX, now);
        if shelf.len() < self.per_authority_max {
            shelf.push_back(wire);
            self.kept += 1;
        }
    }

    fn is_full(&self, is_new: bool) -> bool {
        self.kept >= self.kept_max || (is_new && self.shelves.len() >= self.authorities_max)
    }

    /// Closes what was idle for too long, and takes empty shelves down.
    fn close(&mut self, too_long: impl Fn(Duration) -> bool, now: Instant) {
        self.shelves.retain(|_, shelf| {
            self.kept -= close_old(shelf, &too_long, now);
            !shelf.is_empty()
        });
    }
}

/// How many it closed.
fn close_old(shelf: &mut VecDeque<Box<Wire>>, too_long: impl Fn(Duration) -> bool, now: Instant) -> usize {
    let before = shelf.len();
    while shelf.front().is_some_and(|wire| too_long(now.duration_since(wire.idle_since))) {
        shelf.pop_front();
    }
    before - shelf.len()
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn wire(listener: &TcpListener, authority: &str) -> Box<Wire> {
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        Wire::over(tcp, None, &authority.into(), "localhost", None).await.unwrap()
    }

    #[tokio::test]
    async fn a_full_pool_closes_what_comes_and_makes_room_of_what_is_old() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Two of an authority, three authorities, four in all.
        let mut pool = Pool::new(2, 3, 4);
        let now = Instant::now();
        for (authority, kept) in [("a", 1), ("a", 2), ("a", 2), ("b", 3), ("c", 4), ("b", 4), ("d", 4)] {
            pool.push(wire(&listener, authority).await, now);
            assert_eq!(pool.kept, kept, "{authority}");
        }
        assert!(pool.pop("a").is_some());
        pool.push(wire(&listener, "d").await, now);
        assert_eq!((pool.kept, pool.pop("d").is_some()), (3, false), "there is room but no shelf");

        // The others were kept by then; a second later they are too old.
        let later = Instant::now() + IDLE_AGE_MAX + SWEEP_EVERY;
        let mut young = wire(&listener, "d").await;
        young.idle_since = later;
        pool.push(young, later);
        assert_eq!((pool.kept, pool.shelves.len()), (1, 1));

        pool.clear("d");
        assert!(pool.kept == 0 && pool.pop("d").is_none());
    }
}
