//! What a receiver's status means, and when the next attempt is made.

use std::time::Duration;

/// No receiver's Retry-After counts for more.
///
/// Source: docs/webhooks.md#schedule
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// What a receiver said, by its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It has the delivery.
    Taken,
    /// It wants no more of it, ever.
    Gone,
    /// It does not have it. A status that was never sent is one of these.
    Failed,
}

impl Receipt {
    /// Any 2xx takes, 410 ends, all else fails: a redirect too, since none is followed.
    ///
    /// Source: docs/webhooks.md#schedule
    pub const fn of(status: u16) -> Self {
        match status {
            200..=299 => Self::Taken,
            410 => Self::Gone,
            _ => Self::Failed,
        }
    }
}

/// The waits between the attempts at a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// After the first failure, the second, and so on; one failure more and the delivery is given up.
    pub waits: Vec<Duration>,
    /// By how much of itself, in percent, a wait is lengthened at most, so that deliveries that failed together do
    /// not come back together.
    pub jitter_percent: u8,
}

impl Default for Schedule {
    /// 2, 4, 8 and 16 minutes as cloro does, then 1, 3, 10, 24 and 24 hours; 10 % jitter.
    ///
    /// Source: docs/webhooks.md#schedule
    fn default() -> Self {
        let minutes = [2, 4, 8, 16, 60, 3 * 60, 10 * 60, 24 * 60, 24 * 60];
        Self { waits: minutes.map(Duration::from_mins).to_vec(), jitter_percent: 10 }
    }
}

impl Schedule {
    /// Attempts in one round.
    pub fn attempts_max(&self) -> usize {
        self.waits.len().saturating_add(1)
    }

    /// The wait after an attempt; none if no further one is to be made. `round_attempt` counts from 1 and again from
    /// 1 after a redelivery. `asked` is the receiver's Retry-After: it only ever lengthens the wait, and counts for
    /// [`RETRY_AFTER_MAX`] at most. `random` is spread evenly over all of `u64`; the jitter it makes comes on top, so
    /// that nobody is called earlier than the schedule or the receiver says.
    ///
    /// Source: docs/webhooks.md#schedule
    pub fn next(
        &self,
        round_attempt: u32,
        receipt: Receipt,
        asked: Option<Duration>,
        random: u64,
    ) -> Option<Duration> {
        if receipt != Receipt::Failed {
            return None;
        }
        let made = usize::try_from(round_attempt.max(1)).unwrap_or(usize::MAX);
        let planned = *self.waits.get(made - 1)?;
        let wait = planned.max(asked.unwrap_or_default().min(RETRY_AFTER_MAX));
        let jitter_max = wait.as_millis().saturating_mul(u128::from(self.jitter_percent)) / 100;
        let jitter = jitter_max.saturating_mul(u128::from(random)) >> 64;
        Some(wait.saturating_add(Duration::from_millis(u64::try_from(jitter).unwrap_or(u64::MAX))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minutes(minutes: u64) -> Option<Duration> {
        Some(Duration::from_mins(minutes))
    }

    #[test]
    fn the_first_five_attempts_are_cloros_and_five_more_span_days() {
        let schedule = Schedule::default();
        let waits: Vec<_> = (1..=11).map(|made| schedule.next(made, Receipt::Failed, None, 0)).collect();
        let expected = [2, 4, 8, 16, 60, 180, 600, 1440, 1440].map(minutes);
        assert_eq!(waits[..9], expected);
        assert_eq!(waits[9..], [None, None]);
        assert_eq!(schedule.attempts_max(), 10);
    }

    #[test]
    fn any_2xx_takes_and_410_ends_and_all_else_fails() {
        for status in 100..=599 {
            let expected = match status {
                200..=299 => Receipt::Taken,
                410 => Receipt::Gone,
                _ => Receipt::Failed,
            };
            assert_eq!(Receipt::of(status), expected);
        }
    }

    #[test]
    fn nothing_follows_a_delivery_that_was_taken_or_is_not_wanted() {
        for receipt in [Receipt::Taken, Receipt::Gone] {
            assert_eq!(Schedule::default().next(1, receipt, minutes(1), 0), None);
        }
    }

    #[test]
    fn the_receivers_wish_lengthens_a_wait_up_to_a_day() {
        let next = |made, asked| Schedule::default().next(made, Receipt::Failed, Some(asked), 0);
        assert_eq!(next(1, Duration::from_secs(1)), minutes(2));
        assert_eq!(next(1, Duration::from_mins(30)), minutes(30));
        assert_eq!(next(1, Duration::MAX), minutes(24 * 60));
        assert_eq!(next(10, Duration::from_mins(30)), None, "a wish makes no attempt more");
    }

    #[test]
    fn a_schedule_without_waits_makes_one_attempt() {
        let schedule = Schedule { waits: Vec::new(), ..Schedule::default() };
        assert_eq!(schedule.next(1, Receipt::Failed, None, 0), None);
        assert_eq!(schedule.attempts_max(), 1);
    }

    #[test]
    fn jitter_reaches_from_nothing_to_a_tenth() {
        let next = |random| Schedule::default().next(1, Receipt::Failed, None, random).unwrap();
        assert_eq!(next(0), Duration::from_secs(120));
        assert_eq!(next(1 << 63), Duration::from_secs(126));
        assert_eq!(next(u64::MAX), Duration::from_millis(131_999));
    }

    proptest! {
        #[test]
        fn no_wait_is_shorter_than_planned_or_asked_nor_a_tenth_longer(
            waits in proptest::collection::vec((0_u64..u64::MAX).prop_map(Duration::from_millis), 0..20),
            made in 0_u32..25,
            asked in proptest::option::of(any::<u64>().prop_map(Duration::from_secs)),
            random: u64,
        ) {
            let schedule = Schedule { waits: waits.clone(), ..Schedule::default() };
            let wait = schedule.next(made, Receipt::Failed, asked, random);
            let planned = waits.get(made.max(1) as usize - 1);
            prop_assert_eq!(wait.is_some(), planned.is_some());
            if let (Some(wait), Some(&planned)) = (wait, planned) {
                let least = planned.max(asked.unwrap_or_default().min(RETRY_AFTER_MAX));
                prop_assert!(wait >= least);
                prop_assert!(wait.as_millis() <= least.as_millis() + least.as_millis() / 10);
            }
        }
    }
}
