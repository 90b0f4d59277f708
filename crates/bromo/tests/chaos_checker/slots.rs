use std::time::Duration;

use crate::history::{Link, LinkState, What};
use crate::made::made;

#[test]
fn as_many_calls_as_slots_are_allowed() {
    made().call(1, 0, "a", 10, Some(50)).call(2, 1, "b", 20, Some(40)).call(3, 2, "c", 41, Some(60)).holds();
}

#[test]
fn one_call_more_than_slots_is_found_whichever_nodes_it_is_spread_over() {
    made()
        .call(1, 0, "a", 10, Some(50))
        .call(2, 1, "b", 20, Some(40))
        .call(3, 2, "c", 30, Some(60))
        .breaks("3 calls at once");
}

#[test]
fn a_call_admitted_under_the_old_limit_may_still_run() {
    made()
        .plan(1, 1, 100, Some(110))
        .call(1, 0, "a", 10, Some(500))
        .call(2, 1, "b", 20, Some(400))
        .asks(600, 1, 0, "c")
        .call(3, 2, "c", 601, Some(602))
        .holds();
}

#[test]
fn a_call_admitted_after_a_downgrade_beside_older_ones_is_found() {
    made()
        .plan(1, 1, 100, Some(110))
        .call(1, 0, "a", 10, Some(500))
        .asks(200, 1, 0, "b")
        .call(2, 1, "b", 201, Some(400))
        .breaks("under a limit of 1");
}

#[test]
fn while_a_downgrade_is_on_its_way_either_limit_may_be_in_force() {
    made()
        .plan(1, 1, 100, Some(300))
        .call(1, 0, "a", 10, Some(500))
        .asks(200, 1, 0, "b")
        .call(2, 1, "b", 201, Some(400))
        .holds();
}

#[test]
fn an_upgrade_is_in_force_once_it_was_sent_and_not_before() {
    let three = || {
        made().call(1, 0, "a", 10, Some(500)).call(2, 0, "b", 20, Some(500)).call(3, 0, "c", 200, Some(500))
    };
    three().plan(1, 3, 150, Some(160)).holds();
    three().plan(1, 3, 250, Some(260)).breaks("3 calls at once");
}

#[test]
fn a_change_that_was_never_confirmed_may_be_in_force() {
    made()
        .plan(1, 3, 5, None)
        .call(1, 0, "a", 10, Some(500))
        .call(2, 0, "b", 20, Some(500))
        .call(3, 0, "c", 200, Some(500))
        .holds();
}

#[test]
fn a_further_attempt_of_a_call_counts_as_admitted_with_its_first() {
    made()
        .asks(5, 1, 0, "a")
        .call(1, 0, "a", 10, Some(50))
        .asks(6, 2, 0, "b")
        .call(2, 0, "b", 20, Some(900))
        .plan(1, 1, 100, Some(110))
        .call(3, 0, "a", 200, Some(300))
        .holds();
}

#[test]
fn a_further_attempt_of_a_task_needs_the_limit_of_its_own_time() {
    made()
        .task(1, 1, "a", "t1")
        .call(1, 0, "a", 10, Some(50))
        .asks(6, 2, 0, "b")
        .call(2, 0, "b", 20, Some(9_000))
        .plan(1, 1, 100, Some(110))
        .call(3, 0, "a", 5_000, Some(5_100))
        .reads(100_001, "t1", "FAILED", Some("done"), None)
        .breaks("under a limit of 1");
}

fn beside_a_frozen_node(frozen: u64, woken: u64, began: u64) -> crate::made::Made {
    made()
        .call(1, 0, "a", 10, None)
        .call(2, 0, "b", 20, None)
        .at(frozen, What::NodeFrozen { node: 0 })
        .at(woken, What::NodeWoken { node: 0 })
        .call(3, 1, "c", began, Some(began + 10))
        .at(woken + 20, What::CallEnded { call: 1, answered: None })
        .at(woken + 20, What::CallEnded { call: 2, answered: None })
}

