use askama::Template;
use bromo_rules::credit::{Credits, Price};
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::AccountId;
use bromo_rules::member::Role;
use bromo_rules::task::{Depth, Priority, Task, TaskId, TaskState};
use bromo_rules::time::Timestamp;
use bromo_store::{DeliveryAttempt, DeliveryStage, DeliveryState};

use super::answer::Response;
use super::change::{Cancel, Clear};
use super::detail::{Delivery, Detail, Place, Room, Seen, reasons};
use super::{Figures, Narrowed, Row, Tasks, bars, cut, delivery_badge, first_task, run, wait};
use crate::form::Form;
use crate::frame::{Frame, Slots};
use crate::samples;

const NOW: Timestamp = Timestamp::from_millis(1_764_000_187_214);
const EVIL: &str = "<script>alert(1)</script>";

const fn ago(ms: i64) -> Timestamp {
    Timestamp::from_millis(NOW.millis() - ms)
}

/// What stands around a page that a member of this role looks at.
pub(in crate::pages) fn frame(role: Role) -> Frame {
    Frame { now: NOW, ..samples::frame(role, "/tasks") }
}

fn task(state: TaskState) -> Task {
    let started = state != TaskState::Queued;
    Task {
        id: TaskId::new(NOW, [7; 10]),
        account: AccountId::from_random(1),
        endpoint: Endpoint::Chatgpt,
        priority: Priority::DEFAULT,
        webhook: Some(format!("https://hooks.example.com/a?token={EVIL}").into()),
        idempotency_key: Some(EVIL.into()),
        price: Price { fixed: Credits::new(5), clusters_max: 0 },
        created_at: ago(10_000),
        state,
        attempts: u8::from(started),
        started_at: started.then(|| ago(8_000)),
        ended_at: state.is_final().then(|| ago(5_000)),
        charged: Credits::new(if state == TaskState::Completed { 5 } else { 0 }),
    }
}

fn detail(state: TaskState, role: Role) -> Detail {
    Detail {
        frame: frame(role),
        task: task(state),
        place: None,
        response: None,
        delivery: None,
        attempts_max: 5,
        kept_until: None,
        keep: "24 h".to_owned(),
        too_late: false,
    }
}

fn list(rows: Vec<Row>, query: &str, role: Role) -> Tasks {
    let (depth, slots) = (Depth::default(), Slots { used: 0, limit: 10 });
    Tasks {
        frame: frame(role),
        figures: Figures { depth, queued_max: 100_000, slots }.render().unwrap(),
        rows,
        narrowed: Narrowed::of(&Form::parse(query.as_bytes())),
        sought: String::new(),
        attempts_max: 5,
        keep: "24 h".to_owned(),
        newest: None,
        older: None,
        snippets: first_task("http://a", ""),
    }
}

#[test]
fn durations_are_those_that_passed_and_never_negative() {
    assert_eq!(wait(&task(TaskState::Queued), NOW).as_secs(), 10);
    assert_eq!(run(&task(TaskState::Queued), NOW), None);
    assert_eq!(wait(&task(TaskState::Completed), NOW).as_secs(), 2);
    assert_eq!(run(&task(TaskState::Completed), NOW).unwrap().as_secs(), 3);
    let back = Task { started_at: Some(ago(20_000)), ..task(TaskState::Processing) };
    assert!(wait(&back, NOW).is_zero());
}

#[test]
fn a_task_says_in_a_sentence_what_became_of_it() {
    let says = |state| detail(state, Role::Owner).sentence();
    assert_eq!(says(TaskState::Queued), "Has waited 10.00 s for its first attempt.");
    assert_eq!(says(TaskState::Processing), "Attempt 1 of 5 runs; it waited 2.00 s and started 8.00 s ago.");
    assert_eq!(
        says(TaskState::Completed),
        "Answered 3.00 s after its start, 1 attempt; it had waited 2.00 s."
    );
    assert!(says(TaskState::Failed).ends_with("Nothing was charged."));
}

#[test]
fn a_queued_task_says_why_it_waits() {
    let free = Slots { used: 1, limit: 10 };
    let seen = |slots, ahead, room, balance| Seen { slots, ahead, room, balance: Credits::new(balance) };
    let why = |attempts, seen: &Seen| reasons(&Task { attempts, ..task(TaskState::Queued) }, seen, 5);
    assert_eq!(
        why(0, &seen(free, 0, Some(Room::Free), 9)),
        ["Nothing holds it up: it starts within moments."]
    );
    let full = Slots { used: 10, limit: 10 };
    assert_eq!(why(2, &seen(full, 3, Some(Room::Open), 4)).len(), 5);
    assert!(why(0, &seen(free, 0, None, 9))[0].contains("no provider"));
}

#[test]
fn a_filter_that_is_not_understood_says_so_and_the_rest_is_applied() {
    let narrowed = Narrowed::of(&Form::parse(b"state=failed&endpoint=nonsense&before=x"));
    assert_eq!((narrowed.filter.state, narrowed.filter.endpoint), (Some(TaskState::Failed), None));
    assert_eq!(narrowed.chips.iter().filter(|chip| chip.fault.is_some()).count(), 1);
    assert_eq!(narrowed.chips[0].without, "/tasks?endpoint=nonsense");
}

