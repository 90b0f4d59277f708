//! Kept connections of this thread.
//!
//! The program runs one single-threaded runtime a core and a socket belongs to the poller it was
//! registered with, so the pool is the thread's own and takes no lock.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
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
/// A connection unused for longer is closed: under the keep-alive time of common servers, so that a
/// kept connection is seldom a dead one.
pub const IDLE_AGE_MAX: Duration = Duration::from_secs(15);

/// Oldest in front; the newest is used first.
type Shelf = VecDeque<Box<Wire>>;

thread_local! {
    static IDLE: RefCell<HashMap<Arc<str>, Shelf>> = RefCell::default();
}

/// A kept connection to `authority` that still looks alive.
pub(super) async fn take(authority: &str) -> Option<Box<Wire>> {
    std::future::poll_fn(|cx| {
        Poll::Ready(IDLE.with_borrow_mut(|idle| {
            let shelf = idle.get_mut(authority)?;
            let runtime = runtime::Handle::current().id();
            let now = Instant::now();
            while let Some(mut wire) = shelf.pop_back() {
                if now.duration_since(wire.idle_since) > IDLE_AGE_MAX {
                    // All before it are older still.
                    shelf.clear();
                } else if wire.runtime == runtime && wire.poll_reusable(cx) {
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
    let now = Instant::now();
    wire.idle_since = now;
    IDLE.with_borrow_mut(|idle| {
        if !idle.contains_key(&wire.authority) {
            if idle.len() >= IDLE_AUTHORITIES_MAX {
                idle.retain(|_, shelf| drop_old(shelf, now));
            }
            if idle.len() >= IDLE_AUTHORITIES_MAX {
                return;
            }
            idle.insert(Arc::clone(&wire.authority), Shelf::new());
        }
        if let Some(shelf) = idle.get_mut(&wire.authority) {
            drop_old(shelf, now);
            if shelf.len() < IDLE_PER_AUTHORITY_MAX {
                shelf.push_back(wire);
            }
        }
    });
}

/// Closes this thread's connections that were unused for longer than `age`. Calls do this by the way;
/// a program that falls silent may call it from a timer, and with zero before it ends.
pub fn close_idle(age: Duration) {
    let now = Instant::now();
    IDLE.with_borrow_mut(|idle| {
        idle.retain(|_, shelf| {
            while shelf.front().is_some_and(|wire| now.duration_since(wire.idle_since) >= age) {
                shelf.pop_front();
            }
            !shelf.is_empty()
        });
    });
}

/// Whether anything is left.
fn drop_old(shelf: &mut Shelf, now: Instant) -> bool {
    while shelf.front().is_some_and(|wire| now.duration_since(wire.idle_since) > IDLE_AGE_MAX) {
        shelf.pop_front();
    }
    !shelf.is_empty()
}
