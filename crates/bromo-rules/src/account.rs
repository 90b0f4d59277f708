//! An account, and every legal change to it. A store reads one, applies a [`Change`] and writes what came
//! out, in one transaction; so a plan's rules stand here and nowhere else.

use crate::credit::{Balance, Credits, Cycle};
use crate::id::{AccountId, KeyId, RequestId};
use crate::key::{KeyHash, KeyKind};
use crate::plan::{Plan, PlanTable};
use crate::time::Timestamp;

/// Who pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Unique, 1 to 64 characters.
    pub name: String,
    /// Name of its plan.
    pub plan: String,
    /// The plan that begins with the next cycle, if it is another.
    pub next_plan: Option<String>,
    /// What it has.
    pub balance: Balance,
    /// The allocation given in this cycle; the highest, where the plan changed in it.
    pub allocated: Credits,
    /// Its credit cycle.
    pub cycle: Cycle,
    /// Questions and answers are kept with the request log. Off until an owner turns it on.
    pub keep_texts: bool,
    /// Counts every change but charges. Admission and cached copies compare it.
    pub version: u64,
    /// Counts every ledger entry: orders balances.
    pub ledger_seq: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A key of an account, without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub account: AccountId,
    /// Live or test.
    pub kind: KeyKind,
    /// At most 64 characters.
    pub name: Option<String>,
    /// What presented keys are compared with.
    pub hash: KeyHash,
    /// The last four characters, to recognise it by.
    pub last4: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stopped working.
    pub revoked_at: Option<Timestamp>,
}

/// A change of an account that its owner or an operator asks for, or that time brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// To this plan at once, up or down.
    SetPlan(Plan),
    /// To this plan with the next cycle; the present plan's name takes the change back.
    SchedulePlan(Plan),
    /// Credits on top.
    Grant(Credits),
    /// The cycle that holds the change's instant begins, if it has not.
    StartCycle {
        /// Credits that running work holds: the new balance never lies below them.
        held: Credits,
    },
    /// Questions and answers are kept from now on, or no longer.
    KeepTexts(bool),
    /// A key was made or revoked: only the version moves.
    KeysChanged,
}

/// Why a change is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Grants are 1 to [`Credits::MAX`], and so is every balance.
    #[error("credits out of range")]
    OutOfRange,
    /// The account has as many members as its plan has seats.
    #[error("all seats of the plan are taken")]
    NoSeat,
    /// Without an owner nobody could manage the account.
    #[error("the last owner stays an owner")]
    LastOwner,
}

/// What a ledger entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// The first allocation.
    Opening,
    /// A completed answer.
    Charge,
    /// An operator's gift.
    Grant,
    /// The difference of allocations at an upgrade.
    Upgrade,
    /// A new cycle's allocation, less what expired.
    Cycle,
}

impl EntryKind {
    /// The word used in JSON and in stores.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Charge => "charge",
            Self::Grant => "grant",
            Self::Upgrade => "upgrade",
            Self::Cycle => "cycle",
        }
    }
}

/// One line of the ledger. An account's balance is the sum of its entries' amounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose.
    pub account: AccountId,
    /// Its place among the account's entries, from 1, without gaps.
    pub seq: u64,
    /// What for.
    pub kind: EntryKind,
    /// Added to the balance; negative for a charge.
    pub amount: Credits,
    /// The balance after it.
    pub balance: Credits,
    /// The request a charge paid for.
    pub request: Option<RequestId>,
    /// When.
    pub at: Timestamp,
}

impl Account {
    /// A new account on `plan`, and the entry of its first allocation.
    pub fn open(id: AccountId, name: &str, plan: &Plan, now: Timestamp) -> (Self, Entry) {
        let mut account = Self {
            id,
            name: name.to_owned(),
            plan: plan.name.clone(),
            next_plan: None,
            balance: Balance::default(),
            allocated: plan.credits,
            cycle: Cycle::containing(now, now),
            keep_texts: false,
            version: 1,
            ledger_seq: 0,
            created_at: now,
        };
        let to = Balance { plan: plan.credits, granted: Credits::ZERO };
        let entry = account.book(EntryKind::Opening, to, now);
        (account, entry)
    }

