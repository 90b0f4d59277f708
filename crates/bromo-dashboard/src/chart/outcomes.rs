//! What became of the calls: stacked bars, from below in the order in which the legend names them.

use std::fmt::Write as _;

use crate::markup::{escape, grouped};

use super::amounts::compact;
use super::path::{HEIGHT_UNITS, STEP_UNITS};
use super::plot::{Plot, Shape, short, table};
use super::scale::Linear;
use super::slots::legend_entry;
use super::steps::{Phase, Steps};
use super::{Chart, Head};

/// More bars than this do not show on a phone; steps are then drawn together.
const BARS_MAX: usize = 84;
/// Units of a bar along the time axis; the rest of the step is the gap to the next.
const BAR_UNITS: i32 = STEP_UNITS - 1;
/// A segment that counted anything is never thinner, in pixels.
const SEGMENT_MIN_PX: f64 = 2.0;
/// The gap between two segments, in pixels.
const SEGMENT_GAP_PX: f64 = 1.5;
/// Counts of lines that were not kept are written over the largest such caps only.
const CAP_LABELS_MAX: usize = 3;

/// One thing that can become of a call. The order is that of the stack, from below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The customer got an answer.
    Answered,
    /// Refused: no free slot.
    NoSlot,
    /// Refused: a rate limit.
    Rate,
    /// Refused for another reason: credits, a fault in the question, a key.
    Other,
    /// Admitted, but it failed.
    Failed,
    /// The customer hung up or cancelled.
    Cancelled,
}

impl Outcome {
    /// All outcomes, from below.
    pub const ALL: [Self; 6] =
        [Self::Answered, Self::NoSlot, Self::Rate, Self::Other, Self::Failed, Self::Cancelled];

    /// The word in the legend and over the table's column.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::NoSlot => "no free slot",
            Self::Rate => "rate",
            Self::Other => "other refusals",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Calls of one step by outcome, in the order of [`Outcome::ALL`].
pub type OutcomeCounts = [u64; 6];

/// The numbers of [`outcomes`], one entry a step.
#[derive(Debug, Clone, Copy)]
pub struct Outcomes<'a> {
    /// Calls by outcome; `None` means not known, which is not 0.
    pub counts: &'a [Option<OutcomeCounts>],
    /// Lines known to have been lost, which no outcome counts.
    pub lost: &'a [u64],
    /// Addresses of the lines of each outcome, for the legend; empty for none.
    pub links: &'a [String],
    /// Drawn low, as above a table of lines, where every bar is a link to its own range.
    pub small: bool,
}

