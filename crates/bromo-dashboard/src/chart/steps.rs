//! The stretch of time a chart covers, cut into equal steps, and how its moments are written.

use jiff::Timestamp;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// More labels than this crowd the axis of a phone.
pub(super) const TIME_LABELS_MAX: usize = 5;

/// Distances at which the axis may be labelled, finest first.
const LABEL_STEPS_MS: [i64; 20] = [
    15_000,
    30_000,
    MINUTE_MS,
    2 * MINUTE_MS,
    5 * MINUTE_MS,
    10 * MINUTE_MS,
    15 * MINUTE_MS,
    30 * MINUTE_MS,
    HOUR_MS,
    2 * HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    DAY_MS,
    2 * DAY_MS,
    7 * DAY_MS,
    14 * DAY_MS,
    30 * DAY_MS,
    90 * DAY_MS,
    365 * DAY_MS,
];

/// Equal steps of time from `from_ms` on, in milliseconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// Start of the first step.
    pub from_ms: i64,
    /// Length of a step; above 0.
    pub step_ms: i64,
    /// How many steps there are.
    pub count: usize,
    /// The server's time: the step it lies in is unfinished, later ones are still to come.
    pub now_ms: i64,
    /// Minutes to add to UTC for the zone the chart is shown in.
    pub offset_minutes: i32,
}

/// Where a step stands to the present moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Whole,
    Unfinished,
    ToCome,
}

impl Steps {
    pub(super) fn start_ms(&self, step: usize) -> i64 {
        self.from_ms + self.step_ms * step as i64
    }

    pub(super) fn end_ms(&self) -> i64 {
        self.start_ms(self.count)
    }

    pub(super) fn phase(&self, step: usize) -> Phase {
        if self.start_ms(step) > self.now_ms {
            Phase::ToCome
        } else if self.start_ms(step + 1) > self.now_ms {
            Phase::Unfinished
        } else {
            Phase::Whole
        }
    }

    /// Where a moment lies between the left edge and the right one, in percent.
    pub(super) fn percent(&self, at_ms: i64) -> f64 {
        let width = (self.end_ms() - self.from_ms).max(1) as f64;
        ((at_ms - self.from_ms) as f64 / width * 100.0).clamp(0.0, 100.0)
    }

    /// The start of a step, as exactly as the steps are fine: `13:22:15`, `13:22`, `24 Nov 14:00`.
    pub(super) fn time(&self, step: usize) -> String {
        let pattern = if self.end_ms() - self.from_ms > DAY_MS {
            "%-d %b %H:%M"
        } else if self.step_ms % MINUTE_MS != 0 {
            "%H:%M:%S"
        } else {
            "%H:%M"
        };
        self.local(self.start_ms(step), pattern)
    }

    /// Moments to write on the axis, with their words; at most [`TIME_LABELS_MAX`].
    pub(super) fn labels(&self) -> Vec<(i64, String)> {
        let offset_ms = i64::from(self.offset_minutes) * MINUTE_MS;
        let (first, last) = (self.from_ms + offset_ms, self.end_ms() + offset_ms);
        for every in LABEL_STEPS_MS {
            let start = (first + every - 1).div_euclid(every);
            let end = last.div_euclid(every);
            if end - start < TIME_LABELS_MAX as i64 {
                return (start..=end)
                    .map(|at| {
                        let pattern = match every {
                            every if every < MINUTE_MS => "%H:%M:%S",
                            every
                                if every < DAY_MS && (last - first <= DAY_MS || at * every % DAY_MS != 0) =>
                            {
                                "%H:%M"
                            }
                            _ => "%-d %b",
                        };
                        let at_ms = at * every - offset_ms;
                        (at_ms, self.local(at_ms, pattern))
                    })
                    .collect();
            }
        }
        Vec::new()
    }

    fn local(&self, at_ms: i64, pattern: &str) -> String {
        let shifted = at_ms + i64::from(self.offset_minutes) * MINUTE_MS;
        Timestamp::from_millisecond(shifted).unwrap_or_default().strftime(pattern).to_string()
    }

    /// A moment as an address carries it: RFC 3339 in UTC.
    pub(super) fn address(at_ms: i64) -> String {
        Timestamp::from_millisecond(at_ms).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}
