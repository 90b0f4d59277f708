//! Amounts that stand for a while: the depth of a queue, and credits used against the allocation.

use crate::markup::{decimal, grouped};

use super::plot::{Plot, Shape, table};
use super::scale::Linear;
use super::slots::{LimitFrom, highest_at, known, levels};
use super::{Chart, Head};

/// The numbers of [`depth`], one entry a step; `None` means not known.
#[derive(Debug, Clone, Copy)]
pub struct Depth<'a> {
    /// Tasks in the queue: the most of each step.
    pub queued: &'a [Option<f64>],
}

/// Draws the depth of the queue as a step line.
#[must_use]
pub fn depth(head: &Head<'_>, data: &Depth<'_>) -> Chart {
    let steps = head.steps;
    let queued = |step: usize| known(data.queued, step);
    let highest = highest_at(data.queued, steps.count);
    let scale = Linear::round(highest.map_or(0.0, |(_, value)| value));
    let mut plot = Plot::new(head, Shape::Usual);
    for value in scale.grid() {
        plot.grid_line(scale.share(value), &compact(value));
    }
    plot.hatch_gaps(|step| queued(step).is_some());
    plot.stairs("thick", |step| queued(step).map(|value| scale.share(value)), false);
    let sentence = match (highest, (0..steps.count).rev().find_map(queued)) {
        (Some((step, most)), Some(last)) => {
            format!("{} at the end; most {} at {}", decimal(last), decimal(most), steps.time(step))
        }
        _ => String::from("No data in this range."),
    };
    let rows = table(steps, &["Queued"], |step| Some(vec![decimal(queued(step)?)]));
    Chart::new(head, sentence, plot.html(), rows)
}

/// The numbers of [`credits`], one entry a step; `None` means not known.
#[derive(Debug, Clone, Copy)]
pub struct Credits<'a> {
    /// Credits used since the cycle began, at the end of each step.
    pub used: &'a [Option<f64>],
    /// Every allocation that held during the chart, oldest first.
    pub allocations: &'a [LimitFrom],
}

/// Draws credits used, added up over the cycle, against the allocation.
#[must_use]
pub fn credits(head: &Head<'_>, data: &Credits<'_>) -> Chart {
    let steps = head.steps;
    let used = |step: usize| known(data.used, step);
    let last = (0..steps.count).rev().find_map(used);
    let allocation = data.allocations.last().map_or(0, |allocation| allocation.limit);
    let most = data.allocations.iter().map(|allocation| allocation.limit).max().unwrap_or(0);
    let highest = highest_at(data.used, steps.count).map_or(0.0, |(_, value)| value);
    let scale = Linear::with_room(highest.max(most as f64));
    let mut plot = Plot::new(head, Shape::Usual);
    for value in scale.grid() {
        plot.grid_line(scale.share(value), &compact(value));
    }
    plot.hatch_gaps(|step| used(step).is_some());
    plot.stairs("area", |step| used(step).map(|value| scale.share(value)), true);
    plot.stairs("thick", |step| used(step).map(|value| scale.share(value)), false);
    plot.limit(&levels(data.allocations, scale));
    let sentence = match last {
        Some(last) => format!("{} of {} used", decimal(last), grouped(allocation)),
        None => String::from("No data in this range."),
    };
    let rows = table(steps, &["Used in the cycle"], |step| Some(vec![decimal(used(step)?)]));
    Chart::new(head, sentence, plot.html(), rows)
}

/// A grid value in the width of an axis: `500`, `20k`, `1.5M`.
pub(super) fn compact(value: f64) -> String {
    match value {
        value if value < 10_000.0 => decimal(value),
        value if value < 1_000_000.0 => format!("{}k", decimal(value / 1e3)),
        value => format!("{}M", decimal(value / 1e6)),
    }
}
