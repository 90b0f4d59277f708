use crate::history::What;
use crate::made::{Made, made};

fn a_call() -> Made {
    made().asks(5, 1, 0, "a").call(1, 0, "a", 10, Some(20)).answered(30, 1, 200, [2, 1, 1])
}

#[test]
fn an_answer_with_its_charge_is_right() {
    a_call().books("charge", -7, Some("r1")).holds();
}

#[test]
fn an_answer_without_a_charge_is_found() {
    a_call().breaks("was answered and charged None");
}

#[test]
fn a_charge_that_stands_twice_is_found() {
    a_call().books("charge", -7, Some("r1")).books("charge", -7, Some("r1")).breaks("charged twice");
}

#[test]
fn a_task_that_was_charged_twice_is_found() {
    made()
        .task(1, 1, "a", "t1")
        .reads(100, "t1", "COMPLETED", Some("done"), None)
        .books("charge", -5, Some("t1"))
        .books("charge", -5, Some("t1"))
        .breaks("charged twice");
}

#[test]
fn an_answer_at_another_price_is_found() {
    a_call().books("charge", -6, Some("r1")).breaks("was answered and charged Some((0, 6))");
}

#[test]
fn a_failed_call_that_was_charged_is_found() {
    let failed = made().asks(5, 1, 0, "a").call(1, 0, "a", 10, Some(20)).answered(30, 1, 500, [2, 1, 1]);
    failed.books("charge", -7, Some("r1")).breaks("was answered with 500 and charged");
}

#[test]
fn a_charge_may_be_for_an_answer_that_was_lost_on_its_way() {
    made()
        .asks(5, 1, 0, "a")
        .call(1, 0, "a", 10, Some(20))
        .at(30, What::Unanswered { request: 1, hung_up: true })
        .books("charge", -7, Some("unknown"))
        .holds();
}

#[test]
fn a_charge_for_nothing_is_found() {
    made().books("charge", -7, Some("unknown")).breaks("for calls that nobody made");
    made().books("charge", -5, Some("unknown")).breaks("for no acknowledged task");
}

#[test]
fn a_balance_that_is_not_the_ledger_s_sum_is_found() {
    let mut history = made();
    history.off_balance = 1;
    history.breaks("its balance is 1001, its ledger's sum 1000");
}

#[test]
fn a_balance_below_zero_is_found() {
    made()
        .asks(5, 1, 0, "a")
        .at(30, What::Unanswered { request: 1, hung_up: true })
        .books("cycle", -995, None)
        .books("charge", -7, Some("unknown"))
        .breaks("takes it to -2");
}

fn a_grant(confirmed: bool) -> Made {
    let sent = made().at(5, What::GrantSent { grant: 1, account: 0, credits: 1_234, node: 0 });
    if confirmed { sent.at(9, What::GrantConfirmed { grant: 1 }) } else { sent }
}

#[test]
fn a_grant_that_is_not_booked_is_found_if_it_was_confirmed() {
    a_grant(false).holds();
    a_grant(true).books("grant", 1_234, None).holds();
    a_grant(true).breaks("is booked 0 times");
}

#[test]
fn a_grant_that_is_booked_twice_is_found() {
    a_grant(false).books("grant", 1_234, None).books("grant", 1_234, None).breaks("is booked 2 times");
}

#[test]
fn a_grant_that_nobody_made_is_found() {
    made().books("grant", 1, None).breaks("nobody granted 1");
}
