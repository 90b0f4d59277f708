//! The box of a chart over time: its three layers, the axes, the hatch of what is not known, and the table below.

use std::fmt::Write as _;

use crate::markup::escape;

use super::Head;
use super::path::{HEIGHT_UNITS, STEP_UNITS, rectangle, stairs, unit};
use super::steps::{Phase, Steps};

/// Text this near to an edge, in percent, is aligned to it instead of centred.
const EDGE_PERCENT: f64 = 2.0;

/// How far below the axis the strokes of refusals lie.
const TICK_UNITS_BELOW: i32 = 8;

/// How tall the box is, and whether words stand at its right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Usual,
    Low,
    WithEnds,
}

pub(super) struct Plot<'a> {
    head: &'a Head<'a>,
    shape: Shape,
    grid: String,
    pub(super) marks: String,
    pub(super) over: String,
    /// The hatched area as one path, in the units of the marks.
    hatch: String,
}

impl<'a> Plot<'a> {
    pub(super) fn new(head: &'a Head<'a>, shape: Shape) -> Self {
        let mut plot = Self {
            head,
            shape,
            grid: String::new(),
            marks: String::new(),
            over: String::new(),
            hatch: String::new(),
        };
        for (at_ms, text) in head.steps.labels() {
            let percent = head.steps.percent(at_ms);
            let _ = write!(
                plot.grid,
                r#"<text x="{}%" y="100%" dy="19"{}>{text}</text>"#,
                short(percent),
                anchor(percent)
            );
        }
        plot
    }

    /// A line across the box with its label at the left; at share 0 it is the axis itself.
    pub(super) fn grid_line(&mut self, share: f64, label: &str) {
        let class = if share > 0.0 { "rule" } else { "axis" };
        let y = short((1.0 - share) * 100.0);
        let _ = write!(
            self.grid,
            r#"<line class="{class}" x2="100%" y1="{y}%" y2="{y}%"/><text x="-6" y="{y}%" dy="4" text-anchor="end">{}</text>"#,
            escape(label)
        );
    }

    /// Hatches every finished step that `known` denies, over the full height.
    pub(super) fn hatch_gaps(&mut self, known: impl Fn(usize) -> bool) {
        let steps = self.head.steps;
        let mut step = 0;
        while step < steps.count {
            let from = step;
            while step < steps.count && steps.phase(step) == Phase::Whole && !known(step) {
                step += 1;
            }
            if step > from {
                let width = (step - from) as i32 * STEP_UNITS;
                rectangle(&mut self.hatch, from as i32 * STEP_UNITS, 0, width, HEIGHT_UNITS);
            }
            step += 1;
        }
    }

    /// Hatches a part of one step: a count that is known, of things that are not.
    pub(super) fn hatch_cap(&mut self, step: usize, top: i32, height: i32) {
        rectangle(&mut self.hatch, step as i32 * STEP_UNITS, top, STEP_UNITS - 1, height);
    }

