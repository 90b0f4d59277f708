//! The facts a decision was made on. Headers are printed from these and from nothing else (promise S3).

/// The rate window of one key and route, this request counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateStanding {
    /// Requests per second.
    pub limit: u32,
    /// Requests left in this second.
    pub remaining: u32,
}

/// The slots of one account at the moment of the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotStanding {
    /// Slots of the plan.
    pub limit: u32,
    /// Slots in use; counts this request where it holds one, and may exceed `limit` after a downgrade.
    pub current: u32,
}

impl SlotStanding {
    /// Free slots: limit minus current, never below 0 (contract D19).
    pub const fn remaining(self) -> u32 {
        self.limit.saturating_sub(self.current)
    }
}

/// Everything one decision saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The rate window.
    pub rate: RateStanding,
    /// The account's slots.
    pub slots: SlotStanding,
    /// The account's balance; what running work holds is still in it.
    pub balance: crate::credit::Credits,
}
