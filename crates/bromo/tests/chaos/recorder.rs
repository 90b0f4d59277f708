//! Where everything observed goes, with its time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::history::{Event, Number, What};

pub(crate) struct Recorder {
    begun: Instant,
    events: Mutex<Vec<Event>>,
    numbers: AtomicU64,
}

impl Recorder {
    pub(crate) fn start() -> Self {
        Self { begun: Instant::now(), events: Mutex::default(), numbers: AtomicU64::new(1) }
    }

    /// Notes it as happening now. The order of the notes is the order of their times.
    pub(crate) fn record(&self, what: What) {
        let mut events = self.events.lock().unwrap();
        events.push(Event { at: self.begun.elapsed(), what });
    }

    /// One that nothing else has.
    pub(crate) fn number(&self) -> Number {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}