    /// A value held for each step: finished ones in full, the unfinished one pale.
    pub(super) fn stairs(&mut self, class: &str, share: impl Fn(usize) -> Option<f64>, filled: bool) {
        let steps = self.head.steps;
        for (phase, pale) in [(Phase::Whole, ""), (Phase::Unfinished, " pale")] {
            let heights = (0..steps.count).map(|at| share(at).filter(|_| steps.phase(at) == phase));
            let path = stairs(heights, filled);
            if !path.is_empty() {
                let _ = write!(self.marks, r#"<path class="{class}{pale}" d="{path}"/>"#);
            }
        }
    }

    /// A line that holds from each moment to the next, at the given shares, with its words above it.
    pub(super) fn limit(&mut self, levels: &[(i64, f64, String)]) {
        let steps = self.head.steps;
        for (at, (from_ms, share, label)) in levels.iter().enumerate() {
            let from = steps.percent(*from_ms);
            let to = levels.get(at + 1).map_or(100.0, |next| steps.percent(next.0));
            if to <= from {
                continue;
            }
            let y = short((1.0 - share) * 100.0);
            let (left, right) = (short(from), short(to));
            let _ =
                write!(self.over, r#"<line class="limit" x1="{left}%" x2="{right}%" y1="{y}%" y2="{y}%"/>"#);
            if let Some(before) = at.checked_sub(1).and_then(|before| levels.get(before))
                && from > 0.0
            {
                let y0 = short((1.0 - before.1) * 100.0);
                let _ = write!(
                    self.over,
                    r#"<line class="limit" x1="{left}%" x2="{left}%" y1="{y0}%" y2="{y}%"/>"#
                );
            }
            let (x, shift, anchor) =
                if from > 70.0 { ("100", -2, r#" text-anchor="end""#) } else { (left.as_str(), 4, "") };
            let _ = write!(
                self.over,
                r#"<text class="limit" x="{x}%" dx="{shift}" y="{y}%" dy="-4"{anchor}>{}</text>"#,
                escape(label)
            );
        }
    }

    /// The three layers.
    pub(super) fn html(self) -> String {
        let width = self.head.steps.count as i32 * STEP_UNITS;
        let id = escape(self.head.id);
        let class = match self.shape {
            Shape::Usual => "plot",
            Shape::Low => "plot low",
            Shape::WithEnds => "plot ends",
        };
        let hatch = if self.hatch.is_empty() {
            String::new()
        } else {
            // The clip stretches with the box; the pattern it cuts from does not.
            format!(
                r##"<defs><pattern id="{id}-h" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="hatch" d="M0 0v6"/></pattern><clipPath id="{id}-c" clipPathUnits="objectBoundingBox"><path transform="scale({} {})" d="{}"/></clipPath></defs><rect class="gap" width="100%" height="100%" fill="url(#{id}-h)" clip-path="url(#{id}-c)"/>"##,
                1.0 / f64::from(width.max(1)),
                1.0 / f64::from(HEIGHT_UNITS),
                self.hatch
            )
        };
        format!(
            r#"<div class="{class}" role="group" aria-label="{}"><svg aria-hidden="true">{}</svg><svg aria-hidden="true" viewBox="0 0 {width} {HEIGHT_UNITS}" preserveAspectRatio="none">{}</svg><svg aria-hidden="true">{hatch}{}</svg></div>"#,
            escape(self.head.title),
            self.grid,
            self.marks,
            self.over
        )
    }
}

/// Strokes below the axis, as wide as the steps in which something was refused.
pub(super) fn ticks(steps: Steps, marked: impl Fn(usize) -> bool) -> String {
    let mut path = String::new();
    let mut pen = 0;
    let mut step = 0;
    while step < steps.count {
        let from = step;
        while step < steps.count && marked(step) {
            step += 1;
        }
        if step > from {
            let (x, run) = (from as i32 * STEP_UNITS, (step - from) as i32 * STEP_UNITS);
            let _ = if path.is_empty() {
                write!(path, "M{x} {}h{run}", unit(0.0) + TICK_UNITS_BELOW)
            } else {
                write!(path, "m{} 0h{run}", x - pen)
            };
            pen = x + run;
        }
        step += 1;
    }
    path
}

/// The table of all steps, without the closing tags HTML does not need: it is the longest part of a chart.
pub(super) fn table(steps: Steps, columns: &[&str], row: impl Fn(usize) -> Option<Vec<String>>) -> String {
    let mut html = String::from(r#"<table class="tbl"><thead><tr><th scope="col">Time"#);
    for column in columns {
        let _ = write!(html, r#"<th scope="col">{}"#, escape(column));
    }
    html.push_str("</thead><tbody>");
    for step in (0..steps.count).filter(|&step| steps.phase(step) != Phase::ToCome) {
        let _ = write!(html, "<tr><th>{}", steps.time(step));
        if steps.phase(step) == Phase::Unfinished {
            html.push_str(" so far");
        }
        match row(step) {
            Some(cells) => cells.iter().for_each(|cell| {
                let _ = write!(html, "<td>{cell}");
            }),
            None => html.push_str("<td>no data"),
        }
    }
    html.push_str("</tbody></table>");
    html
}

fn anchor(percent: f64) -> &'static str {
    match percent {
        percent if percent < EDGE_PERCENT => "",
        percent if percent > 100.0 - EDGE_PERCENT => r#" text-anchor="end""#,
        _ => r#" text-anchor="middle""#,
    }
}

/// A percentage with at most two digits after the point and no idle zeros.
pub(super) fn short(percent: f64) -> String {
    let hundredths = (percent * 100.0).round() / 100.0;
    hundredths.to_string()
}