#[test]
fn calls_of_a_node_that_is_frozen_beyond_its_lease_are_counted_apart() {
    beside_a_frozen_node(1_000, 13_000, 12_000).holds();
}

#[test]
fn calls_of_a_frozen_node_count_while_its_lease_lasts() {
    beside_a_frozen_node(1_000, 13_000, 7_000).breaks("3 calls at once");
}

#[test]
fn calls_of_a_node_that_is_cut_off_count_as_all_others() {
    made()
        .call(1, 0, "a", 10, Some(20_000))
        .call(2, 0, "b", 20, Some(20_000))
        .at(1_000, What::Linked { node: 0, link: Link::Redis, state: LinkState::Silent })
        .call(3, 1, "c", 12_000, Some(12_010))
        .breaks("3 calls at once");
}

#[test]
fn an_orphan_that_goes_on_after_its_node_woke_is_found() {
    made()
        .call(1, 0, "a", 10, Some(15_000))
        .at(1_000, What::NodeFrozen { node: 0 })
        .at(13_000, What::NodeWoken { node: 0 })
        .breaks("went on after its node woke");
}

#[test]
fn an_orphan_that_answers_somebody_is_found() {
    made()
        .asks(5, 1, 0, "a")
        .call(1, 0, "a", 10, Some(12_000))
        .at(1_000, What::NodeFrozen { node: 0 })
        .at(13_000, What::NodeWoken { node: 0 })
        .answered(13_001, 1, 200, [2, 1, 1])
        .books("charge", -7, Some("r1"))
        .breaks("by a call that was an orphan");
}

#[test]
fn a_slot_that_does_not_come_back_is_found() {
    let mut history = made();
    history.probes[0] = (100_500, 1);
    history.breaks("its slots never came back");
}

#[test]
fn a_slot_that_comes_back_late_is_found() {
    let mut history = made();
    history.probes[0] = (120_000, 2);
    history.breaks("were back 20.0 s after");
}

#[test]
fn a_node_that_does_not_end_when_it_is_asked_to_is_found() {
    made()
        .at(5, What::NodeStarted { node: 1 })
        .at(10, What::NodeAsked { node: 1 })
        .at(20, What::NodeEnded { node: 1, code: Some(0) })
        .at(30, What::NodeAsked { node: 0 })
        .at(90, What::NodeEnded { node: 0, code: None })
        .breaks("did not end");
}

#[test]
fn a_node_that_breaks_while_it_ends_is_found() {
    made()
        .at(10, What::NodeAsked { node: 0 })
        .at(90, What::NodeEnded { node: 0, code: Some(101) })
        .breaks("ended with 101");
}

#[test]
fn a_task_whose_node_was_in_trouble_may_have_been_admitted_long_before_its_call() {
    let late = || {
        made()
            .task(1, 1, "a", "t1")
            .call(1, 1, "b", 10, Some(15_000))
            .plan(1, 1, 100, Some(110))
            .call(2, 0, "a", 9_000, Some(9_010))
            .reads(100_001, "t1", "FAILED", Some("done"), None)
    };
    late().breaks("under a limit of 1");
    for link in [Link::Postgres, Link::Redis, Link::Provider] {
        for state in [LinkState::Slow(Duration::from_millis(300)), LinkState::Reset, LinkState::Silent] {
            late()
                .at(50, What::Linked { node: 0, link, state })
                .at(8_990, What::Linked { node: 0, link, state: LinkState::Whole })
                .holds();
        }
        late().at(50, What::Server { server: link, is_there: false, words: "away" }).holds();
    }
}

#[test]
fn a_node_that_ends_by_itself_is_found_unless_something_was_wrong_with_it() {
    let broke = || made().at(20_000, What::NodeBroke { node: 0, code: 1 });
    broke().breaks("ended by itself with 1");
    broke().at(5_000, What::NodeFrozen { node: 0 }).at(19_000, What::NodeWoken { node: 0 }).holds();
    broke()
        .at(5_000, What::NodeFrozen { node: 1 })
        .at(19_000, What::NodeWoken { node: 1 })
        .breaks("ended by itself");
}
