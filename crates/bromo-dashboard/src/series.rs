//! From counted lines to what charts draw: one entry a step.

use std::time::Duration;

use bromo_rules::outcome::Outcome;
use bromo_rules::time::Timestamp;
use bromo_store::{LogGap, Rollup};

use crate::chart::{OutcomeCounts, Steps};
use crate::moment::Zone;
use crate::range::Range;

/// The steps of a range: whole ones, aligned in the zone, the last one unfinished where the range is live.
pub(crate) fn steps(range: &Range, step: Duration, zone: &Zone, now: Timestamp) -> Steps {
    let step_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
    let offset_minutes = zone.offset_minutes(range.from);
    let offset_ms = i64::from(offset_minutes) * 60_000;
    let from_ms = (range.from.millis() + offset_ms).div_euclid(step_ms) * step_ms - offset_ms;
    let count = usize::try_from((range.until.millis() - from_ms).div_euclid(step_ms) + 1).unwrap_or(0);
    Steps { from_ms, step_ms, count, now_ms: now.millis(), offset_minutes }
}

/// When the steps begin, and when they end.
pub(crate) fn bounds(steps: &Steps) -> (Timestamp, Timestamp) {
    let length = i64::try_from(steps.count).unwrap_or(i64::MAX).saturating_mul(steps.step_ms);
    (Timestamp::from_millis(steps.from_ms), Timestamp::from_millis(steps.from_ms.saturating_add(length)))
}

/// The step that holds an instant.
pub(crate) fn step_of(steps: &Steps, at: Timestamp) -> Option<usize> {
    let step = (at.millis() - steps.from_ms).div_euclid(steps.step_ms);
    usize::try_from(step).ok().filter(|step| *step < steps.count)
}

/// Folds rows into one value a step; none in steps before `since`, when nothing was counted yet.
pub(crate) fn fold<T: Default + Clone>(
    steps: &Steps,
    since: Timestamp,
    rows: &[Rollup],
    mut add: impl FnMut(&mut T, &Rollup),
) -> Vec<Option<T>> {
    let known = |step: usize| {
        let end = steps.from_ms + steps.step_ms * (i64::try_from(step).unwrap_or(i64::MAX) + 1);
        end > since.millis()
    };
    let mut values: Vec<Option<T>> = (0..steps.count).map(|step| known(step).then(T::default)).collect();
    for row in rows {
        if let Some(step) = step_of(steps, row.start) {
            add(values[step].get_or_insert_default(), row);
        }
    }
    values
}

/// Calls by outcome, as charts stack them.
pub(crate) fn count_outcomes(counts: &mut OutcomeCounts, row: &Rollup) {
    for count in &row.outcomes {
        counts[place(Outcome::of(count.status, count.code))] += count.lines;
    }
}

/// Where an outcome stands among those that charts draw.
pub(crate) const fn place(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Answered => 0,
        Outcome::NoSlot => 1,
        Outcome::Rate => 2,
        Outcome::Credits | Outcome::Refused => 3,
        Outcome::Failed => 4,
        Outcome::Canceled => 5,
    }
}

/// Lines that were not kept, each gap in the step where it ends.
pub(crate) fn lost(steps: &Steps, gaps: &[LogGap]) -> Vec<u64> {
    let mut lost = vec![0; steps.count];
    for gap in gaps {
        if let Some(step) = step_of(steps, gap.until) {
            lost[step] += gap.lines;
        }
    }
    lost
}
