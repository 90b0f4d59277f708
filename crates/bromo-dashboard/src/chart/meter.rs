//! How much of a limit is in use, in the height of a line of text.

use std::fmt::Write as _;

use crate::markup::{escape, grouped};

use super::Markup;

/// Up to this limit every unit has its own cell; above it there is one bar.
const CELLS_MAX: u64 = 50;
/// Width of the drawing in units.
const WIDTH_UNITS: u64 = 1_000;
/// Units between two cells.
const GAP_UNITS: u64 = 4;

/// Draws `value` of `max`; `label` names it for those who do not see it. The word "full" beside it is the page's.
#[must_use]
pub fn meter(value: u64, max: u64, label: &str) -> Markup {
    let full = value >= max && max > 0;
    let shown = value.min(max);
    let (on, off) = if max == 0 {
        (String::new(), cells(0, 1, 1))
    } else if max <= CELLS_MAX {
        (cells(0, shown, max), cells(shown, max, max))
    } else {
        let width = (shown as f64 / max as f64 * WIDTH_UNITS as f64).round() as u64;
        let width = if shown > 0 { width.max(GAP_UNITS) } else { 0 };
        (format!("M0 0h{width}v8H0z"), format!("M{width} 0H{WIDTH_UNITS}v8H{width}z"))
    };
    Markup(format!(
        r#"<svg class="meter{}" role="meter" aria-label="{}" aria-valuemin="0" aria-valuenow="{shown}" aria-valuemax="{max}" aria-valuetext="{} of {}" viewBox="0 0 {WIDTH_UNITS} 8" preserveAspectRatio="none"><path class="off" d="{off}"/><path class="on" d="{on}"/></svg>"#,
        if full { " full" } else { "" },
        escape(label),
        grouped(value),
        grouped(max),
    ))
}

/// Cells `from..to` of `max` as one path.
fn cells(from: u64, to: u64, max: u64) -> String {
    let mut path = String::new();
    let edge = |cell: u64| cell * (WIDTH_UNITS + GAP_UNITS) / max;
    for cell in from..to {
        let (left, right) = (edge(cell), edge(cell + 1) - GAP_UNITS);
        let _ = write!(path, "M{left} 0H{right}v8H{left}z");
    }
    path
}
