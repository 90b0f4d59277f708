//! The plan table (contract section 10). Operators may replace it in the configuration.

use serde::Serialize;

use crate::credit::Credits;

/// A named row of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Lower-case, hyphenated: `enterprise-2k`.
    pub name: String,
    /// As people read it: `Enterprise 2K`.
    pub title: String,
    /// US dollars a month.
    pub usd_per_month: u32,
    /// Credits of one cycle.
    pub credits: Credits,
    /// Provider calls that may be in progress at once.
    pub slots: u32,
    /// Members an account may have; none means no limit.
    pub seats: Option<u32>,
    /// How help is given.
    pub support: String,
    /// An account's owner may choose it alone.
    pub self_serve: bool,
}

/// All plans, cheapest first. Names are unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanTable(Vec<Plan>);

/// Why a list of plans is not a plan table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanTableError {
    /// Two plans share a name.
    #[error("plan `{0}` stands twice in the table")]
    Twice(String),
    /// There is no plan at all.
    #[error("the plan table is empty")]
    Empty,
    /// A plan with no slot could never run anything.
    #[error("plan `{0}` has no slot")]
    NoSlot(String),
    /// Credits below 0.
    #[error("plan `{0}` has credits below 0")]
    NegativeCredits(String),
}

impl PlanTable {
    /// A table of these plans, in this order.
    ///
    /// # Errors
    /// [`PlanTableError`] names the first fault.
    pub fn new(plans: Vec<Plan>) -> Result<Self, PlanTableError> {
        if plans.is_empty() {
            return Err(PlanTableError::Empty);
        }
        for (index, plan) in plans.iter().enumerate() {
            if plans[..index].iter().any(|other| other.name == plan.name) {
                return Err(PlanTableError::Twice(plan.name.clone()));
            }
            if plan.slots == 0 {
                return Err(PlanTableError::NoSlot(plan.name.clone()));
            }
            if plan.credits < Credits::ZERO {
                return Err(PlanTableError::NegativeCredits(plan.name.clone()));
            }
        }
        Ok(Self(plans))
    }

    /// The plan of this name.
    pub fn lookup(&self, name: &str) -> Option<&Plan> {
        self.0.iter().find(|plan| plan.name == name)
    }

    /// All plans, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Plan> {
        self.0.iter()
    }
}

/// Contract section 10, without the annual variant (an operator writes that row for its contract).
impl Default for PlanTable {
    fn default() -> Self {
        let row =
            |(name, title, usd_per_month, credits, slots, support): (&str, &str, u32, i64, u32, &str)| Plan {
                name: name.to_owned(),
                title: title.to_owned(),
                usd_per_month,
                credits: Credits::new(credits),
                slots,
                seats: (name == "free").then_some(1),
                support: support.to_owned(),
                self_serve: !name.starts_with("enterprise"),
            };
        Self(
            [
                ("free", "Free", 0, 500, 1, "docs"),
                ("lite", "Lite", 30, 37_500, 10, "email"),
                ("hobby", "Hobby", 100, 250_000, 20, "email"),
                ("starter", "Starter", 250, 650_000, 50, "email"),
                ("growth", "Growth", 500, 1_350_000, 75, "priority email"),
                ("business", "Business", 1_000, 2_800_000, 100, "priority email"),
                ("enterprise-2k", "Enterprise 2K", 2_000, 5_871_025, 135, "Slack"),
                ("enterprise-3k", "Enterprise 3K", 3_000, 9_306_606, 175, "Slack"),
                ("enterprise-4k", "Enterprise 4K", 4_000, 12_756_261, 215, "Slack"),
                ("enterprise-5k", "Enterprise 5K", 5_000, 16_391_783, 255, "Slack"),
            ]
            .map(row)
            .to_vec(),
        )
    }
}
