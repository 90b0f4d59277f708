use bromo_rules::plan::PlanTable;

use super::super::samples::{CREDITS, NO_SLOT, RATE, ago, refused, row};
use super::*;

const STEP: Duration = Duration::from_secs(15);
const OK: (u16, &str) = (200, "");

/// The answer about these rows and the lines of the worst step, for an account with 10 slots.
fn said(rows: &[Rollup], lines: &[LogLine]) -> String {
    let mut hour = Hour::of(rows, STEP);
    hour.refine(lines);
    let table = PlanTable::default();
    let names = HashMap::from([
        (KeyId::from_random(1), "batch worker".to_owned()),
        (KeyId::from_random(2), "…9f3a".to_owned()),
    ]);
    let facts = Facts {
        lines: &Lines { from: ago(3600), until: ago(0), narrowed: Vec::new() },
        names: &names,
        zone: &Zone::default(),
        plans: table.iter().collect(),
        slots: 10,
        surcharge: Credits::new(2),
        left: Credits::new(3),
        cycle_ends: ago(-86_400),
    };
    Why::of(&hour, &facts).said()
}

fn key(number: u64) -> KeyId {
    KeyId::from_random(number)
}

#[test]
fn without_refusals_there_is_one_sentence() {
    let calm = "No call was refused in the last hour.\n";
    assert_eq!(said(&[], &[]), calm);
    assert_eq!(said(&[row(60, "monitor/chatgpt", key(1), OK, 9, 10)], &[]), calm);
}

#[test]
fn for_want_of_slots_it_names_keys_endpoints_minute_and_three_cures() {
    let rows = [
        row(120, "monitor/chatgpt", key(1), OK, 50, 10),
        row(120, "monitor/chatgpt", key(1), NO_SLOT, 30, 10),
        row(105, "monitor/gemini", key(2), NO_SLOT, 2, 9),
        row(90, "monitor/gemini", key(1), NO_SLOT, 1, 10),
    ];
    let burst: Vec<_> = (0..5).map(|call| refused(call * 100, 10)).collect();
    assert_eq!(
        said(&rows, &burst),
        "In the last hour 33 of 83 calls were refused because all slots were taken (429).\n\
         They came with batch worker (31) and …9f3a (2), on chatgpt (30) and gemini (3).\n\
         The worst minute was 12:28, with 33 refusals.\n\
         All slots were taken for about 30 s of it.\n\
         Send at most 10 at once, over all keys together. Price: nothing.\n\
         Send them as tasks: they wait for a slot instead of being refused. Price: 2 credits less an answer.\n\
         At the peak about 15 wanted a slot at once: Hobby with 20 slots would have sufficed. Price: $100 a month.\n"
    );
}

#[test]
fn the_rate_limit_needs_no_larger_plan() {
    let said = said(&[row(60, "monitor/chatgpt", key(1), RATE, 41, 2)], &[]);
    assert!(
        said.starts_with("In the last hour 41 of 41 calls were refused by the rate limit (429).\n"),
        "{said}"
    );
    assert!(said.contains("come back after Retry-After. Price: nothing."), "{said}");
    assert!(!said.contains("a month") && !said.contains("Send at most"), "{said}");
}

#[test]
fn for_want_of_credits_it_says_until_when() {
    let rows = [
        row(60, "monitor/chatgpt", key(1), CREDITS, 6, 2),
        row(60, "monitor/chatgpt", key(1), NO_SLOT, 4, 10),
    ];
    let said = said(&rows, &[]);
    let first = "4 because all slots were taken (429) and 6 for want of credits (403).";
    assert!(said.contains(first), "{said}");
    assert!(
        said.contains("3 credits are left until 25 Nov 2026; a larger plan adds its credits at once."),
        "{said}"
    );
}

#[test]
fn many_keys_are_named_by_the_most_frequent() {
    let rows: Vec<_> =
        (1..6).map(|number| row(60, "monitor/chatgpt", key(number), NO_SLOT, number, 10)).collect();
    let said = said(&rows, &[]);
    assert!(said.contains("They came mostly with "), "{said}");
    assert!(said.contains(", on chatgpt (15)."), "{said}");
}

#[test]
fn peak_wanted_is_slots_in_use_and_refusals_of_the_same_second() {
    assert_eq!(peak_wanted(&[]), None);
    let lines = [
        refused(0, 10),
        refused(999, 9),
        refused(1000, 10),
        refused(2000, 10),
        refused(2001, 10),
        refused(2002, 10),
    ];
    assert_eq!(peak_wanted(&lines), Some(13));
}

#[test]
fn without_refusals_peak_wanted_is_the_peak() {
    let rows = [row(60, "monitor/chatgpt", key(1), OK, 9, 7), row(45, "monitor/chatgpt", key(1), OK, 9, 4)];
    assert_eq!(Hour::of(&rows, STEP).wanted, Some(7));
    assert_eq!(Hour::of(&[], STEP).wanted, None);
}

#[test]
fn a_peak_beyond_every_plan_is_said() {
    let lines: Vec<_> = (0..300).map(|call| refused(call, 10)).collect();
    let said = said(&[row(60, "monitor/chatgpt", key(1), NO_SLOT, 300, 10)], &lines);
    assert!(said.contains("about 310 wanted a slot at once: more than any plan has."), "{said}");
}
