//! What charts are drawn from: lines counted by step, route and key.

use std::time::Duration;

use bromo_rules::credit::Credits;
use bromo_rules::histogram::Histogram;
use bromo_rules::id::KeyId;
use bromo_rules::standing::SlotStanding;
use bromo_rules::time::Timestamp;

/// Rows of one answer at most.
pub const ROLLUPS_MAX: usize = 65_536;

/// How finely lines are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Steps of 15 s, kept for 7 h.
    Fine,
    /// Steps of 5 min, kept as long as the log.
    Coarse,
}

impl Level {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Fine, Self::Coarse];

    /// How long a step is. Steps begin at multiples of it since 1970.
    pub const fn step(self) -> Duration {
        match self {
            Self::Fine => Duration::from_secs(15),
            Self::Coarse => Duration::from_secs(300),
        }
    }

    /// How long steps are kept at least; none of those that go with the log.
    pub const fn keep(self) -> Option<Duration> {
        match self {
            Self::Fine => Some(Duration::from_secs(7 * 3600)),
            Self::Coarse => None,
        }
    }
}

/// What happened in a step with one key on one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollup {
    /// When the step begins.
    pub start: Timestamp,
    /// The route.
    pub route: &'static str,
    /// The key.
    pub key: KeyId,
    /// How many lines of each status and code, by these; none where a call only went on from the step before.
    pub outcomes: Vec<StatusCount>,
    /// What they cost.
    pub charged: Credits,
    /// How long the answered ones took.
    pub took: Histogram,
    /// The most slots that any of their decisions saw in use, all of the account's; none without a decision.
    pub slots_peak: Option<u32>,
    /// The slots that the last of their decisions saw, and when.
    pub slots_last: Option<(Timestamp, SlotStanding)>,
    /// Slot time inside the step, in microseconds: divided by the step's length it is the mean of slots in use.
    pub busy_us: u64,
}

/// How many lines had a status and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusCount {
    /// HTTP status.
    pub status: u16,
    /// The problem's code; empty for an answer.
    pub code: &'static str,
    /// How many lines.
    pub lines: u64,
}

/// When a key was last used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUse {
    /// The key.
    pub key: KeyId,
    /// The arrival of its latest request.
    pub last_at: Timestamp,
}
