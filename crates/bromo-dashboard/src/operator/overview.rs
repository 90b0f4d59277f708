//! The operator's overview: is work flowing, does it succeed, are these figures fresh.

use askama::Template;
use axum::extract::State;
use bromo_rules::time::Timestamp;
use bromo_store::PlanRequest;

use super::sign_in::Operator;
use super::{Desk, In, Office};
use crate::error::PageError;
use crate::pages::{Answer, Query, page};
use crate::text::{counted, number};

/// Requests for a plan that are shown.
const REQUESTS_MAX: u32 = 50;

/// An endpoint's way to its provider.
struct Line {
    endpoint: &'static str,
    kind: &'static str,
    is_closed: bool,
    waiting: usize,
    room: usize,
    answered: u64,
    failed: u64,
    turned_away: u64,
}

impl Line {
    fn room_text(&self) -> String {
        if self.room == usize::MAX { "no limit".to_owned() } else { number(self.room) }
    }
}

/// A request for a plan.
struct Wanted {
    account: String,
    request: PlanRequest,
}

#[derive(Template)]
#[template(path = "operator/overview.html")]
struct Overview {
    desk: Desk,
    verdict: Vec<(&'static str, String)>,
    used: u64,
    granted: u64,
    busy: u64,
    queued: u64,
    running: u64,
    pending: u64,
    answered: u64,
    failed: u64,
    refused: [u64; 3],
    repairs: u64,
    lost: u64,
    log_waiting: usize,
    lines: Vec<Line>,
    wanted: Vec<Wanted>,
    version: &'static str,
}

pub(super) async fn show(State(office): In, operator: Operator, Query(query): Query) -> Answer {
    let engine = &office.parts.engine;
    let now = engine.clock().now();
    let usage = engine.admission().usage().await.unwrap_or_default();
    let lines = lines(&office, now);
    let (queued, running) = engine.store().totals();
    let (counters, log) = (engine.counters(), engine.log());
    let (repairs, lost) = (engine.admission().repairs(), log.lost.get());
    page(&Overview {
        verdict: verdict(&lines, repairs, counters.charges_short.get(), lost),
        used: usage.iter().map(|usage| u64::from(usage.slots.current)).sum(),
        granted: usage.iter().map(|usage| u64::from(usage.slots.limit)).sum(),
        busy: usage.iter().map(|usage| u64::from(usage.slots.current > 0)).sum(),
        queued,
        running,
        pending: engine.store().pending(),
        answered: counters.answered.get(),
        failed: counters.failed.get(),
        refused: [counters.refused_slots.get(), counters.refused_rate.get(), counters.refused_credits.get()],
        repairs,
        lost,
        log_waiting: log.len(),
        lines,
        wanted: wanted(&office).await?,
        version: env!("CARGO_PKG_VERSION"),
        desk: operator.desk("/", "Overview", &query),
    })
}

fn lines(office: &Office, now: Timestamp) -> Vec<Line> {
    let lines = office.parts.engine.catalog().lines().map(|(endpoint, line)| {
        let figures = line.figures();
        Line {
            endpoint,
            kind: line.provider.kind(),
            is_closed: line.is_closed(),
            waiting: line.gate.waiting(),
            room: line.room(now),
            answered: figures.answered,
            failed: figures.failed.iter().sum(),
            turned_away: figures.turned_away_full + figures.turned_away_open,
        }
    });
    lines.collect()
}

/// What is going on, in sentences, what matters first.
fn verdict(lines: &[Line], repairs: u64, short: u64, lost: u64) -> Vec<(&'static str, String)> {
    let mut sentences = Vec::new();
    for line in lines.iter().filter(|line| !line.is_closed) {
        let text = format!(
            "The circuit of {} is open: its provider failed too often in a row. Calls get a 503 until one gets through.",
            line.endpoint
        );
        sentences.push(("bad", text));
    }
    for line in lines.iter().filter(|line| line.is_closed && line.room == 0) {
        let text =
            format!("{} is at its limit of parallel calls; {} wait in line.", line.endpoint, line.waiting);
        sentences.push(("warn", text));
    }
    if repairs > 0 {
        sentences.push((
            "bad",
            format!(
                "{} had to be repaired, which must never happen: please report it.",
                counted(repairs, "slot")
            ),
        ));
    }
    if short > 0 {
        sentences.push((
            "bad",
            format!(
                "{} came back short, which holds make impossible: please report it.",
                counted(short, "charge")
            ),
        ));
    }
    if lost > 0 {
        sentences.push((
            "warn",
            format!(
                "{} could not be kept since the start; accounts see them as gaps.",
                counted(lost, "log line")
            ),
        ));
    }
    if sentences.is_empty() {
        sentences.push(("ok", "Work is flowing: every circuit is closed and nothing was lost.".to_owned()));
    }
    sentences
}

async fn wanted(office: &Office) -> Result<Vec<Wanted>, PageError> {
    let store = office.parts.engine.store();
    let mut wanted = Vec::new();
    for request in store.list_plan_requests(REQUESTS_MAX).await? {
        let account = store.lookup_account(request.account).await?;
        let account = account.map_or_else(|| request.account.to_string(), |account| account.name);
        wanted.push(Wanted { account, request });
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(is_closed: bool, room: usize) -> Line {
        Line {
            endpoint: "chatgpt",
            kind: "sandbox",
            is_closed,
            waiting: 3,
            room,
            answered: 1,
            failed: 0,
            turned_away: 0,
        }
    }

    #[test]
    fn the_verdict_names_trouble_and_says_so_when_there_is_none() {
        assert_eq!(verdict(&[line(true, 5)], 0, 0, 0)[0].0, "ok");
        assert!(verdict(&[line(false, 0)], 0, 0, 0)[0].1.contains("circuit of chatgpt is open"));
        assert!(verdict(&[line(true, 0)], 0, 0, 0)[0].1.contains("3 wait in line"));
        assert_eq!(
            verdict(&[], 1, 1, 1).iter().map(|(tone, _)| *tone).collect::<Vec<_>>(),
            ["bad", "bad", "warn"]
        );
    }

    #[test]
    fn the_overview_renders_with_and_without_providers() {
        use bromo_rules::id::{AccountId, MemberId};

        use crate::samples::{HOSTILE, NOW, rendered};

        for lines in [vec![line(true, usize::MAX), line(false, 0)], Vec::new()] {
            let (account, by) = (AccountId::from_random(1), MemberId::from_random(1));
            let request = PlanRequest { account, plan: "lite".to_owned(), by, at: NOW };
            rendered(&Overview {
                desk: Desk::sample(),
                verdict: verdict(&lines, 1, 1, 1),
                used: 1,
                granted: 10,
                busy: 1,
                queued: 100_000,
                running: 3,
                pending: 4,
                answered: 5,
                failed: 6,
                refused: [1, 2, 3],
                repairs: 1,
                lost: 1,
                log_waiting: 1,
                lines,
                wanted: vec![Wanted { account: HOSTILE.to_owned(), request }],
                version: "0",
            });
        }
    }
}