#[test]
fn a_delivery_has_a_word_for_each_stage() {
    let state = |attempts, delivered_at| DeliveryState { attempts, delivered_at, due_at: None };
    let word = |stage, attempts, at| delivery_badge(stage, state(attempts, at)).1;
    assert_eq!(word(DeliveryStage::Pending, 0, None), "due");
    assert_eq!(word(DeliveryStage::Pending, 2, None), "retrying");
    assert_eq!(word(DeliveryStage::Pending, 2, Some(NOW)), "due again");
    assert_eq!(word(DeliveryStage::Delivered, 2, Some(NOW)), "delivered");
    assert_eq!(word(DeliveryStage::GivenUp, 2, None), "gave up");
}

#[test]
fn a_long_key_is_cut_between_characters() {
    assert_eq!(cut("short"), "short");
    assert_eq!(cut(&"é".repeat(30)), format!("{}…", "é".repeat(16)));
}

#[test]
fn priorities_with_nothing_queued_have_no_bar() {
    let mut depth = Depth::default();
    (depth.queued[0], depth.queued[9]) = (7, 3);
    let html = bars(&depth).to_string();
    assert!(html.find("priority 10") < html.find("priority 1<") && !html.contains("priority 5"));
}

#[test]
fn an_empty_list_teaches_and_a_filtered_one_offers_the_way_back() {
    let empty = list(Vec::new(), "", Role::Owner).render().unwrap();
    assert!(empty.contains("curl -i http://a/v1/async/task") && empty.contains(r#"id="task-figures""#));
    let none = list(Vec::new(), "state=FAILED", Role::Owner).render().unwrap();
    assert!(none.contains("No task passes the filters") && !none.contains("curl"));
}

#[test]
fn a_list_escapes_what_customers_wrote() {
    let state = DeliveryState { attempts: 1, delivered_at: None, due_at: None };
    let delivery = Some((DeliveryStage::GivenUp, state));
    let rows =
        TaskState::ALL.map(|state| Row { task: task(state), delivery, now: NOW }).into_iter().collect();
    let html = list(rows, "", Role::Viewer).render().unwrap();
    assert!(!html.contains(EVIL) && html.contains("gave up") && html.contains("PROCESSING"));
    assert!(!html.contains("/tasks/clear") && html.contains("Owners and members"));
}

#[test]
fn a_full_queue_says_full() {
    let mut depth = Depth::default();
    depth.queued[0] = 100_000;
    let slots = Slots { used: 10, limit: 10 };
    let html = Figures { depth, queued_max: 100_000, slots }.render().unwrap();
    assert!(html.contains("of 100,000, full") && html.contains("100,000</a>"));
}

#[test]
fn a_task_of_the_worst_kind_is_shown_as_text() {
    let attempts = vec![DeliveryAttempt {
        number: 1,
        at: ago(100),
        took_ms: 20,
        status: Some(500),
        error: None,
        response: EVIL.as_bytes().to_vec(),
    }];
    let state = DeliveryState { attempts: 1, delivered_at: None, due_at: Some(NOW) };
    let json = format!(r#"{{"text":"{EVIL}","sources":[{{"url":"javascript:x","label":"{EVIL}"}}]}}"#);
    let mut page = detail(TaskState::Completed, Role::Owner);
    page.response = Some(Response::read(json.as_bytes()));
    page.delivery = Some(Delivery { stage: DeliveryStage::Pending, state, attempts });
    let html = page.render().unwrap();
    assert!(!html.contains(EVIL) && !html.contains(r#"href="javascript"#));
    assert!(html.contains("retrying") && html.contains("Redeliver now"));
}

#[test]
fn a_waiting_task_shows_its_place_and_a_viewer_no_button() {
    let mut page = detail(TaskState::Queued, Role::Viewer);
    let reasons = vec!["All 10 slots are in use.".to_owned()];
    page.place = Some(Place { position: 1204, starts_at: NOW, reasons });
    let html = page.render().unwrap();
    assert!(html.contains("place 1,204") && html.contains("All 10 slots"));
    assert!(!html.contains("/cancel") && !html.contains("<form method=\"post\""));
}

#[test]
fn danger_names_its_consequence_and_a_viewer_cannot_do_it() {
    let cancel = |state, role| Cancel { frame: frame(role), task: task(state) }.render().unwrap();
    assert!(cancel(TaskState::Processing, Role::Member).contains("REQUEST_CANCELED"));
    assert!(cancel(TaskState::Queued, Role::Member).contains("its idempotency key is free"));
    assert!(!cancel(TaskState::Queued, Role::Viewer).contains("btn danger"));
    let mut depth = Depth { processing: 2, ..Depth::default() };
    let clear = |depth, role| Clear { frame: frame(role), depth }.render().unwrap();
    assert!(clear(depth, Role::Owner).contains("Nothing waits"));
    depth.queued[0] = 1234;
    let html = clear(depth, Role::Owner);
    assert!(html.contains("Delete 1,234 waiting tasks?") && html.contains("2 tasks that run go on"));
    assert!(!clear(depth, Role::Viewer).contains("btn danger"));
}
