//! Charts as markup: plain numbers in, one `<figure>` out. Reads no store and no clock, and never joins or fills what
//! is not known.
//!
//! Every chart over time is three SVG layers in one box: the grid with its labels, placed in percent so that text never
//! stretches; the marks, in whole units of a `viewBox` that stretches with the box; and what lies above them. The table
//! under `details` holds the same numbers, and is what the script reads out.

mod amounts;
mod bars;
mod latency;
mod meter;
mod outcomes;
mod path;
mod plot;
mod scale;
mod slots;
mod steps;
#[cfg(test)]
mod tests;

pub use amounts::{Credits, Depth, credits, depth};
pub use bars::{Bar, bars};
pub use latency::{Latency, Percentiles, latency};
pub use meter::meter;
pub use outcomes::{Outcome, OutcomeCounts, Outcomes, outcomes};
pub use slots::{LimitFrom, Slots, slots};
pub use steps::Steps;

use std::fmt;

use askama::filters::HtmlSafe;

use crate::markup::escape;

/// More steps than this are never drawn; callers choose a step that keeps below it.
pub const STEPS_MAX: usize = 400;

/// What every chart over time is told besides its numbers.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The element's id: unique on the page, and the name under which a live page replaces the chart.
    pub id: &'a str,
    /// What is drawn, with its unit.
    pub title: &'a str,
    /// The stretch of time and the zone it is shown in.
    pub steps: Steps,
    /// Address of the lines behind the numbers; `from` and `to` of a step are added to its query.
    pub lines: Option<&'a str>,
}

/// A drawn chart. Printing it gives the whole `<figure>`; every text in it is escaped already.
#[derive(Debug, Clone)]
pub struct Chart {
    /// The title, as plain text.
    pub title: String,
    /// The chart in one sentence, as plain text.
    pub sentence: String,
    /// The box with its three layers and the legend, as HTML.
    pub drawing: String,
    /// The table of all steps, as HTML.
    pub table: String,
    /// Attributes of the figure, as HTML.
    attributes: String,
}

impl Chart {
    pub(crate) fn new(head: &Head<'_>, sentence: String, drawing: String, table: String) -> Self {
        let steps = head.steps;
        let mut attributes = format!(
            r#"id="{}" data-hold data-from="{}" data-step="{}""#,
            escape(head.id),
            steps.from_ms,
            steps.step_ms
        );
        if let Some(lines) = head.lines {
            attributes.push_str(&format!(r#" data-lines="{}""#, escape(lines)));
        }
        Self { title: head.title.to_owned(), sentence, drawing, table, attributes }
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            r#"<figure class="chart" {}><figcaption><h2>{}</h2><span class="sub">{}</span><output></output></figcaption>{}<details><summary>Table of all steps</summary><div tabindex="0">{}</div></details></figure>"#,
            self.attributes,
            escape(&self.title),
            escape(&self.sentence),
            self.drawing,
            self.table
        )
    }
}

impl HtmlSafe for Chart {}

/// Finished HTML, escaped where it was made; a template prints it as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markup(pub(crate) String);

impl fmt::Display for Markup {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl HtmlSafe for Markup {}
