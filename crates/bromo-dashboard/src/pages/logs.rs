//! Logs: every request and attempt, filtered, followed live, one by one.

use std::collections::HashMap;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use bromo_rules::account::Key;
use bromo_rules::credit::Way;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::log::LogLine;
use bromo_rules::outcome::Outcome;
use bromo_rules::time::Timestamp;
use bromo_store::{LogFilter, LogGap, StoredLine};

use super::{Answer, At, Query, page, to};
use crate::chart::{self, Chart};
use crate::error::PageError;
use crate::form::Form;
use crate::frame::Frame;
use crate::log_query::{self, LogQuery};
use crate::range::{self, Choice};
use crate::visitor::Visitor;
use crate::{Dashboard, series};

/// Lines of a page.
pub(super) const LINES: u32 = 100;
/// A search stops after this time and says how far it came.
pub(crate) const SEARCH_BUDGET: Duration = Duration::from_millis(200);
/// Gaps that are looked at for one page.
const GAPS_MAX: u32 = 200;

/// A row of the list.
pub(crate) enum Row {
    /// A line …
    Line(Box<Line>),
    /// … or lines that were not kept.
    Gap(LogGap),
}

/// A line as it is shown.
pub(crate) struct Line {
    pub(crate) line: LogLine,
    pub(crate) cursor: u64,
    pub(crate) key_name: String,
}

impl Line {
    pub(crate) fn tone(&self) -> &'static str {
        match Outcome::of(self.line.status, self.line.code) {
            Outcome::Answered => "ok",
            Outcome::NoSlot | Outcome::Rate | Outcome::Credits | Outcome::Refused => "warn",
            Outcome::Failed => "bad",
            Outcome::Canceled => "mute",
        }
    }

    /// The endpoint, or the route of what is none.
    pub(crate) fn endpoint(&self) -> &'static str {
        self.line.route.strip_prefix("monitor/").unwrap_or(self.line.route)
    }

    pub(crate) fn took(&self) -> String {
        crate::moment::took(Duration::from_micros(self.line.took_us))
    }

    pub(crate) fn slots(&self) -> String {
        self.line.slots.map_or_else(String::new, |slots| format!("{}/{}", slots.current, slots.limit))
    }

    pub(crate) const fn way(&self) -> &'static str {
        match self.line.way {
            Way::Now => "now",
            Way::Later => "task",
        }
    }

    pub(crate) fn short_id(&self) -> String {
        // The beginning is the time, which many share.
        let id = self.line.request.to_string();
        id.get(id.len() - 8..).unwrap_or_default().to_owned()
    }

    pub(crate) const fn is_task(&self) -> bool {
        matches!(self.line.way, Way::Later)
    }
}

#[derive(Template)]
#[template(path = "pages/logs.html")]
struct Logs {
    frame: Frame,
    query: LogQuery,
    form: Form,
    rows: Vec<Row>,
    chart: Chart,
    choices: &'static [Choice],
    keys: Vec<Key>,
    /// The link to older lines.
    older: Option<String>,
    /// How far back the search came before its time was up.
    searched_to: Option<Timestamp>,
    /// Whether this is the newest page.
    is_top: bool,
    keep_days: u32,
    base: String,
}

#[derive(Template)]
#[template(path = "parts/log_rows.html")]
struct Rows<'a> {
    frame: &'a Frame,
    rows: &'a [Row],
    query: &'a LogQuery,
}

/// The names of keys.
pub(crate) async fn key_names(
    dashboard: &Dashboard,
    account: AccountId,
) -> Result<(Vec<Key>, HashMap<KeyId, String>), PageError> {
    let keys = dashboard.engine.store().list_keys(account).await?;
    let name = |key: &Key| key.name.clone().unwrap_or_else(|| format!("…{}", key.last4));
    let names = keys.iter().map(|key| (key.id, name(key))).collect();
    Ok((keys, names))
}

pub(super) fn line(names: &HashMap<KeyId, String>, stored: StoredLine) -> Line {
    let key_name = names.get(&stored.line.key).cloned().unwrap_or_else(|| stored.line.key.to_string());
    Line { cursor: stored.cursor, key_name, line: stored.line }
}

/// Lines with the gaps between them, newest first.
fn with_gaps(lines: Vec<Line>, mut gaps: Vec<LogGap>) -> Vec<Row> {
    gaps.sort_by_key(|gap| gap.until); // The newest last, to be taken from the end.
    let mut rows = Vec::with_capacity(lines.len() + gaps.len());
    for line in lines {
        while gaps.last().is_some_and(|gap| gap.until >= line.line.at) {
            rows.extend(gaps.pop().map(Row::Gap));
        }
        rows.push(Row::Line(Box::new(line)));
    }
    rows.extend(gaps.into_iter().rev().map(Row::Gap));
    rows
}

