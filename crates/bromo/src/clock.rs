//! The only reader of the system clock.

use std::time::{Duration, Instant, SystemTime};

use bromo_rules::time::{Clock, Timestamp};

/// The system's time at the start, advanced by a clock that never steps back.
#[derive(Debug)]
pub struct SystemClock {
    started: Timestamp,
    since: Instant,
}

impl SystemClock {
    /// A clock that starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the Clock")]
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let millis = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        Self { started: Timestamp::from_millis(millis), since: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.started.plus(self.since.elapsed())
    }
}
