//! The overview's charts, from counted lines.

use bromo_rules::histogram::Histogram;
use bromo_rules::outcome::Outcome;
use bromo_rules::plan::Plan;
use bromo_rules::time::Timestamp;
use bromo_store::{LogGap, Rollup};

use super::count::{Lines, Sums, is_endpoint, percentiles};
use crate::chart::{self, Chart, Head, LimitFrom, Steps};
use crate::frame::Slots;
use crate::series;

/// What charts are drawn from.
pub(super) struct Source<'a> {
    /// The steps of bars and percentiles.
    pub(super) bars: Steps,
    /// The steps of lines: finer, and from the same instant.
    pub(super) lines: Steps,
    /// Before this nothing was counted.
    pub(super) since: Timestamp,
    pub(super) gaps: &'a [LogGap],
    pub(super) shown: &'a Lines,
}

/// Slots of one step.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    peak: u32,
    busy_us: u64,
    refused: u64,
}

/// Slots of the account: peak and mean, the limit at every change, and refusals.
///
/// `plans` name the limits, `now` is the limit of this moment.
pub(super) fn slots<'a>(
    source: &Source<'_>,
    rows: &[Rollup],
    plans: impl Iterator<Item = &'a Plan> + Clone,
    now: Slots,
) -> Chart {
    let steps = source.lines;
    let taken = series::fold(&steps, source.since, rows, |taken: &mut Taken, row| {
        taken.peak = taken.peak.max(row.slots_peak.unwrap_or(0));
        taken.busy_us = taken.busy_us.saturating_add(row.busy_us);
        let refused =
            row.outcomes.iter().filter(|count| Outcome::of(count.status, count.code) == Outcome::NoSlot);
        taken.refused += refused.map(|count| count.lines).sum::<u64>();
    });
    #[expect(clippy::cast_precision_loss, reason = "drawn, not counted with")]
    let mean = |taken: &Taken| taken.busy_us as f64 / (steps.step_ms as f64 * 1e3);
    let unfinished = series::step_of(&steps, Timestamp::from_millis(steps.now_ms));
    // A call that runs through a step without a decision in it is in its mean alone, and one that still runs in neither.
    let peak = taken.iter().enumerate().map(|(step, taken)| {
        let running = if unfinished == Some(step) { f64::from(now.used) } else { 0.0 };
        taken.as_ref().map(|taken| f64::from(taken.peak).max(mean(taken).ceil()).max(running))
    });
    let is_whole = |step: usize| unfinished != Some(step);
    let means =
        taken.iter().enumerate().map(|(step, taken)| taken.as_ref().filter(|_| is_whole(step)).map(mean));
    let refused: Vec<u64> = taken.iter().map(|taken| taken.map_or(0, |taken| taken.refused)).collect();
    let address = source.shown.beside(&[]);
    let head = Head { id: "overview-slots", title: "Slots in use", steps, lines: Some(&address) };
    chart::slots(
        &head,
        &chart::Slots {
            peak: &peak.collect::<Vec<_>>(),
            mean: &means.collect::<Vec<_>>(),
            refused: &refused,
            limits: &limits(&steps, rows, plans, now),
        },
    )
}

/// The limits that decisions saw, each from the step in which it was first seen; then that of this moment.
fn limits<'a>(
    steps: &Steps,
    rows: &[Rollup],
    plans: impl Iterator<Item = &'a Plan> + Clone,
    now: Slots,
) -> Vec<LimitFrom> {
    let mut seen: Vec<(Timestamp, Timestamp, u32)> =
        rows.iter().filter_map(|row| row.slots_last.map(|(at, last)| (at, row.start, last.limit))).collect();
    seen.sort_unstable();
    let mut levels: Vec<(i64, u32)> = Vec::new();
    let now = (steps.now_ms < series::bounds(steps).1.millis()).then_some((steps.now_ms, now.limit));
    for (from_ms, limit) in seen.into_iter().map(|(_, start, limit)| (start.millis(), limit)).chain(now) {
        if levels.last().is_none_or(|(_, last)| *last != limit) {
            levels.push((if levels.is_empty() { 0 } else { from_ms }, limit));
        }
    }
    let title = |limit: u32| plans.clone().find(|plan| plan.slots == limit).map(|plan| plan.title.clone());
    levels
        .into_iter()
        .map(|(from_ms, limit)| LimitFrom {
            from_ms,
            limit: limit.into(),
            plan: title(limit).unwrap_or_default(),
        })
        .collect()
}