    /// Applies `change` as of `now`. The version moves, and the entry is to be written, if anything changed.
    ///
    /// Upgrade: balance = new allocation minus what was used this cycle, that is, the difference is added.
    /// A lower plan takes no credits away; its allocation comes with the next cycle. Down and up again
    /// within a cycle gives nothing twice.
    ///
    /// # Errors
    /// [`ChangeError`]; the account is as before.
    ///
    /// Source: docs/credits.md#changing-plans
    pub fn apply(
        &mut self,
        change: &Change,
        plans: &PlanTable,
        now: Timestamp,
    ) -> Result<Option<Entry>, ChangeError> {
        let entry = match change {
            Change::SetPlan(to) => {
                self.plan.clone_from(&to.name);
                self.next_plan = None;
                let more = to.credits - self.allocated;
                let balance = Balance { plan: self.balance.plan + more, ..self.balance };
                (more > Credits::ZERO).then(|| {
                    self.allocated = to.credits;
                    self.book(EntryKind::Upgrade, balance, now)
                })
            }
            Change::SchedulePlan(to) => {
                self.next_plan = (to.name != self.plan).then(|| to.name.clone());
                None
            }
            Change::Grant(credits) => {
                if *credits <= Credits::ZERO || self.balance.total() + *credits > Credits::MAX {
                    return Err(ChangeError::OutOfRange);
                }
                let balance = Balance { granted: self.balance.granted + *credits, ..self.balance };
                Some(self.book(EntryKind::Grant, balance, now))
            }
            Change::StartCycle { held } => {
                if !self.cycle.is_over(now) {
                    return Ok(None);
                }
                self.cycle = Cycle::containing(self.cycle.anchor, now);
                if let Some(next) = self.next_plan.take() {
                    self.plan = next;
                }
                self.allocated = plans.lookup(&self.plan).map_or(Credits::ZERO, |plan| plan.credits);
                let granted = self.balance.granted;
                let floor = (*held - granted).min(self.balance.plan);
                Some(self.book(EntryKind::Cycle, Balance { plan: self.allocated.max(floor), granted }, now))
            }
            Change::KeepTexts(keep) => {
                if self.keep_texts == *keep {
                    return Ok(None);
                }
                self.keep_texts = *keep;
                None
            }
            Change::KeysChanged => None,
        };
        self.version += 1;
        Ok(entry)
    }

    /// Pays `price` for `request`: the entry to write, or none if the balance does not cover it.
    pub fn charge(&mut self, request: RequestId, price: Credits, now: Timestamp) -> Option<Entry> {
        let balance = self.balance.pay(price)?;
        Some(Entry { request: Some(request), ..self.book(EntryKind::Charge, balance, now) })
    }