pub(super) async fn show(State(dashboard): At, visitor: Visitor, Query(form): Query) -> Answer {
    if form.is_set("q") {
        return to(&format!("/logs?{}", log_query::from_words(&form)));
    }
    let account = visitor.account.id;
    let _turn = dashboard.bounds.read(account).await?;
    let since = kept_since(&dashboard, visitor.account.created_at);
    let mut frame = Frame::new(&dashboard, visitor, "/logs", "Logs", &form).await;
    let (keys, names) = key_names(&dashboard, account).await?;
    let query = LogQuery::of(&form, account, &keys, &frame.look.zone, frame.now);
    let before: Option<u64> = form.text("before").parse().ok();
    let newest = newest_cursor(&dashboard, account).await?;
    let found = dashboard.logs.read(&query.filter, before, LINES, SEARCH_BUDGET).await?;
    // Where the tail begins: after all that was looked through.
    let newest =
        if before.is_none() { newest.max(found.lines.first().map_or(0, |line| line.cursor)) } else { 0 };
    let oldest = found.lines.last().map(|line| line.line.at);
    let lines: Vec<Line> = found.lines.into_iter().map(|stored| line(&names, stored)).collect();
    // Gaps of the stretch that this page shows, from the last line of the page before on.
    let from = if found.more.is_some() { oldest.unwrap_or(query.range.from) } else { query.range.from };
    let until = match before {
        Some(before) => line_at(&dashboard, account, before).await?.unwrap_or(query.range.until),
        None => query.range.until,
    };
    let gaps = dashboard.logs.gaps(from, until, GAPS_MAX).await?;
    let chart = histogram(&dashboard, &frame, &query, since).await?;
    let is_top = before.is_none();
    if is_top && query.range.is_live() {
        frame.live =
            format!("/live/logs?{}", form.with(&["after", "before"], &[("after", &newest.to_string())]));
    }
    let older =
        found.more.map(|more| format!("/logs?{}", form.with(&["before"], &[("before", &more.to_string())])));
    page(&Logs {
        rows: with_gaps(lines, gaps),
        chart,
        choices: &range::CHOICES,
        keys,
        older,
        searched_to: found.searched_to,
        is_top,
        keep_days: dashboard.settings.keep_days,
        base: dashboard.settings.public_url.clone(),
        query,
        form,
        frame,
    })
}

/// Outcomes over the range, of the keys and endpoints that are filtered for.
async fn histogram(
    dashboard: &Dashboard,
    frame: &Frame,
    query: &LogQuery,
    since: Timestamp,
) -> Result<Chart, PageError> {
    let range = &query.range;
    let steps = series::steps(range, range.bar_step(), &frame.look.zone, frame.now);
    let (from, until) = series::bounds(&steps);
    let mut rows =
        dashboard.logs.rollups(query.account, range.level(), range.bar_step(), from, until).await?;
    let filter = &query.filter;
    rows.retain(|row| {
        let route = filter.routes.is_empty() || filter.routes.iter().any(|route| route == row.route);
        route && (filter.keys.is_empty() || filter.keys.contains(&row.key))
    });
    let mut counts = series::fold(&steps, since, &rows, series::count_outcomes);
    query.narrow(&mut counts, &steps, &rows);
    let lost = series::lost(&steps, &dashboard.logs.gaps(from, until, GAPS_MAX).await?);
    let links = query.form_without_range();
    let lines = format!("/logs?{links}");
    let head = chart::Head { id: "log-outcomes", title: "Requests", steps, lines: Some(&lines) };
    Ok(chart::outcomes(&head, &chart::Outcomes { counts: &counts, lost: &lost, links: &[], small: true }))
}

/// Rows for the top of the list.
pub(crate) struct NewRows {
    pub(crate) html: String,
    /// The newest line that was looked at.
    pub(crate) last: u64,
    /// Whether none matches.
    pub(crate) is_empty: bool,
    /// Whether there are more than are shown.
    pub(crate) more: bool,
}

/// When the line of this cursor, or the next older one, arrived.
async fn line_at(
    dashboard: &Dashboard,
    account: AccountId,
    cursor: u64,
) -> Result<Option<Timestamp>, PageError> {
    let filter = LogFilter { account: Some(account), ..LogFilter::default() };
    let found = dashboard.logs.read(&filter, Some(cursor.saturating_add(1)), 1, SEARCH_BUDGET).await?;
    Ok(found.lines.first().map(|line| line.line.at))
}

/// The newest line of an account.
async fn newest_cursor(dashboard: &Dashboard, account: AccountId) -> Result<u64, PageError> {
    let filter = LogFilter { account: Some(account), ..LogFilter::default() };
    let newest = dashboard.logs.read(&filter, None, 1, SEARCH_BUDGET).await?;
    Ok(newest.lines.first().map_or(0, |line| line.cursor))
}

