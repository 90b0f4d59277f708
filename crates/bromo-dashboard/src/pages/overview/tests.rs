use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bromo_rules::account::Account;
use bromo_rules::histogram::Quantile;
use bromo_rules::id::{AccountId, KeyId, MemberId};
use bromo_rules::key::{KeyHash, KeyKind};
use bromo_rules::member::{Member, Role};
use bromo_rules::outcome::Outcome;
use bromo_rules::task::Depth;
use bromo_store::Rollup;

use super::count::Lines;
use super::samples::{CREDITS, NO_SLOT, NOW, RATE, ago, row};
use super::why::Hour;
use super::*;
use crate::frame::Slots;
use crate::visitor::Look;

const OK: (u16, &str) = (200, "");

fn key(number: u64) -> KeyId {
    KeyId::from_random(number)
}

fn frame(name: &str, slots: Slots) -> Frame {
    let table = PlanTable::default();
    let lite = table.lookup("lite").unwrap();
    let (account, _) = Account::open(AccountId::from_random(1), name, lite, ago(86_400 * 9));
    let member = Member {
        id: MemberId::from_random(1),
        account: account.id,
        email: "ada@example.com".parse().unwrap(),
        role: Role::Owner,
        created_at: NOW,
        seen_at: None,
    };
    Frame {
        title: "Overview".to_owned(),
        path: "/",
        account: Arc::new(account),
        plan_title: "Lite".to_owned(),
        member: Arc::new(member),
        slots,
        token: "t".to_owned(),
        look: Look::default(),
        now: NOW,
        message: None,
        live: "/live/overview?".to_owned(),
    }
}

fn counted(frame: Frame, all: Vec<Rollup>, key_name: &str) -> Counted {
    let (range, fault) = Range::of(&Form::default(), &frame.look.zone, NOW);
    let bars = series::steps(&range, range.bar_step(), &frame.look.zone, NOW);
    let from = series::bounds(&bars).0;
    let lines = Lines { from, until: NOW, narrowed: Vec::new() };
    let credit_steps = credit::steps(&frame.account, &frame.look.zone, NOW);
    let stored = Key {
        id: key(1),
        account: frame.account.id,
        kind: KeyKind::Live,
        name: Some(key_name.to_owned()),
        hash: KeyHash([0; 32]),
        last4: "9f3a".to_owned(),
        created_at: NOW,
        revoked_at: None,
    };
    Counted {
        range,
        fault,
        keys: vec![stored],
        names: HashMap::from([(key(1), key_name.to_owned())]),
        bars,
        hour: Hour::of(&all, Duration::from_secs(15)),
        all,
        narrowed: None,
        hour_lines: lines.clone(),
        lines,
        gaps: Vec::new(),
        depth: Depth::default(),
        charged: vec![1_000_000; credit_steps.count],
        credit_steps,
        is_used: true,
        kept_since: frame.account.created_at,
        frame,
    }
}

fn draw(counted: &Counted) -> Parts<'_> {
    counted.draw(&PlanTable::default(), Credits::new(2))
}

fn render(counted: &Counted) -> String {
    let form = Form::default();
    let page = Overview {
        frame: &counted.frame,
        form: &form,
        range: &counted.range,
        fault: None,
        choices: &range::CHOICES,
        keys: &counted.keys,
        from: series::bounds(&counted.bars).0,
        is_empty: counted.rows().is_empty(),
        parts: draw(counted),
    };
    page.render().unwrap()
}