    fn book(&mut self, kind: EntryKind, balance: Balance, now: Timestamp) -> Entry {
        let amount = balance.total() - self.balance.total();
        self.balance = balance;
        self.ledger_seq += 1;
        let (account, seq) = (self.id, self.ledger_seq);
        Entry { account, seq, kind, amount, balance: balance.total(), request: None, at: now }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn on(plan: &str) -> (Account, PlanTable) {
        let plans = PlanTable::default();
        let id = AccountId::from_random(1);
        let (account, _) = Account::open(id, "acme", plans.lookup(plan).unwrap(), Timestamp::from_millis(0));
        (account, plans)
    }

    fn apply(account: &mut Account, change: Change, days: u32) -> Option<Entry> {
        let now = Timestamp::from_millis(0).plus(DAY * days);
        account.apply(&change, &PlanTable::default(), now).unwrap()
    }

    #[test]
    fn an_upgrade_gives_the_new_allocation_minus_what_was_used() {
        let (mut account, plans) = on("free");
        let request = RequestId::new(Timestamp::from_millis(0), [0; 10]);
        account.charge(request, Credits::new(120), Timestamp::from_millis(5)).unwrap();
        let entry = apply(&mut account, Change::SetPlan(plans.lookup("lite").unwrap().clone()), 1).unwrap();
        assert_eq!(account.balance.total(), Credits::new(37_500 - 120));
        assert_eq!((entry.kind, entry.amount, entry.seq), (EntryKind::Upgrade, Credits::new(37_000), 3));
    }

    #[test]
    fn down_and_up_again_within_a_cycle_gives_nothing_twice() {
        let (mut account, plans) = on("lite");
        for plan in ["free", "lite", "free", "lite"] {
            apply(&mut account, Change::SetPlan(plans.lookup(plan).unwrap().clone()), 1);
        }
        assert_eq!(account.balance.total(), Credits::new(37_500));
    }

    #[test]
    fn a_scheduled_downgrade_waits_for_the_cycle() {
        let (mut account, plans) = on("lite");
        apply(&mut account, Change::SchedulePlan(plans.lookup("free").unwrap().clone()), 1);
        assert_eq!(apply(&mut account, Change::StartCycle { held: Credits::ZERO }, 30), None);
        assert_eq!(account.plan, "lite");
        apply(&mut account, Change::StartCycle { held: Credits::ZERO }, 31).unwrap();
        assert_eq!((account.plan.as_str(), account.balance.total()), ("free", Credits::new(500)));
    }

    #[test]
    fn a_new_cycle_writes_one_entry_however_many_months_have_passed() {
        let (mut account, _) = on("free");
        apply(&mut account, Change::StartCycle { held: Credits::ZERO }, 400).unwrap();
        assert_eq!(apply(&mut account, Change::StartCycle { held: Credits::ZERO }, 400), None);
        assert_eq!(account.ledger_seq, 2);
    }

    #[test]
    fn a_grant_outlives_the_cycle_and_running_work_stays_covered() {
        let (mut account, _) = on("free");
        apply(&mut account, Change::Grant(Credits::new(40)), 1).unwrap();
        apply(&mut account, Change::StartCycle { held: Credits::ZERO }, 31).unwrap();
        assert_eq!(account.balance.total(), Credits::new(540));
        let (mut account, plans) = on("lite");
        apply(&mut account, Change::SchedulePlan(plans.lookup("free").unwrap().clone()), 1);
        apply(&mut account, Change::StartCycle { held: Credits::new(700) }, 31).unwrap();
        assert_eq!(account.balance.total(), Credits::new(700));
    }

    #[test]
    fn a_grant_out_of_range_changes_nothing() {
        let (mut account, plans) = on("free");
        let before = account.clone();
        for credits in [0, -5, i64::MAX] {
            let change = Change::Grant(Credits::new(credits));
            assert!(account.apply(&change, &plans, Timestamp::from_millis(0)).is_err());
        }
        assert_eq!(account, before);
    }

    #[test]
    fn texts_are_kept_only_once_that_is_turned_on() {
        let (mut account, _) = on("free");
        assert!(!account.keep_texts);
        for (keep, version) in [(true, 2), (true, 2), (false, 3)] {
            assert_eq!(apply(&mut account, Change::KeepTexts(keep), 1), None);
            assert_eq!((account.keep_texts, account.version), (keep, version));
        }
    }

    proptest! {
        #[test]
        fn the_balance_is_the_sum_of_the_entries_and_never_negative(steps in proptest::collection::vec((0u8..5, 0i64..400), 1..60)) {
            let (mut account, plans) = on("free");
            let mut sum = account.balance.total();
            for (day, (kind, number)) in steps.into_iter().enumerate() {
                let day = u32::try_from(day).unwrap();
                let request = RequestId::new(Timestamp::from_millis(0), [0; 10]);
                let entry = match kind {
                    0 => apply(&mut account, Change::Grant(Credits::new(number + 1)), day),
                    1 => apply(&mut account, Change::StartCycle { held: Credits::ZERO }, day),
                    2 => apply(&mut account, Change::SetPlan(plans.iter().nth(usize::try_from(number).unwrap() % 10).unwrap().clone()), day),
                    _ => account.charge(request, Credits::new(number), Timestamp::from_millis(0)),
                };
                sum += entry.map_or(Credits::ZERO, |e| e.amount);
                prop_assert_eq!(sum, account.balance.total());
                prop_assert!(account.balance.plan >= Credits::ZERO && account.balance.granted >= Credits::ZERO);
            }
        }
    }
}
