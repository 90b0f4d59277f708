//! The overview: what is going on, why calls are refused, and what would help.

mod charts;
mod count;
mod credit;
mod read;
#[cfg(test)]
mod samples;
mod strip;
mod tables;
#[cfg(test)]
mod tests;
mod why;

use askama::Template;
use axum::extract::State;
use bromo_rules::account::Key;
use bromo_rules::credit::Credits;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::plan::PlanTable;
use bromo_rules::time::Timestamp;

use self::charts::Source;
use self::count::Sums;
use self::read::Counted;
use self::strip::{Queue, Strip};
use self::tables::Tables;
use self::why::Why;
use super::{Answer, At, Query, page};
use crate::chart::Chart;
use crate::error::PageError;
use crate::form::Form;
use crate::frame::Frame;
use crate::range::{self, Choice, Range};
use crate::snippet::{self, Snippet};
use crate::visitor::Visitor;
use crate::{Dashboard, series};

#[derive(Template)]
#[template(path = "pages/overview.html")]
struct Overview<'a> {
    frame: &'a Frame,
    form: &'a Form,
    range: &'a Range,
    /// What is wrong with the range or a filter.
    fault: Option<&'a str>,
    choices: &'static [Choice],
    keys: &'a [Key],
    /// When the first step begins: what is shown is counted from there.
    from: Timestamp,
    /// Whether there was any call in the range.
    is_empty: bool,
    parts: Parts<'a>,
}

impl Overview<'_> {
    fn with_range(&self, word: &str) -> String {
        self.form.with(&["range", "from", "to"], &[("range", word)])
    }

    fn is_narrowed(&self) -> bool {
        self.form.is_set("endpoint") || self.form.is_set("key")
    }

    fn widened(&self) -> String {
        self.form.with(&["endpoint", "key"], &[])
    }
}

/// What is drawn anew while somebody looks.
struct Parts<'a> {
    strip: Strip<'a>,
    why: Why,
    slots: Chart,
    outcomes: Chart,
    latency: Chart,
    queue: Queue,
    credits: Option<Chart>,
    tables: Tables<'a>,
}

/// The page of an account that never called.
#[derive(Template)]
#[template(path = "pages/overview_first.html")]
struct FirstPage<'a> {
    frame: &'a Frame,
    /// Keys that work.
    keys: u64,
    snippets: Vec<Snippet>,
    first: First,
}

/// Whether the first call was seen.
#[derive(Template)]
#[template(path = "parts/overview_first.html")]
struct First {
    is_seen: bool,
}

pub(super) async fn show(State(dashboard): At, visitor: Visitor, Query(query): Query) -> Answer {
    let mut counted = Counted::read(&dashboard, visitor, &query).await?;
    if counted.range.is_live() {
        counted.frame.live = format!("/live/overview?{}", query.with(&[], &[]));
    }
    if !counted.is_used {
        let base = &dashboard.settings.public_url;
        return page(&FirstPage {
            frame: &counted.frame,
            keys: counted.working_keys(),
            snippets: snippet::first_call(base, snippet::KEY_PLACEHOLDER),
            first: First { is_seen: false },
        });
    }
    let surcharge = dashboard.engine.prices().sync_surcharge;
    page(&Overview {
        frame: &counted.frame,
        form: &query,
        range: &counted.range,
        fault: counted.fault.as_deref(),
        choices: &range::CHOICES,
        keys: &counted.keys,
        from: series::bounds(&counted.bars).0,
        is_empty: counted.rows().is_empty(),
        parts: counted.draw(dashboard.engine.plans(), surcharge),
    })
}

/// The parts of the page that are drawn anew while somebody looks, by the id of their element.
pub(crate) async fn fragments(
    dashboard: &Dashboard,
    visitor: Visitor,
    query: &Form,
) -> Result<Vec<(&'static str, String)>, PageError> {
    let counted = Counted::read(dashboard, visitor, query).await?;
    let first = First { is_seen: counted.is_used }.render()?;
    let surcharge = dashboard.engine.prices().sync_surcharge;
    let parts = counted.draw(dashboard.engine.plans(), surcharge);
    let mut fragments = vec![
        ("overview-first", first),
        ("overview-figures", parts.strip.render()?),
        ("overview-why", parts.why.render()?),
        ("overview-queue", parts.queue.render()?),
        ("overview-tables", parts.tables.render()?),
        ("overview-slots", parts.slots.to_string()),
        ("overview-outcomes", parts.outcomes.to_string()),
        ("overview-latency", parts.latency.to_string()),
    ];
    fragments.extend(parts.credits.map(|credits| ("overview-credits", credits.to_string())));
    Ok(fragments)
}

impl Counted {
    fn draw(&self, plans: &PlanTable, surcharge: Credits) -> Parts<'_> {
        let (frame, rows) = (&self.frame, self.rows());
        let account = &frame.account;
        let sums = Sums::of(rows);
        let took = count::merge(rows.iter().filter(|row| count::is_endpoint(row.route)));
        let timed = count::timed(rows);
        let left = account.balance.total();
        let lasts_until = credit::lasts_until(&self.credit_steps, &self.charged, account.created_at, left);
        let source = Source {
            bars: self.bars,
            lines: self.line_steps(),
            since: self.since(),
            gaps: &self.gaps,
            shown: &self.lines,
        };
        let strip = strip::Facts {
            sums: &sums,
            took: &took,
            endpoints: &timed,
            lines: &self.lines,
            hour: &self.hour,
            hour_lines: &self.hour_lines,
            depth: self.depth,
            lasts_until,
        };
        let why = why::Facts {
            lines: &self.hour_lines,
            names: &self.names,
            zone: &frame.look.zone,
            plans: plans.iter().collect(),
            slots: frame.slots.limit,
            surcharge,
            left,
            cycle_ends: account.cycle.ends_at,
        };
        Parts {
            strip: Strip::of(frame, &strip),
            why: Why::of(&self.hour, &why),
            slots: charts::slots(&source, &self.all, plans.iter(), frame.slots),
            outcomes: charts::outcomes(&source, rows, &sums),
            latency: charts::latency(&source, rows, &took),
            queue: Queue::of(self.depth),
            credits: credit::chart(&self.credit_steps, &self.charged, account, &frame.plan_title),
            tables: Tables::of(frame, rows, &self.names, &self.lines),
        }
    }
}