/// Since when lines of an account are kept.
pub(crate) fn kept_since(dashboard: &Dashboard, created_at: Timestamp) -> Timestamp {
    let keep_ms = i64::from(dashboard.settings.keep_days).saturating_mul(86_400_000);
    let kept = dashboard.engine.clock().now().millis().saturating_sub(keep_ms);
    created_at.max(Timestamp::from_millis(kept))
}

/// What came after a line, newest first.
pub(crate) async fn rows_after(
    dashboard: &Dashboard,
    visitor: Visitor,
    form: &Form,
    after: u64,
    count: u32,
) -> Result<NewRows, PageError> {
    let account = visitor.account.id;
    let _turn = dashboard.bounds.read(account).await?;
    let frame = Frame::new(dashboard, visitor, "/logs", "Logs", form).await;
    let (keys, names) = key_names(dashboard, account).await?;
    let mut query = LogQuery::of(form, account, &keys, &frame.look.zone, frame.now);
    query.filter.after = Some(after);
    query.filter.until = None;
    // Read before the search, so that nothing which comes meanwhile is passed over.
    let newest = newest_cursor(dashboard, account).await?;
    let found = dashboard.logs.read(&query.filter, None, count, SEARCH_BUDGET).await?;
    let first = found.lines.first().map_or(0, |line| line.cursor);
    // What was looked through and does not match is not looked through again.
    let last = if found.searched_to.is_none() { first.max(newest).max(after) } else { first.max(after) };
    let rows: Vec<Row> =
        found.lines.into_iter().map(|stored| Row::Line(Box::new(line(&names, stored)))).collect();
    let is_empty = rows.is_empty();
    let mut html = Rows { frame: &frame, rows: &rows, query: &query }.render()?;
    let more = found.more.is_some() && !is_empty;
    if more {
        html.push_str(r#"<tr class="gap"><td colspan="10">More lines came than are shown here: <a href="">reload</a>.</td></tr>"#);
    }
    Ok(NewRows { html, last, is_empty, more })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bromo_rules::member::Role;

    use crate::chart::{Head, Outcomes, Steps};
    use crate::moment::Zone;
    use crate::samples::{HOSTILE, NOW, frame, key, line, rendered};

    fn sample(status: u16, code: &'static str, way: Way) -> Line {
        Line { line: line(status, code, way), cursor: 7, key_name: HOSTILE.to_owned() }
    }

    fn page(form: &str, rows: Vec<Row>) -> Logs {
        let form = Form::parse(form.as_bytes());
        let keys = vec![key(Some(HOSTILE), false)];
        let query = LogQuery::of(&form, keys[0].account, &keys, &Zone::default(), NOW);
        let steps = Steps {
            from_ms: NOW.millis() - 60_000,
            step_ms: 60_000,
            count: 2,
            now_ms: NOW.millis(),
            offset_minutes: 0,
        };
        let head = Head { id: "log-outcomes", title: "Requests", steps, lines: Some("/logs?") };
        let counts = [None, Some([1, 2, 0, 0, 0, 1])];
        let chart =
            chart::outcomes(&head, &Outcomes { counts: &counts, lost: &[0, 3], links: &[], small: true });
        Logs {
            frame: frame(Role::Viewer, "/logs"),
            rows,
            chart,
            choices: &range::CHOICES,
            keys,
            older: Some("/logs?before=1".to_owned()),
            searched_to: None,
            is_top: true,
            keep_days: 30,
            base: "http://127.0.0.1:8787".to_owned(),
            query,
            form,
        }
    }

    #[test]
    fn logs_render_lines_gaps_and_filters_that_are_not_understood() {
        let gap = LogGap { lines: 312, from: NOW, until: NOW };
        let rows = vec![Row::Line(Box::new(sample(429, "RATE_LIMIT_EXCEEDED", Way::Now))), Row::Gap(gap)];
        let html = page("status=many&endpoint=%22%3E%3Cscript%3E", rows).render().unwrap();
        assert!(
            html.contains("312 lines between") && html.contains("not applied") && !html.contains("<script>")
        );
        let unfinished = Logs { searched_to: Some(NOW), ..page("status=429", Vec::new()) };
        assert!(rendered(&unfinished).contains("None found back to"));
        assert!(rendered(&page("", Vec::new())).contains("Nothing was asked"));
        assert!(rendered(&page("status=429", Vec::new())).contains("clear filters"));
    }

    #[test]
    fn gaps_stand_where_their_lines_would() {
        let at = |millis: i64| Timestamp::from_millis(NOW.millis() + millis);
        let lines = [300, 100].map(|millis| {
            let mut sample = sample(200, "", Way::Now);
            sample.line.at = at(millis);
            sample
        });
        let gap = |millis: i64| LogGap { lines: 1, from: at(millis), until: at(millis) };
        let rows = with_gaps(lines.into(), vec![gap(50), gap(200), gap(400)]);
        let shape: String =
            rows.iter().map(|row| if matches!(row, Row::Gap(_)) { 'g' } else { 'l' }).collect();
        assert_eq!(shape, "glglg");
    }
}
