//! How long answers took, as percentiles on a fixed logarithmic scale. Takes finished percentiles: it merges none.

use std::fmt::Write as _;

use crate::markup::{duration, grouped};

use super::path::line;
use super::plot::{Plot, Shape, short, table};
use super::scale::log_share;
use super::slots::known;
use super::steps::Phase;
use super::{Chart, Head};

/// Labels at the right end keep this distance, in percent of the height.
const LABEL_GAP: f64 = 9.0;
/// Fewer answers than this give no 95th percentile.
const P95_ANSWERS_MIN: u64 = 20;
/// Fewer answers than this give no 99th percentile.
const P99_ANSWERS_MIN: u64 = 100;

/// Percentiles over the whole range, computed from the merged histogram.
#[derive(Debug, Clone, Copy, Default)]
pub struct Percentiles {
    /// Milliseconds; `None` without answers.
    pub p50: Option<f64>,
    /// Milliseconds; `None` under 20 answers.
    pub p95: Option<f64>,
    /// Milliseconds; `None` under 100 answers.
    pub p99: Option<f64>,
    /// Answers measured.
    pub answers: u64,
}

/// The numbers of [`latency`], one entry a step, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Latency<'a> {
    /// The median of each step.
    pub p50: &'a [Option<f64>],
    /// The 95th percentile of each step; `None` also where there were too few answers.
    pub p95: &'a [Option<f64>],
    /// The 99th percentile of each step; `None` also where there were too few answers.
    pub p99: &'a [Option<f64>],
    /// Answers in each step; `None` means not known (hatched), 0 means that nothing was answered (a broken line).
    pub answers: &'a [Option<u64>],
    /// The same over the whole range.
    pub overall: Percentiles,
}

/// Draws how long answers took: p50 thick, p95 thin, p99 dashed, named at the line's end.
#[must_use]
pub fn latency(head: &Head<'_>, data: &Latency<'_>) -> Chart {
    let steps = head.steps;
    let mut plot = Plot::new(head, Shape::WithEnds);
    for (millis, label) in [(10.0, "10 ms"), (100.0, "0.1 s"), (1e3, "1 s"), (1e4, "10 s"), (1e5, "100 s")] {
        plot.grid_line(log_share(millis), label);
    }
    plot.hatch_gaps(|step| data.answers.get(step).copied().flatten().is_some());
    let mut ends = Vec::new();
    for (class, name, values) in
        [("dash", "p99", data.p99), ("thin", "p95", data.p95), ("thick", "p50", data.p50)]
    {
        let share = |step: usize| known(values, step).map(log_share);
        let whole: Vec<_> =
            (0..steps.count).map(|step| share(step).filter(|_| steps.phase(step) == Phase::Whole)).collect();
        // The unfinished step hangs on the last finished one, so that the eye finds it.
        let pale: Vec<_> = (0..steps.count)
            .map(|step| {
                let hangs = |step: usize| steps.phase(step) == Phase::Unfinished;
                share(step).filter(|_| hangs(step) || hangs(step + 1))
            })
            .collect();
        let open = (0..steps.count).find(|&step| steps.phase(step) == Phase::Unfinished);
        for (path, fade) in
            [(line(&whole), ""), (open.and_then(share).map(|_| line(&pale)).unwrap_or_default(), " pale")]
        {
            if !path.is_empty() {
                let _ = write!(plot.marks, r#"<path class="{class}{fade}" d="{path}"/>"#);
            }
        }
        if let Some(share) = (0..steps.count).rev().find_map(share) {
            ends.push(((1.0 - share) * 100.0, name));
        }
    }
    plot.over.push_str(&end_labels(ends));
    plot.over.push_str(r#"<text x="6" y="12">log scale</text>"#);

    let rows = table(steps, &["p50", "p95", "p99", "Answers"], |step| {
        let answers = data.answers.get(step).copied().flatten()?;
        let cell = |values| known(values, step).map_or_else(|| String::from("—"), duration);
        Some(vec![cell(data.p50), cell(data.p95), cell(data.p99), grouped(answers)])
    });
    Chart::new(head, sentence(&data.overall), plot.html(), rows)
}

/// The names at the right of the lines, moved apart where they would lie on each other.
fn end_labels(mut ends: Vec<(f64, &str)>) -> String {
    ends.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut html = String::new();
    let mut free = 0.0_f64;
    let last = ends.len();
    for (at, (wanted, name)) in ends.into_iter().enumerate() {
        let room_below = (last - at - 1) as f64 * LABEL_GAP;
        let y = wanted.max(free).min(100.0 - room_below);
        free = y + LABEL_GAP;
        let _ = write!(html, r#"<text x="100%" dx="5" y="{}%" dy="4">{name}</text>"#, short(y));
    }
    html
}

fn sentence(overall: &Percentiles) -> String {
    if overall.answers == 0 {
        return String::from("No answers in this range.");
    }
    let mut text = String::new();
    for (name, value, needed) in [
        ("p50", overall.p50, 1),
        ("p95", overall.p95, P95_ANSWERS_MIN),
        ("p99", overall.p99, P99_ANSWERS_MIN),
    ] {
        let _ = match value {
            Some(millis) => write!(text, "{name} {}, ", duration(millis)),
            None => write!(text, "{name} — (needs {needed} answers), "),
        };
    }
    let _ = write!(text, "of {} answers", grouped(overall.answers));
    text
}
