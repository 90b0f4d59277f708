use askama::Template;
use bromo_engine::webhook_test::Tested;
use bromo_providers::webhook::{Reception, SendError};
use bromo_rules::egress::UrlError;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::member::Role;
use bromo_rules::task::TaskId;
use bromo_rules::time::Timestamp;
use bromo_rules::webhook::WebhookSecret;
use bromo_store::{DeliveryAttempt, DeliveryStage, DeliveryState, ListedDelivery};

use super::resend::{Resend, since};
use super::secret::{Disable, Made, Rotate, Secret, Signing, verify};
use super::test::Test;
use super::{Narrowed, Row, Webhooks, address, first_task};
use crate::form::Form;
use crate::moment::Zone;
use crate::pages::tasks::tests::frame;

const NOW: Timestamp = Timestamp::from_millis(1_764_000_187_214);
const EVIL: &str = "<script>alert(1)</script>";
/// The reference.
const DOCS: &str = include_str!("../../../../../docs/webhooks.md");

fn delivery(stage: DeliveryStage) -> Row {
    let attempt = DeliveryAttempt {
        number: 3,
        at: NOW,
        took_ms: 20,
        status: Some(500),
        error: None,
        response: EVIL.as_bytes().to_vec(),
    };
    Row(ListedDelivery {
        task: TaskId::new(NOW, [7; 10]),
        endpoint: Endpoint::Gemini,
        url: "https://hooks.example.com:8443/a?token=secret".to_owned(),
        booked_at: NOW,
        stage,
        state: DeliveryState { attempts: 3, delivered_at: None, due_at: Some(NOW) },
        last: Some(attempt),
    })
}

fn list(rows: Vec<Row>, failed: u64, query: &str) -> Webhooks {
    Webhooks {
        frame: frame(Role::Owner),
        rows,
        narrowed: Narrowed::of(&Form::parse(query.as_bytes())),
        failed,
        signs: true,
        newest: None,
        older: None,
        snippets: first_task("http://a", super::EXAMPLE_URL),
    }
}

#[test]
fn a_list_shows_host_and_path_and_keeps_the_query_to_itself() {
    assert_eq!(address("https://hooks.example.com:8443/a?token=secret"), "hooks.example.com:8443/a");
    assert_eq!(address("https://hooks.example.com/"), "hooks.example.com/");
    let html = list(DeliveryStage::ALL.map(delivery).into(), 1_000, "").render().unwrap();
    assert!(!html.contains("token=secret") && !html.contains(EVIL));
    assert!(html.contains("1,000+") && html.contains("gave up") && html.contains("retrying"));
}

#[test]
fn no_deliveries_and_none_that_pass_are_two_things() {
    let empty = list(Vec::new(), 0, "").render().unwrap();
    assert!(empty.contains("No deliveries yet") && empty.contains("hooks.example.com/answers"));
    let none = list(Vec::new(), 0, "state=gave-up&host=a").render().unwrap();
    assert!(none.contains("No delivery passes the filters") && !none.contains("No deliveries yet"));
    let further = Webhooks { older: Some("/webhooks?before=7".to_owned()), ..list(Vec::new(), 0, "host=a") };
    assert!(further.render().unwrap().contains("Go on"));
}

#[test]
fn a_filter_that_is_not_understood_says_so() {
    let narrowed = Narrowed::of(&Form::parse(b"state=lost&host=Hooks.Example.com"));
    assert_eq!(narrowed.filter.stage, None);
    assert_eq!(narrowed.filter.host.as_deref(), Some("hooks.example.com"));
    assert_eq!(narrowed.chips.iter().filter(|chip| chip.fault.is_some()).count(), 1);
}

#[test]
fn what_is_shown_to_verify_stands_in_the_reference_too() {
    for snippet in verify() {
        for part in snippet.code.split("\n\n") {
            assert!(DOCS.contains(part.trim()), "{}: {part}", snippet.name);
        }
    }
}

