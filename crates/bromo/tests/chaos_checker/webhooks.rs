use crate::made::{Made, made};

fn a_task(delivered: bool) -> Made {
    made().task(1, 1, "a", "t1").reads(100, "t1", "FAILED", Some("done"), Some(delivered))
}

#[test]
fn an_end_that_was_refused_and_told_again_is_right() {
    a_task(true).posts(50, "t1", Some(0), false).posts(60, "t1", Some(0), true).holds();
}

#[test]
fn an_end_that_is_told_twice_is_right() {
    a_task(true).posts(50, "t1", Some(0), true).posts(60, "t1", Some(0), true).holds();
}

#[test]
fn an_end_that_no_receiver_took_is_found() {
    a_task(true).posts(50, "t1", Some(0), false).breaks("no receiver took it");
}

#[test]
fn an_end_that_was_never_delivered_is_found() {
    a_task(false).breaks("was never delivered");
}

#[test]
fn a_post_without_a_valid_signature_is_found() {
    a_task(true).posts(50, "t1", None, true).breaks("was not signed");
}

#[test]
fn a_post_that_is_signed_for_another_account_is_found() {
    a_task(true).posts(50, "t1", Some(1), true).breaks("signed for another account");
}

#[test]
fn a_post_of_a_task_that_nobody_handed_in_is_found() {
    made().posts(50, "t9", Some(0), true).breaks("nobody handed in");
}
