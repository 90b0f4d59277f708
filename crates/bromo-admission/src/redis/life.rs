//! Until when a lease may be counted on.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::redis::clock::{Boot, BootClock};

/// Shared by a permit, which asks, and its node, which renews.
#[derive(Debug)]
pub(crate) struct Life {
    /// 0 once it has ended for good.
    until: AtomicU64,
    ended: Notify,
}

impl Life {
    pub(crate) fn new(until: Boot) -> Self {
        Self { until: AtomicU64::new(until.0), ended: Notify::new() }
    }

    pub(crate) fn is_live(&self, now: Boot) -> bool {
        now.0 < self.until.load(Ordering::SeqCst)
    }

    /// Longer, never shorter; what has ended stays so.
    pub(crate) fn extend(&self, until: Boot) {
        let longer = |known: u64| (known != 0 && known < until.0).then_some(until.0);
        let _ = self.until.fetch_update(Ordering::SeqCst, Ordering::SeqCst, longer);
    }

    pub(crate) fn end(&self) {
        if self.until.swap(0, Ordering::SeqCst) != 0 {
            self.ended.notify_waiters();
        }
    }

    /// Comes when it has ended. Whoever polls it on a node that has just woken is told at once: it reads the clock.
    pub(crate) async fn ended(&self, clock: &BootClock) {
        loop {
            let mut told = std::pin::pin!(self.ended.notified());
            told.as_mut().enable();
            if !self.is_live(clock.now()) {
                return;
            }
            told.await;
        }
    }
}
