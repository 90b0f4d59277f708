//! Horizontal bars with their numbers: a few amounts side by side, such as the queue by priority.

use std::fmt::Write as _;

use crate::markup::{escape, grouped};

use super::plot::short;

/// One bar.
#[derive(Debug, Clone)]
pub struct Bar {
    /// The word at the left.
    pub label: String,
    /// The amount, written at the right.
    pub value: u64,
    /// Address of the lines it counts.
    pub link: Option<String>,
}

/// Draws bars on a common scale from 0 to the largest, as a list of names and numbers.
#[must_use]
pub fn bars(items: &[Bar]) -> super::Markup {
    let most = items.iter().map(|item| item.value).max().unwrap_or(0).max(1);
    let mut html = String::from(r#"<dl class="hbars">"#);
    for item in items {
        let width = item.value as f64 / most as f64 * 100.0;
        let number = grouped(item.value);
        let number = match &item.link {
            Some(link) => format!(r#"<a href="{}">{number}</a>"#, escape(link)),
            None => number,
        };
        let _ = write!(
            html,
            r#"<dt>{}</dt><dd aria-hidden="true"><svg><rect class="off" width="100%" height="100%"/><rect class="fa" width="{}%" height="100%"/></svg></dd><dd class="num">{number}</dd>"#,
            escape(&item.label),
            short(width)
        );
    }
    html.push_str("</dl>");
    super::Markup(html)
}