#[test]
fn a_secret_is_shown_on_the_page_that_made_it_alone() {
    let made = WebhookSecret::new([7; WebhookSecret::RANDOM_BYTES]);
    let until = NOW.plus(std::time::Duration::from_hours(24));
    let signing = Signing::On { both_until: Some(until) };
    let html = Made { frame: frame(Role::Owner), secret: made.clone(), signing, snippets: verify() };
    let html = html.render().unwrap();
    assert!(html.contains(made.reveal()) && html.contains("Both sign until"));
    let html = Secret { frame: frame(Role::Owner), signing, snippets: verify() }.render().unwrap();
    assert!(html.contains("24 h 00 min left") && !html.contains(made.reveal()));
    let html = Secret { frame: frame(Role::Viewer), signing: Signing::Off, snippets: verify() };
    let html = html.render().unwrap();
    assert!(html.contains("unsigned") && !html.contains("/webhooks/secret/rotate"));
}

#[test]
fn changing_the_secret_warns_and_a_viewer_cannot_do_it() {
    let on = Signing::On { both_until: None };
    let disable = |role| Disable { frame: frame(role), signing: on }.render().unwrap();
    assert!(
        disable(Role::Member).contains("will reject them") && !disable(Role::Viewer).contains("btn danger")
    );
    let rotate = |signing, role| Rotate { frame: frame(role), signing }.render().unwrap();
    assert!(!rotate(on, Role::Viewer).contains("btn main"));
    assert!(rotate(on, Role::Owner).contains("24 hours"));
    let again = rotate(Signing::On { both_until: Some(NOW) }, Role::Owner);
    assert!(again.contains("ends the oldest of three"));
}

#[test]
fn a_resend_names_how_many_before_it_starts() {
    let resend = |failed, role| Resend { frame: frame(role), since: NOW, failed, fault: None };
    assert_eq!(resend(1, Role::Owner).count(), "1 delivery");
    assert_eq!(resend(10_000, Role::Owner).count(), "10,000+ deliveries");
    let post = r#"<form method="post""#;
    assert!(resend(42, Role::Owner).render().unwrap().contains("Resend 42 deliveries"));
    assert!(!resend(0, Role::Owner).render().unwrap().contains(post));
    assert!(!resend(42, Role::Viewer).render().unwrap().contains(post));
}

#[test]
fn since_is_read_in_the_zone_of_the_reader() {
    let zone = Zone::lookup("Asia/Kolkata").unwrap();
    let read = |text: &str| since(&Form::parse(format!("since={text}").as_bytes()), &zone, NOW);
    assert_eq!(read(""), Ok(Timestamp::from_millis(NOW.millis() - 86_400_000)));
    assert_eq!(read("2025-11-24T21:33"), Ok(Timestamp::from_millis(1_764_000_180_000)));
    assert_eq!(read("2025-11-24T16:03:00.000Z"), Ok(Timestamp::from_millis(1_764_000_180_000)));
    assert!(read("yesterday").is_err());
}

fn tested(outcome: Result<Reception, SendError>) -> String {
    let tested = Tested {
        at: NOW,
        took: std::time::Duration::from_millis(38),
        signed: vec![("webhook-id", "msg_1".to_owned())],
        body: r#"{"test":true}"#.to_owned(),
        outcome,
    };
    let test = Test {
        frame: frame(Role::Owner),
        url: EVIL.to_owned(),
        tested: Some(tested),
        fault: None,
        timeout: "15.00 s".to_owned(),
    };
    test.render().unwrap()
}

#[test]
fn a_test_shows_what_came_back_in_place() {
    let reception = |status| Reception { status, retry_after: None, body: EVIL.as_bytes().to_vec() };
    let taken = tested(Ok(reception(204)));
    assert!(taken.contains("The receiver took it") && taken.contains("38 ms") && !taken.contains(EVIL));
    assert!(tested(Ok(reception(302))).contains("Only a 2xx"));
    assert!(tested(Ok(reception(410))).contains("given up at once"));
    assert!(tested(Err(SendError::TimedOut)).contains("would be tried again"));
    assert!(tested(Err(SendError::Url(UrlError::NotHttp))).contains("Nothing was sent"));
}