/// Every fragment stands on the page under its id, once.
fn check_ids(html: &str) {
    for id in ["figures", "why", "queue", "tables", "slots", "outcomes", "latency", "credits"] {
        assert_eq!(html.matches(&format!(r#"id="overview-{id}""#)).count(), 1, "{id}");
    }
}

#[test]
fn a_range_without_calls_offers_longer_ones() {
    let html = render(&counted(frame("a", Slots { used: 0, limit: 10 }), Vec::new(), "k"));
    check_ids(&html);
    assert!(html.contains("No call in the last hour."));
    assert!(html.contains(r#"href="/?range=24h""#));
    assert!(html.contains("No call was refused in the last hour."));
}

#[test]
fn the_usual_page_has_figures_reasons_and_tables() {
    let rows = vec![
        row(120, "monitor/chatgpt", key(1), OK, 150, 10),
        row(120, "monitor/chatgpt", key(1), NO_SLOT, 30, 10),
        row(60, "countries", key(1), OK, 5, 0),
        row(30, "monitor/gemini", key(1), (500, "INTERNAL_SERVER_ERROR"), 2, 3),
    ];
    let html = render(&counted(frame("a", Slots { used: 7, limit: 10 }), rows, "batch worker"));
    check_ids(&html);
    assert!(html.contains("of 150 answers"), "answers of other routes are not timed");
    assert!(html.contains("<th scope=\"row\">chatgpt</th>"));
    assert!(html.contains("INTERNAL_SERVER_ERROR</a>"));
    assert!(html.contains("What helps"));
}

#[test]
fn the_worst_page_holds_long_names_and_large_numbers() {
    let name = "<a name of forty characters in the works>";
    let rows: Vec<_> = (0..240)
        .flat_map(|step| {
            [OK, NO_SLOT, RATE, CREDITS, (400, "VALIDATION_ERROR"), (499, "REQUEST_CANCELED")]
                .map(|outcome| row(step * 15, "monitor/google/news", key(1), outcome, 9_999_999, 10))
        })
        .collect();
    let mut counted = counted(frame(name, Slots { used: 10, limit: 10 }), rows, name);
    counted.depth = Depth { queued: [10_000; 10], processing: 10 };
    let html = render(&counted);
    check_ids(&html);
    assert!(!html.contains("<a name of"), "names are escaped");
    assert!(html.contains("of 10, full"));
    assert!(html.contains("100,000"));
    assert!(html.contains("at the limit about 1 h of the last hour"));
    assert!(html.contains("at this pace about until"));
}

#[test]
fn every_figure_leads_to_the_lines_it_counts() {
    let rows = vec![
        row(120, "monitor/chatgpt", key(1), OK, 150, 10),
        row(120, "monitor/chatgpt", key(1), NO_SLOT, 30, 10),
        row(60, "monitor/chatgpt", key(1), (400, "VALIDATION_ERROR"), 3, 1),
    ];
    let counted = counted(frame("a", Slots { used: 7, limit: 10 }), rows, "k");
    let strip = draw(&counted).strip;
    let stretch = "/logs?from=2026-11-24T11%3A30%3A00.000Z&to=2026-11-24T12%3A30%3A00.000Z";
    assert_eq!((strip.calls.count, strip.calls.link.as_str()), (183, stretch));
    assert_eq!((strip.answered.count, strip.answered.link), (150, format!("{stretch}&status=2xx")));
    let codes = "&code=CONCURRENCY_LIMIT_EXCEEDED&code=RATE_LIMIT_EXCEEDED&code=INSUFFICIENT_CREDITS&code=VALIDATION_ERROR";
    assert_eq!((strip.refused.count, strip.refused.link), (33, format!("{stretch}{codes}")));
    let kinds: Vec<_> =
        strip.kinds.into_iter().map(|(word, figure)| (word, figure.count, figure.link)).collect();
    assert_eq!(
        kinds,
        [
            ("slots", 30, format!("{stretch}&code=CONCURRENCY_LIMIT_EXCEEDED")),
            ("other", 3, format!("{stretch}&code=VALIDATION_ERROR")),
        ]
    );
    assert_eq!((strip.failed.count, strip.failed.link), (0, format!("{stretch}&status=5xx")));
}

#[test]
fn a_narrowed_page_leads_to_narrowed_lines() {
    let lines =
        Lines { from: ago(60), until: NOW, narrowed: vec![("endpoint".to_owned(), "chatgpt".to_owned())] };
    assert!(lines.address(&[("status", "2xx")]).ends_with("Z&endpoint=chatgpt&status=2xx"));
    assert!(lines.address(&[("endpoint", "chatgpt")]).ends_with("Z&endpoint=chatgpt"));
}

#[test]
fn percentiles_come_from_the_merged_histogram() {
    let rows = [
        row(60, "monitor/chatgpt", key(1), OK, 99, 1),
        row(45, "monitor/gemini", key(1), OK, 1, 1),
        row(30, "monitor/gemini", key(1), NO_SLOT, 500, 1),
    ];
    let alone = count::merge(&rows[..1]);
    assert_eq!((alone.n(), alone.percentile(Quantile::P99)), (99, None));
    let merged = count::percentiles(&count::merge(&rows));
    assert_eq!(merged.answers, 100);
    assert!(merged.p99.is_some_and(|millis| (850.0..=900.0).contains(&millis)), "{merged:?}");
    assert_eq!(Sums::of(&rows).get(Outcome::NoSlot), 500);
}

#[test]
fn an_account_that_never_called_sees_three_steps() {
    let frame = frame("a", Slots { used: 0, limit: 10 });
    let snippets = snippet::first_call("https://bromo.example", snippet::KEY_PLACEHOLDER);
    let page = FirstPage { frame: &frame, keys: 0, snippets, first: First { is_seen: false } };
    let html = page.render().unwrap();
    for step in
        ["1. Make a key", "curl -i https://bromo.example/v1/monitor/chatgpt", "waiting for the first one…"]
    {
        assert!(html.contains(step), "{step}");
    }
}
