//! Credits of the cycle: used so far, and until when they last at the pace of the last days.

use std::time::Duration;

use bromo_rules::account::Account;
use bromo_rules::credit::Credits;
use bromo_rules::time::Timestamp;
use bromo_store::Rollup;

use crate::chart::{self, Chart, Head, LimitFrom, Steps};
use crate::moment::Zone;
use crate::series;

const DAY_MS: i64 = 86_400_000;
/// Credits are counted so finely: whole days are made of two.
pub(super) const STEP: Duration = Duration::from_secs(12 * 3600);
const STEP_MS: i64 = DAY_MS / 2;
/// The pace is that of so many whole days …
const PACE_DAYS: i64 = 7;
/// … of which at least so many must be known.
const PACE_DAYS_MIN: usize = 3;

/// The steps from the beginning of the cycle, or of the days that make the pace, to its end.
pub(super) fn steps(account: &Account, zone: &Zone, now: Timestamp) -> Steps {
    let offset_minutes = zone.offset_minutes(now);
    let offset_ms = i64::from(offset_minutes) * 60_000;
    let floor = |at: i64, to: i64| (at + offset_ms).div_euclid(to) * to - offset_ms;
    let today = floor(now.millis(), DAY_MS);
    let from_ms = floor(account.cycle.starts_at.millis(), STEP_MS).min(today - PACE_DAYS * DAY_MS);
    let until = account.cycle.ends_at.max(now).millis();
    let count = usize::try_from((until - from_ms).div_euclid(STEP_MS) + 1).unwrap_or(0).min(chart::STEPS_MAX);
    Steps { from_ms, step_ms: STEP_MS, count, now_ms: now.millis(), offset_minutes }
}

/// Credits that were used, a step; rows of finer steps are added up.
pub(super) fn charged(steps: &Steps, rows: [&[Rollup]; 2]) -> Vec<i64> {
    let mut charged = vec![0_i64; steps.count];
    for row in rows.into_iter().flatten() {
        if let Some(step) = series::step_of(steps, row.start) {
            charged[step] = charged[step].saturating_add(row.charged.get());
        }
    }
    charged
}

/// Until when `left` lasts, at the median of the last whole days. None before enough of them are known, or without use.
pub(super) fn lasts_until(
    steps: &Steps,
    charged: &[i64],
    since: Timestamp,
    left: Credits,
) -> Option<Timestamp> {
    let offset_ms = i64::from(steps.offset_minutes) * 60_000;
    let today = (steps.now_ms + offset_ms).div_euclid(DAY_MS) * DAY_MS - offset_ms;
    let whole = (1..=PACE_DAYS).map(|day| today - day * DAY_MS).filter(|start| *start >= since.millis());
    let mut days: Vec<i64> = whole
        .map(|start| {
            let halves = [start, start + STEP_MS].map(Timestamp::from_millis);
            let steps = halves.into_iter().filter_map(|half| series::step_of(steps, half));
            steps.filter_map(|step| charged.get(step)).sum()
        })
        .collect();
    days.sort_unstable();
    let median = *days.get(days.len() / 2)?;
    if days.len() < PACE_DAYS_MIN || median <= 0 {
        return None;
    }
    let lasts = i128::from(left.get().max(0)) * i128::from(DAY_MS) / i128::from(median);
    Some(Timestamp::from_millis(steps.now_ms.saturating_add(i64::try_from(lasts).unwrap_or(i64::MAX))))
}

/// Credits used of the allocation, summed up over the cycle. The end is what the account says; the way there is counted.
pub(super) fn chart(steps: &Steps, charged: &[i64], account: &Account, plan: &str) -> Option<Chart> {
    let used = (account.allocated - account.balance.plan).get().max(0);
    let first = series::step_of(steps, account.cycle.starts_at)?;
    let present = series::step_of(steps, Timestamp::from_millis(steps.now_ms))?;
    let mut sums = vec![None; steps.count];
    let mut sum = used;
    for step in (first..=present).rev() {
        #[expect(clippy::cast_precision_loss, reason = "drawn, not counted with")]
        let shown = sum as f64;
        sums[step] = Some(shown);
        sum = sum.saturating_sub(charged.get(step).copied().unwrap_or(0)).max(0);
    }
    let allocated = u64::try_from(account.allocated.get()).unwrap_or(0);
    let allocations = [LimitFrom { from_ms: 0, limit: allocated, plan: plan.to_owned() }];
    let from_ms = steps.from_ms + STEP_MS * i64::try_from(first).unwrap_or(0);
    let cycle = Steps { from_ms, count: steps.count - first, ..*steps };
    let head = Head {
        id: "overview-credits",
        title: "Credits used this cycle",
        steps: cycle,
        lines: Some("/logs?charged=yes"),
    };
    Some(chart::credits(&head, &chart::Credits { used: &sums[first..], allocations: &allocations }))
}

#[cfg(test)]
mod tests {
    use bromo_rules::id::AccountId;
    use bromo_rules::plan::PlanTable;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_523_400_000); // 24 November 2026, 12:30 UTC.

    fn days_before(days: i64) -> Timestamp {
        Timestamp::from_millis(NOW.millis() - days * DAY_MS)
    }

    fn account(since: Timestamp) -> Account {
        let table = PlanTable::default();
        Account::open(AccountId::from_random(1), "a", table.lookup("lite").unwrap(), since).0
    }

    fn lasts(since: Timestamp, a_day: &[i64], left: i64) -> Option<Timestamp> {
        let account = account(since);
        let steps = steps(&account, &Zone::default(), NOW);
        let mut charged = vec![0; steps.count];
        for (day, credits) in a_day.iter().enumerate() {
            let at = days_before(i64::try_from(day).unwrap() + 1);
            charged[series::step_of(&steps, at).unwrap()] = *credits;
        }
        lasts_until(&steps, &charged, since, Credits::new(left))
    }

    #[test]
    fn credits_last_as_long_as_the_median_day_takes_them() {
        let until = lasts(days_before(30), &[100, 100, 90_000, 0, 100, 100, 100], 250).unwrap();
        assert_eq!(until.since(NOW), Duration::from_secs(216_000));
    }

    #[test]
    fn before_three_whole_days_there_is_no_pace() {
        assert_eq!(lasts(days_before(3), &[100, 100], 250), None);
        assert!(lasts(days_before(4), &[100, 100, 100], 250).is_some());
        assert_eq!(lasts(days_before(30), &[], 250), None);
    }

    #[test]
    fn the_curve_ends_at_what_the_account_says() {
        let mut account = account(days_before(5));
        account.balance.plan = account.allocated - Credits::new(1234);
        let steps = steps(&account, &Zone::default(), NOW);
        let mut charged = vec![0; steps.count];
        charged[series::step_of(&steps, NOW).unwrap()] = 234;
        let chart = chart(&steps, &charged, &account, "Lite").unwrap();
        assert_eq!(chart.sentence, "1,234 of 37,500 used");
        assert!(chart.table.contains("<td>1,000"), "{}", chart.table);
    }
}