/// What became of the calls.
pub(super) fn outcomes(source: &Source<'_>, rows: &[Rollup], sums: &Sums) -> Chart {
    let steps = source.bars;
    let counts = series::fold(&steps, source.since, rows, series::count_outcomes);
    let lost = series::lost(&steps, source.gaps);
    let groups: [&[Outcome]; 6] = [
        &[Outcome::Answered],
        &[Outcome::NoSlot],
        &[Outcome::Rate],
        &[Outcome::Credits, Outcome::Refused],
        &[Outcome::Failed],
        &[Outcome::Canceled],
    ];
    let links = groups.map(|group| source.shown.address(&sums.filter(group)));
    let address = source.shown.beside(&[]);
    let head = Head { id: "overview-outcomes", title: "Calls by outcome", steps, lines: Some(&address) };
    chart::outcomes(&head, &chart::Outcomes { counts: &counts, lost: &lost, links: &links, small: false })
}

/// How long answers of endpoints took, all endpoints together.
pub(super) fn latency(source: &Source<'_>, rows: &[Rollup], overall: &Histogram) -> Chart {
    let steps = source.bars;
    let took = series::fold(&steps, source.since, rows, |took: &mut Histogram, row| {
        if is_endpoint(row.route) {
            took.merge(&row.took);
        }
    });
    let said: Vec<_> = took.iter().map(|took| took.as_ref().map(percentiles)).collect();
    let line = |pick: fn(&chart::Percentiles) -> Option<f64>| -> Vec<Option<f64>> {
        said.iter().map(|said| said.as_ref().and_then(pick)).collect()
    };
    let answers: Vec<_> = said.iter().map(|said| said.map(|said| said.answers)).collect();
    let address = source.shown.beside(&[("status", "2xx")]);
    let head =
        Head { id: "overview-latency", title: "Time to the whole answer", steps, lines: Some(&address) };
    chart::latency(
        &head,
        &chart::Latency {
            p50: &line(|said| said.p50),
            p95: &line(|said| said.p95),
            p99: &line(|said| said.p99),
            answers: &answers,
            overall: percentiles(overall),
        },
    )
}

#[cfg(test)]
mod tests {
    use bromo_rules::id::KeyId;
    use bromo_rules::plan::PlanTable;
    use bromo_rules::standing::SlotStanding;

    use super::super::samples::{NO_SLOT, NOW, ago, row};
    use super::*;

    #[test]
    fn the_limit_steps_where_a_decision_first_saw_another_one() {
        let steps = Steps {
            from_ms: ago(3600).millis(),
            step_ms: 15_000,
            count: 241,
            now_ms: NOW.millis(),
            offset_minutes: 0,
        };
        let mut rows = vec![row(600, "monitor/chatgpt", KeyId::from_random(1), NO_SLOT, 1, 10); 3];
        (rows[1].start, rows[2].start) = (ago(300), ago(285));
        for (row, seconds) in [(1, 290), (2, 280)] {
            rows[row].slots_last = Some((ago(seconds), SlotStanding { limit: 20, current: 10 }));
        }
        let table = PlanTable::default();
        let found = limits(&steps, &rows, table.iter(), Slots { used: 0, limit: 50 });
        let found: Vec<_> =
            found.iter().map(|level| (level.from_ms, level.limit, level.plan.as_str())).collect();
        assert_eq!(found, [(0, 10, "Lite"), (ago(300).millis(), 20, "Hobby"), (NOW.millis(), 50, "Starter")]);
    }
}
