use crate::history::{Reply, What};
use crate::made::{headers, made};

fn said(status: u16, limits: [Option<i64>; 8], retry_after: bool) -> crate::made::Made {
    let reply = Reply { status, id: "r1".into(), limits, retry_after };
    made().looks(5, 1).at(10, What::Answered { request: 1, reply })
}

#[test]
fn headers_that_agree_are_right_on_any_status() {
    for status in [200, 400, 429, 500, 503] {
        said(status, headers([2, 1, 1]), true).holds();
    }
}

#[test]
fn an_answer_without_limit_headers_is_found() {
    said(200, [None; 8], true).breaks("no limit headers");
    said(429, [None; 8], true).breaks("no limit headers");
}

#[test]
fn a_503_without_a_decision_carries_none_and_says_when_to_ask_again() {
    said(503, [None; 8], true).holds();
    said(503, [None; 8], false).breaks("nothing says when to ask again");
}

#[test]
fn headers_of_which_some_are_missing_are_found() {
    let mut some = headers([2, 1, 1]);
    some[3] = None;
    said(503, some, true).breaks("some of its limit headers are missing");
}

#[test]
fn families_that_differ_are_found() {
    let mut differ = headers([2, 1, 1]);
    differ[6] = Some(2);
    said(200, differ, true).breaks("its two families differ");
}

#[test]
fn a_remaining_that_is_not_limit_minus_current_is_found() {
    said(200, headers([2, 1, 0]), true).breaks("0 remain");
}

#[test]
fn more_in_use_than_the_limit_is_found_unless_the_limit_fell() {
    said(200, headers([2, 3, 0]), true).breaks("3 slots in use");
    made().plan(1, 3, 0, Some(1)).plan(2, 2, 2, Some(3)).looks(5, 1).answered(10, 1, 200, [2, 3, 0]).holds();
}

#[test]
fn a_limit_that_was_not_in_force_is_found_once_the_change_was_confirmed() {
    let before = |sent| made().plan(1, 3, 10, Some(20)).looks(sent, 1).answered(sent + 5, 1, 200, [2, 0, 2]);
    before(15).holds();
    before(25).breaks("a limit of 2, which was not in force");
}

#[test]
fn an_answer_that_counts_no_slot_for_itself_is_found() {
    made()
        .asks(5, 1, 0, "a")
        .answered(30, 1, 200, [2, 0, 2])
        .books("charge", -7, Some("r1"))
        .breaks("admitted as number 0 of 2");
}

#[test]
fn a_key_that_is_not_known_is_found() {
    let faults = said(401, [None; 8], false).faults();
    assert!(faults.iter().any(|words| words.contains("its key was not known")), "{faults:?}");
}

#[test]
fn asks_on_their_way_may_count_for_a_moment_after_redis_was_lost_and_not_later() {
    use crate::history::Link;
    let server = |is_there| What::Server { server: Link::Redis, is_there, words: "in a test" };
    let lost = || made().at(100, server(false)).at(200, server(true));
    let looked = |made: crate::made::Made, ms: u64| made.looks(ms, 1).answered(ms + 5, 1, 429, [2, 7, 0]);
    looked(lost(), 1_000).holds();
    looked(lost(), 9_000).breaks("7 slots in use, which no limit allowed lately");
    looked(made(), 1_000).breaks("7 slots in use, which no limit allowed lately");
}
