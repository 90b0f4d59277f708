//! The arithmetic of the rate limit: a fixed window of one whole second.

use crate::standing::RateStanding;
use crate::time::Timestamp;

/// Requests that one window may hold: per key and route template, per second (contract section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Requests per second.
    pub requests: u32,
}

/// The count of one key and route in the present second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    second: i64,
    used: u32,
}

impl Window {
    /// Takes one request out of the window of `now`.
    ///
    /// Both answers carry the standing they were decided on. A clock that steps back counts as no time
    /// passed, unless the stored second is more than one ahead: that one is wrong, and is replaced.
    ///
    /// # Errors
    /// The standing, with `remaining` 0, once `limit.requests` are used.
    ///
    /// Source: docs/rate-limits.md#the-window
    pub fn take(&mut self, limit: Limit, now: Timestamp) -> Result<RateStanding, RateStanding> {
        let second = now.seconds();
        if second > self.second || self.second > second + 1 {
            *self = Self { second, used: 0 };
        }
        if self.used >= limit.requests {
            return Err(RateStanding { limit: limit.requests, remaining: 0 });
        }
        self.used += 1;
        Ok(RateStanding { limit: limit.requests, remaining: limit.requests - self.used })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(requests: u32, arrivals_ms: &[i64], admitted: &[bool]) {
        let mut window = Window::default();
        let got: Vec<bool> = arrivals_ms
            .iter()
            .map(|ms| window.take(Limit { requests }, Timestamp::from_millis(*ms)).is_ok())
            .collect();
        assert_eq!(got, admitted);
    }

    #[test]
    fn the_window_opens_again_at_its_end_not_after_it() {
        check(2, &[5_000, 5_010, 5_999, 6_000], &[true, true, false, true]);
    }

    #[test]
    fn a_clock_that_steps_back_opens_no_new_window() {
        check(1, &[5_000, 4_999, 4_000, 6_000], &[true, false, false, true]);
    }

    #[test]
    fn a_second_far_ahead_is_replaced() {
        check(1, &[9_000, 5_000, 5_001], &[true, true, false]);
    }

    #[test]
    fn the_first_of_a_thousand_leaves_999() {
        let standing = Window::default().take(Limit { requests: 1000 }, Timestamp::from_millis(1));
        assert_eq!(standing, Ok(RateStanding { limit: 1000, remaining: 999 }));
    }

    proptest! {
        #[test]
        fn no_second_ever_admits_more_than_its_limit(limit in 1u32..20, mut at in proptest::collection::vec(0i64..5_000, 1..200)) {
            at.sort_unstable();
            let mut window = Window::default();
            let mut admitted = [0u32; 5];
            for ms in at {
                if window.take(Limit { requests: limit }, Timestamp::from_millis(ms)).is_ok() {
                    admitted[usize::try_from(ms / 1000).unwrap()] += 1;
                }
            }
            prop_assert!(admitted.iter().all(|n| *n <= limit));
        }
    }
}
