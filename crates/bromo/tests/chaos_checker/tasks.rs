use crate::history::{TaskState, What};
use crate::made::made;

#[test]
fn a_task_that_completed_once_and_was_charged_once_is_right() {
    made()
        .task(1, 1, "a", "t1")
        .reads(50, "t1", "PROCESSING", None, None)
        .reads(100, "t1", "COMPLETED", Some("done"), None)
        .books("charge", -5, Some("t1"))
        .holds();
}

#[test]
fn a_task_that_is_not_there_is_found() {
    made()
        .task(1, 1, "a", "t1")
        .at(
            100,
            What::TaskRead { request: 9, account: 0, id: "t1".into(), http: 404, task: TaskState::default() },
        )
        .reads(200, "t1", "FAILED", Some("done"), None)
        .breaks("is not there");
}

#[test]
fn a_task_that_never_ends_is_found() {
    made()
        .task(1, 1, "a", "t1")
        .reads(100, "t1", "PROCESSING", None, None)
        .breaks("PROCESSING, charged None");
    made().task(1, 1, "a", "t1").breaks("never read");
}

#[test]
fn a_task_that_ends_twice_is_found() {
    made()
        .task(1, 1, "a", "t1")
        .reads(100, "t1", "FAILED", Some("one"), None)
        .reads(200, "t1", "FAILED", Some("two"), None)
        .breaks("ended twice");
}

#[test]
fn a_task_whose_webhook_tells_another_end_is_found() {
    made()
        .task(1, 1, "a", "t1")
        .posts(50, "t1", Some(0), true)
        .reads(100, "t1", "FAILED", Some("other"), Some(true))
        .breaks("ended twice");
}

#[test]
fn a_task_that_had_ended_and_runs_again_is_found() {
    made()
        .task(1, 1, "a", "t1")
        .reads(100, "t1", "FAILED", Some("done"), None)
        .reads(200, "t1", "PROCESSING", None, None)
        .reads(300, "t1", "FAILED", Some("done"), None)
        .breaks("had ended and is PROCESSING again");
}

#[test]
fn one_key_with_two_tasks_is_found() {
    made()
        .task(1, 1, "a", "t1")
        .task(10, 2, "a", "t2")
        .reads(100, "t1", "FAILED", Some("done"), None)
        .reads(100, "t2", "FAILED", Some("done"), None)
        .breaks("is task t1 and task t2");
}

#[test]
fn a_completed_task_that_was_not_charged_is_found() {
    made()
        .task(1, 1, "a", "t1")
        .reads(100, "t1", "COMPLETED", Some("done"), None)
        .breaks("COMPLETED, charged None");
}

#[test]
fn a_failed_task_that_was_charged_is_found() {
    made()
        .task(1, 1, "a", "t1")
        .reads(100, "t1", "FAILED", Some("done"), None)
        .books("charge", -5, Some("t1"))
        .breaks("FAILED, charged Some");
}

#[test]
fn an_end_that_is_told_before_its_task_is_acknowledged_counts_too() {
    made()
        .posts(1, "t1", Some(0), true)
        .task(1, 1, "a", "t1")
        .reads(100, "t1", "FAILED", Some("other"), Some(true))
        .breaks("ended twice");
}

#[test]
fn an_answer_that_was_on_its_way_while_the_end_was_told_is_right() {
    made()
        .task(1, 1, "a", "t1")
        .posts(50, "t1", Some(0), true)
        .reads_as_of(40, 60, "t1", "PROCESSING", None)
        .reads(100, "t1", "FAILED", Some("done"), Some(true))
        .holds();
}
