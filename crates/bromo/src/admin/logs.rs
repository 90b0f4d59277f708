//! The request log, newest first.

use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use bromo_rules::credit::Way;
use bromo_rules::time::Timestamp;
use bromo_store::{LogFilter, LogGap, RequestMatch, StatusMatch, StoredLine};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Admin;
use super::fault::Fault;

/// Lines of one answer when nothing is said, and at most.
const COUNT: u32 = 100;
const COUNT_MAX: u32 = 1000;
/// A search that takes longer ends; its answer says how far it came and where to go on.
pub(super) const SEARCH_MAX: Duration = Duration::from_millis(200);
/// Gaps of one answer at most.
const GAPS_MAX: u32 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogsQuery {
    account: Option<String>,
    request: Option<String>,
    from: Option<i64>,
    until: Option<i64>,
    status: Option<u16>,
    code: Option<String>,
    route: Option<String>,
    before: Option<u64>,
    count: Option<u32>,
}

pub(super) async fn list(
    State(admin): State<Admin>,
    query: Result<Query<LogsQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, Fault> {
    let Query(query) = query?;
    let account = match &query.account {
        Some(account) => Some(admin.engine.find_account(account).await?.id),
        None => None,
    };
    let request = query.request.map(|id| id.parse()).transpose();
    let request = request.map_err(|_| Fault::invalid("request: not a request id"))?;
    let filter = LogFilter {
        account,
        request: request.map(RequestMatch::Exact),
        from: query.from.map(Timestamp::from_millis),
        until: query.until.map(Timestamp::from_millis),
        statuses: query.status.map(StatusMatch::Exact).into_iter().collect(),
        codes: query.code.into_iter().collect(),
        routes: query.route.into_iter().collect(),
        ..LogFilter::default()
    };
    let count = query.count.unwrap_or(COUNT).clamp(1, COUNT_MAX);
    let page = admin.logs.read(&filter, query.before, count, SEARCH_MAX).await?;
    let lines = page.lines;
    let oldest = match (page.more, page.searched_to) {
        (None, _) => filter.from,
        (Some(_), None) => lines.last().map(|line| line.line.at),
        (Some(_), searched_to) => searched_to,
    };
    let from = oldest.unwrap_or(Timestamp::from_millis(i64::MIN));
    let until = match query.before {
        Some(_) => lines.first().map_or(from, |line| line.line.at),
        None => filter.until.unwrap_or(Timestamp::from_millis(i64::MAX)),
    };
    let gaps = admin.logs.gaps(from, until, GAPS_MAX).await?;
    Ok(Json(json!({
        "lines": lines.iter().map(view).collect::<Vec<_>>(),
        "gaps": gaps.iter().map(view_gap).collect::<Vec<_>>(),
        "next": page.more,
        "searched_to": page.searched_to.map(|at| at.to_string()),
    })))
}

fn view(stored: &StoredLine) -> Value {
    let line = &stored.line;
    json!({
        "request": line.request.to_string(),
        "at": line.at.to_string(),
        "account": line.account.to_string(),
        "key": line.key.to_string(),
        "way": match line.way { Way::Now => "now", Way::Later => "later" },
        "route": line.route,
        "status": line.status,
        "code": line.code,
        "took_ms": line.took_us as f64 / 1000.0,
        "slots": line.slots.map(|slots| json!({ "limit": slots.limit, "current": slots.current })),
        "credits": line.charged,
        "attempts": line.attempts,
    })
}

fn view_gap(gap: &LogGap) -> Value {
    json!({ "lines": gap.lines, "from": gap.from.to_string(), "until": gap.until.to_string() })
}
