//! Slots in use: the peak of each step against the plan's limit. Never the mean alone, which hides the full moments.

use crate::markup::{decimal, escape, grouped};

use super::plot::{Plot, Shape, table, ticks};
use super::scale::Linear;
use super::steps::Phase;
use super::{Chart, Head};

/// A limit and the moment from which it held.
#[derive(Debug, Clone)]
pub struct LimitFrom {
    /// Milliseconds since 1970; a moment before the chart means "from its left edge".
    pub from_ms: i64,
    /// The limit.
    pub limit: u64,
    /// Where it comes from, for the label: the plan's name.
    pub plan: String,
}

/// The numbers of [`slots`], one entry a step; `None` means not known, which is not 0.
#[derive(Debug, Clone, Copy)]
pub struct Slots<'a> {
    /// Most slots in use at once.
    pub peak: &'a [Option<f64>],
    /// Mean weighted by time.
    pub mean: &'a [Option<f64>],
    /// Calls refused for want of a slot.
    pub refused: &'a [u64],
    /// Every limit that held during the chart, oldest first.
    pub limits: &'a [LimitFrom],
}

/// Draws slots in use: area and line of the peak, a thin line of the mean, the limit, and refusals as ticks.
#[must_use]
pub fn slots(head: &Head<'_>, data: &Slots<'_>) -> Chart {
    let steps = head.steps;
    let peak = |step: usize| known(data.peak, step);
    let refused = |step: usize| data.refused.get(step).copied().unwrap_or(0);
    let highest = (0..steps.count).filter_map(peak).fold(0.0, f64::max);
    let limit = data.limits.iter().map(|limit| limit.limit).max().unwrap_or(0);
    let scale = Linear::with_room(highest.max(limit as f64));

    let mut plot = Plot::new(head, Shape::Usual);
    for value in scale.grid() {
        plot.grid_line(scale.share(value), &decimal(value));
    }
    plot.hatch_gaps(|step| peak(step).is_some());
    plot.stairs("area", |step| peak(step).map(|value| scale.share(value)), true);
    plot.stairs("thick", |step| peak(step).map(|value| scale.share(value)), false);
    plot.stairs("thin", |step| known(data.mean, step).map(|value| scale.share(value)), false);
    let refusals = ticks(steps, |step| refused(step) > 0);
    if !refusals.is_empty() {
        plot.marks.push_str(&format!(r#"<path class="tick" d="{refusals}"/>"#));
    }
    plot.limit(&levels(data.limits, scale));

    let rows = table(steps, &["Peak", "Mean", "Refused"], |step| {
        let mut cells = vec![decimal(peak(step)?), known(data.mean, step).map(decimal).unwrap_or_default()];
        if refused(step) > 0 {
            cells.push(grouped(refused(step)));
        }
        Some(cells)
    });
    let legend = r#"<ul class="legend"><li><svg aria-hidden="true"><rect class="fa" width="10" height="10"/></svg>peak of the step<li><svg class="k2" aria-hidden="true"><path d="M0 5h10"/></svg>mean over time<li><svg class="s1" aria-hidden="true"><path d="M0 5h10" stroke-width="4"/></svg>refused for want of a slot</ul>"#;
    let sentence = sentence(head, data, limit);
    Chart::new(head, sentence, plot.html() + legend, rows)
}

fn sentence(head: &Head<'_>, data: &Slots<'_>, limit: u64) -> String {
    let steps = head.steps;
    let refused: u64 = (0..steps.count).filter_map(|step| data.refused.get(step)).sum();
    let mut text = match highest_at(data.peak, steps.count) {
        None => return String::from("No data in this range."),
        Some((step, value)) if limit > 0 => {
            format!("Peak {} of {} at {}", decimal(value), grouped(limit), steps.time(step))
        }
        Some((step, value)) => format!("Peak {} at {}", decimal(value), steps.time(step)),
    };
    if refused > 0 {
        text.push_str(&format!("; {} refused for want of a slot", grouped(refused)));
    }
    let lost = (0..steps.count)
        .filter(|&step| steps.phase(step) == Phase::Whole && known(data.peak, step).is_none())
        .count();
    if lost > 0 && lost < steps.count {
        text.push_str(&format!("; {lost} of {} steps without data", steps.count));
    }
    text
}

/// The limits as levels of a scale, labelled with number and plan.
pub(super) fn levels(limits: &[LimitFrom], scale: Linear) -> Vec<(i64, f64, String)> {
    let label = |limit: &LimitFrom| {
        if limit.plan.is_empty() {
            format!("limit {}", grouped(limit.limit))
        } else {
            format!("limit {} ({})", grouped(limit.limit), limit.plan)
        }
    };
    limits.iter().map(|limit| (limit.from_ms, scale.share(limit.limit as f64), label(limit))).collect()
}

/// The value of a step, if it is known and a number.
pub(super) fn known(values: &[Option<f64>], step: usize) -> Option<f64> {
    values.get(step).copied().flatten().filter(|value| value.is_finite())
}

/// The first step with the highest known value.
pub(super) fn highest_at(values: &[Option<f64>], count: usize) -> Option<(usize, f64)> {
    (0..count).filter_map(|step| Some((step, known(values, step)?))).fold(None, |best, next| match best {
        Some((_, value)) if value >= next.1 => best,
        _ => Some(next),
    })
}

/// One entry of a legend: the colour class, the word, and its number when there is one.
pub(super) fn legend_entry(class: &str, word: &str, number: Option<&str>, link: Option<&str>) -> String {
    let key =
        format!(r#"<svg class="{class}" aria-hidden="true"><path d="M5 0v10" stroke-width="10"/></svg>"#);
    let words = match number {
        Some(number) => format!("{} <b>{number}</b>", escape(word)),
        None => escape(word),
    };
    match link {
        Some(link) => format!(r#"<li>{key}<a href="{}">{words}</a>"#, escape(link)),
        None => format!("<li>{key}{words}"),
    }
}
