//! The overview's tables: calls by endpoint, and problems by what they have in common.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use askama::Template;
use bromo_rules::credit::Credits;
use bromo_rules::histogram::{Histogram, Quantile};
use bromo_rules::id::KeyId;
use bromo_rules::outcome::Outcome;
use bromo_rules::time::Timestamp;
use bromo_store::Rollup;

use super::count::{Lines, Sums, is_endpoint};
use crate::frame::Frame;
use crate::markup::duration;
use crate::moment::took as took_finely;

/// Problems that are listed.
const PROBLEMS_MAX: usize = 20;

/// One endpoint, or another route.
pub(super) struct Route {
    name: &'static str,
    sums: Sums,
    /// Those refused with status 429.
    over: u64,
    took: Histogram,
    credits: Credits,
    lines: Lines,
}

impl Route {
    fn link(&self, filter: &[(&str, &str)]) -> String {
        let filter: Vec<_> = [("endpoint", self.name)].into_iter().chain(filter.iter().copied()).collect();
        self.lines.address(&filter)
    }

    fn all(&self) -> String {
        self.link(&[])
    }

    fn with_status(&self, status: &str) -> String {
        self.link(&[("status", status)])
    }

    fn answered(&self) -> u64 {
        self.sums.get(Outcome::Answered)
    }

    fn failed(&self) -> u64 {
        self.sums.get(Outcome::Failed)
    }

    /// p50, p95, p99, each with what it would need.
    fn percentiles(&self) -> [(String, Option<String>); 3] {
        Quantile::ALL.map(|quantile| percentile(&self.took, quantile))
    }
}

/// A percentile as it is shown, or why there is none.
pub(super) fn percentile(took: &Histogram, quantile: Quantile) -> (String, Option<String>) {
    match took.percentile(quantile) {
        Some(took) => (shown(took), None),
        None => {
            let needed = crate::text::counted(quantile.needed(), "answer");
            ("—".to_owned(), Some(format!("needs {needed}, has {}", took.n())))
        }
    }
}

/// To two digits, as far as a histogram knows it; finer where even a millisecond is long.
fn shown(took: Duration) -> String {
    if took < Duration::from_millis(10) { took_finely(took) } else { duration(took.as_secs_f64() * 1e3) }
}

/// Refusals and failures that have code, endpoint and key in common.
pub(super) struct Problem {
    code: &'static str,
    status: u16,
    endpoint: &'static str,
    key: String,
    count: u64,
    /// Their steps' beginnings.
    first: Timestamp,
    last: Timestamp,
    link: String,
}

impl Problem {
    fn tone(&self) -> &'static str {
        match Outcome::of(self.status, self.code) {
            Outcome::Failed => "bad",
            Outcome::Canceled => "mute",
            _ => "warn",
        }
    }
}

/// Both tables.
#[derive(Template)]
#[template(path = "parts/overview_tables.html")]
pub(super) struct Tables<'a> {
    frame: &'a Frame,
    routes: Vec<Route>,
    problems: Vec<Problem>,
    /// Problems beyond those that are listed.
    more: usize,
    /// The lines behind all of them.
    all: String,
}

impl<'a> Tables<'a> {
    pub(super) fn of(
        frame: &'a Frame,
        rows: &[Rollup],
        names: &HashMap<KeyId, String>,
        lines: &Lines,
    ) -> Self {
        let mut problems = problems(rows, names, lines);
        let more = problems.len().saturating_sub(PROBLEMS_MAX);
        problems.truncate(PROBLEMS_MAX);
        let all = lines.address(&[("status", "4xx"), ("status", "5xx")]);
        Self { frame, routes: routes(rows, lines), problems, more, all }
    }
}

/// Endpoints first, each group by calls.
fn routes(rows: &[Rollup], lines: &Lines) -> Vec<Route> {
    let mut by_route: BTreeMap<&'static str, Vec<&Rollup>> = BTreeMap::new();
    for row in rows {
        by_route.entry(row.route).or_default().push(row);
    }
    let route = |(route, rows): (&'static str, Vec<&Rollup>)| {
        let counts = rows.iter().flat_map(|row| &row.outcomes);
        Route {
            name: route.strip_prefix("monitor/").unwrap_or(route),
            over: counts.filter(|count| count.status == 429).map(|count| count.lines).sum(),
            sums: Sums::of(rows.iter().copied()),
            took: super::count::merge(rows.iter().copied()),
            credits: rows.iter().map(|row| row.charged).sum(),
            lines: lines.clone(),
        }
    };
    let mut routes: Vec<(bool, Route)> =
        by_route.into_iter().map(|by| (!is_endpoint(by.0), route(by))).collect();
    routes.retain(|(_, route)| route.sums.calls() > 0);
    routes.sort_by_key(|(other, route)| (*other, std::cmp::Reverse(route.sums.calls())));
    routes.into_iter().map(|(_, route)| route).collect()
}

/// Status, code, route and key.
type Group = (u16, &'static str, &'static str, KeyId);
/// How many, and the beginnings of the first and the last step.
type Seen = (u64, Timestamp, Timestamp);

/// The most frequent first.
fn problems(rows: &[Rollup], names: &HashMap<KeyId, String>, lines: &Lines) -> Vec<Problem> {
    let mut groups: HashMap<Group, Seen> = HashMap::new();
    for row in rows {
        for count in row.outcomes.iter().filter(|count| count.status >= 400) {
            let group = (count.status, count.code, row.route, row.key);
            let (sum, first, last) = groups.entry(group).or_insert((0, row.start, row.start));
            *sum += count.lines;
            (*first, *last) = ((*first).min(row.start), (*last).max(row.start));
        }
    }
    let problem = |(group, seen): (Group, Seen)| {
        let ((status, code, route, key), (count, first, last)) = (group, seen);
        let endpoint = route.strip_prefix("monitor/").unwrap_or(route);
        let (said, id) = (status.to_string(), key.to_string());
        let filter =
            [("status", said.as_str()), ("code", code), ("endpoint", endpoint), ("key", id.as_str())];
        let link = lines.address(
            &filter.map(|(name, value)| if value.is_empty() { (name, "none") } else { (name, value) }),
        );
        let key = names.get(&key).cloned().unwrap_or(id);
        Problem { code, status, endpoint, key, count, first, last, link }
    };
    let mut problems: Vec<Problem> = groups.into_iter().map(problem).collect();
    problems.sort_by(|one, other| {
        let name = |problem: &Problem| (problem.code, problem.endpoint, problem.key.clone());
        other.count.cmp(&one.count).then_with(|| name(one).cmp(&name(other)))
    });
    problems
}