/// Draws what became of the calls.
#[must_use]
pub fn outcomes(head: &Head<'_>, data: &Outcomes<'_>) -> Chart {
    let merged = Merged::from(head.steps, data);
    let head = &Head { steps: merged.steps, ..*head };
    let steps = head.steps;
    let total = |step: usize| merged.counts[step].map_or(0, |counts| counts.iter().sum::<u64>());
    let highest = (0..steps.count).map(|step| total(step) + merged.lost[step]).max().unwrap_or(0);
    let scale = Linear::round(highest as f64);

    let shape = if data.small { Shape::Low } else { Shape::Usual };
    let mut plot = Plot::new(head, shape);
    let grid = scale.grid();
    let shown = if data.small { [0, grid.len() - 1].to_vec() } else { (0..grid.len()).collect() };
    for at in shown {
        plot.grid_line(scale.share(grid[at]), &compact(grid[at]));
    }
    plot.hatch_gaps(|step| merged.counts[step].is_some());
    draw_bars(&mut plot, &merged, scale, if data.small { 72.0 } else { 160.0 });
    if data.small {
        let links = bar_links(head);
        plot.marks.push_str(&format!(r#"<g class="hit">{links}</g>"#));
    }

    let mut columns: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.word()).collect();
    if merged.lost.iter().any(|&lost| lost > 0) {
        columns.push("not kept");
    }
    let width = columns.len();
    let rows = table(steps, &columns, |step| {
        let counts = merged.counts[step]?;
        let mut cells: Vec<String> = counts.iter().map(|&count| grouped(count)).collect();
        if width > cells.len() {
            cells.push(grouped(merged.lost[step]));
        }
        Some(cells)
    });
    let sums = merged.sums();
    let drawing = plot.html() + &legend(&sums, data);
    Chart::new(head, sentence(&sums, merged.lost.iter().sum()), drawing, rows)
}

/// Six paths of vertical strokes, each as wide as a bar: half the markup of rectangles.
fn draw_bars(plot: &mut Plot<'_>, merged: &Merged, scale: Linear, height_px: f64) {
    let px = f64::from(HEIGHT_UNITS) / height_px;
    let (gap, least) = ((SEGMENT_GAP_PX * px) as i32, (SEGMENT_MIN_PX * px) as i32);
    let mut paths = [(); 12].map(|()| Stroke::default());
    let mut caps = Vec::new();
    for (step, counts) in merged.counts.iter().enumerate() {
        let mut floor = HEIGHT_UNITS;
        let pale = if merged.steps.phase(step) == Phase::Unfinished { 6 } else { 0 };
        for (outcome, &count) in counts.iter().flatten().enumerate().filter(|(_, count)| **count > 0) {
            let tall = (scale.share(count as f64) * f64::from(HEIGHT_UNITS)).round() as i32;
            let lift = if floor == HEIGHT_UNITS { 0 } else { gap };
            let tall = tall.max(least + lift);
            paths[pale + outcome].add(step, floor - lift, tall - lift);
            floor -= tall;
        }
        let lost = merged.lost[step];
        if lost > 0 {
            let tall = (scale.share(lost as f64) * f64::from(HEIGHT_UNITS)).round() as i32;
            let tall = tall.max(4 * least);
            plot.hatch_cap(step, floor - tall, tall);
            caps.push((lost, step, floor - tall));
        }
    }
    for (at, stroke) in paths.iter().enumerate().filter(|(_, stroke)| !stroke.path.is_empty()) {
        let pale = if at < 6 { "" } else { " pale" };
        let _ = write!(
            plot.marks,
            r#"<path class="bar s{}{pale}" stroke-width="{BAR_UNITS}" d="{}"/>"#,
            at % 6,
            stroke.path
        );
    }
    caps.sort_unstable_by(|one, other| other.cmp(one));
    for (lost, step, top) in caps.into_iter().take(CAP_LABELS_MAX) {
        let x = (step as f64 + 0.5) / merged.steps.count as f64 * 100.0;
        let y = f64::from(top) / f64::from(HEIGHT_UNITS) * 100.0;
        let _ = write!(
            plot.over,
            r#"<text class="cap" x="{}%" y="{}%" dy="-4" text-anchor="middle">{}</text>"#,
            short(x),
            short(y),
            grouped(lost)
        );
    }
}

/// A path of vertical strokes, each given from its foot up.
#[derive(Default)]
struct Stroke {
    path: String,
    at: Option<(i32, i32)>,
}

impl Stroke {
    fn add(&mut self, step: usize, foot: i32, tall: i32) {
        let x = step as i32 * STEP_UNITS + 1;
        let _ = match self.at {
            Some((before, y)) => {
                let down = foot - y;
                let space = if down < 0 { "" } else { " " };
                write!(self.path, "m{}{space}{down}v-{tall}", x - before)
            }
            None => write!(self.path, "M{x}.5 {foot}v-{tall}"),
        };
        self.at = Some((x, foot - tall));
    }
}

fn bar_links(head: &Head<'_>) -> String {
    let Some(lines) = head.lines else { return String::new() };
    let steps = head.steps;
    let mut html = String::new();
    for step in (0..steps.count).filter(|&step| steps.phase(step) != Phase::ToCome) {
        let address = range_address(lines, steps.start_ms(step), steps.start_ms(step + 1));
        let _ = write!(
            html,
            r#"<a tabindex="-1" href="{}"><rect x="{}" width="{STEP_UNITS}" height="{HEIGHT_UNITS}"/></a>"#,
            escape(&address),
            step as i32 * STEP_UNITS
        );
    }
    html
}

/// `lines` with the range added to its query.
fn range_address(lines: &str, from_ms: i64, to_ms: i64) -> String {
    let join = if lines.contains('?') { '&' } else { '?' };
    format!("{lines}{join}from={}&to={}", Steps::address(from_ms), Steps::address(to_ms))
}

fn legend(sums: &OutcomeCounts, data: &Outcomes<'_>) -> String {
    let mut html = String::from(r#"<ul class="legend">"#);
    for (at, outcome) in Outcome::ALL.into_iter().enumerate() {
        if data.small && sums[at] == 0 {
            continue;
        }
        let link = data.links.get(at).map(String::as_str);
        html.push_str(&legend_entry(&format!("s{at}"), outcome.word(), Some(&grouped(sums[at])), link));
    }
    html.push_str("</ul>");
    html
}

fn sentence(sums: &OutcomeCounts, lost: u64) -> String {
    let total: u64 = sums.iter().sum();
    let mut text = format!("{} of {} calls answered", grouped(sums[0]), grouped(total));
    for (outcome, &sum) in Outcome::ALL.iter().zip(sums).skip(1).filter(|(_, sum)| **sum > 0) {
        let _ = write!(text, ", {} {}", grouped(sum), outcome.word());
    }
    if lost > 0 {
        let _ = write!(text, "; {} lines were not kept", grouped(lost));
    }
    text
}

/// The numbers with neighbouring steps added together, so that at most [`BARS_MAX`] bars stand side by side.
struct Merged {
    steps: Steps,
    counts: Vec<Option<OutcomeCounts>>,
    lost: Vec<u64>,
}

impl Merged {
    fn from(steps: Steps, data: &Outcomes<'_>) -> Self {
        let together = steps.count.div_ceil(BARS_MAX).max(1);
        let count = steps.count.div_ceil(together);
        let range = |at: usize| at * together..((at + 1) * together).min(steps.count);
        let counts = (0..count).map(|at| {
            let known = range(at).filter_map(|step| data.counts.get(step).copied().flatten());
            known.fold(None, |sum: Option<OutcomeCounts>, next| {
                let sum = sum.unwrap_or_default();
                Some(std::array::from_fn(|outcome| sum[outcome] + next[outcome]))
            })
        });
        let lost = (0..count).map(|at| range(at).filter_map(|step| data.lost.get(step)).sum());
        Self {
            counts: counts.collect(),
            lost: lost.collect(),
            steps: Steps { step_ms: steps.step_ms * together as i64, count, ..steps },
        }
    }

    fn sums(&self) -> OutcomeCounts {
        let mut sums = OutcomeCounts::default();
        for counts in self.counts.iter().flatten() {
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        sums
    }
}
