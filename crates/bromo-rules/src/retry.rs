//! When an attempt at a provider is made again.

use std::time::Duration;

/// The schedule of provider attempts for one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// Attempts in all (contract section 4.5).
    pub max: u8,
    /// Wait before the second attempt; doubles with each one.
    pub first_wait: Duration,
    /// No wait is longer.
    pub wait_max: Duration,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { max: 5, first_wait: Duration::from_millis(500), wait_max: Duration::from_secs(8) }
    }
}

impl Attempts {
    /// The wait after `made` attempts; none if no further one may start. `asked` is the provider's own
    /// Retry-After, which only ever lengthens the wait.
    pub fn wait_after(&self, made: u8, asked: Option<Duration>) -> Option<Duration> {
        if made >= self.max {
            return None;
        }
        let doubled = self.first_wait.saturating_mul(1 << u32::from(made.saturating_sub(1)).min(16));
        Some(doubled.min(self.wait_max).max(asked.unwrap_or(Duration::ZERO)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_bound_and_end_with_the_last_attempt() {
        let attempts = Attempts { wait_max: Duration::from_secs(1), ..Attempts::default() };
        let waits: Vec<_> =
            (1..=5).map(|made| attempts.wait_after(made, None).map(|w| w.as_millis())).collect();
        assert_eq!(waits, [Some(500), Some(1000), Some(1000), Some(1000), None]);
    }

    #[test]
    fn the_providers_own_wish_lengthens_a_wait() {
        let wait = Attempts::default().wait_after(1, Some(Duration::from_secs(20)));
        assert_eq!(wait, Some(Duration::from_secs(20)));
    }
}
