//! docs/webhooks.md, and the promise W1.

use std::time::Duration;

use bromo_rules::webhook::WebhookSecret;
use serde_json::{Value, json};

use crate::support::{Answer, Bromo, Customer, Received, Receiver, found, until};

/// A customer with its webhook secret.
async fn customer(bromo: &Bromo) -> (Customer, WebhookSecret) {
    named(bromo, "signer").await
}

async fn named(bromo: &Bromo, name: &str) -> (Customer, WebhookSecret) {
    let made = bromo.engine().create_account(name, "lite").await.unwrap();
    (Customer::new(bromo.running().api, made.account.id, made.key.reveal()), made.webhook_secret)
}

fn hook(url: &str) -> Value {
    json!({ "webhook": { "url": url } })
}

#[track_caller]
fn signed_by(received: &Received, secret: &WebhookSecret) -> (bool, bool) {
    let cloro = secret.verifies_cloro(
        received.header("x-cloro-timestamp"),
        received.header("x-cloro-signature"),
        &received.bytes,
    );
    let standard = secret.verifies_standard(
        received.header("webhook-id"),
        received.header("webhook-timestamp"),
        received.header("webhook-signature"),
        &received.bytes,
    );
    (cloro, standard)
}

/// The delivery log once it has so many attempts.
async fn attempts(customer: &Customer, id: &str, count: usize) -> Value {
    found("attempts in the delivery log", async || {
        let log = customer.get(&format!("async/task/{id}/deliveries")).await.body;
        (log["attempts"].as_array().unwrap().len() == count).then_some(log)
    })
    .await
}

/// The task once it was delivered.
async fn delivered(customer: &Customer, id: &str) -> Value {
    found("the delivery", async || {
        let body = customer.read(id).await.body;
        (body["webhook"]["delivered"] == true).then_some(body)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_task_is_told_once_signed_in_both_schemes() {
    let (bromo, receiver) = (Bromo::sandbox(), Receiver::start().await);
    let (customer, secret) = customer(&bromo).await;
    let id = customer.task("hi", hook(&receiver.url("/hook?token=abc"))).await;
    let whole = delivered(&customer, &id).await;
    let received = &receiver.received()[0];
    assert_eq!(
        (received.path.as_str(), received.header("content-type")),
        ("/hook?token=abc", "application/json")
    );
    let mut expected = whole.clone();
    expected.as_object_mut().unwrap().remove("webhook");
    assert_eq!(received.body, expected, "the body is what the task reads, without the webhook");
    assert_eq!(signed_by(received, &secret), (true, true));
    assert_eq!(received.header("x-cloro-webhook-id"), format!("{id}-1"));
    assert_eq!(received.header("webhook-id"), format!("msg_{id}"));
    assert!(whole["webhook"]["deliveredAt"].is_string());
    let log = attempts(&customer, &id, 1).await;
    assert_eq!(
        (&log["attempts"][0]["status"], &log["attempts"][0]["response"]),
        (&json!(200), &json!("noted"))
    );
    assert_eq!(log["delivery"]["nextAttemptAt"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_task_is_told_with_its_error() {
    let (bromo, receiver) = (Bromo::sandbox(), Receiver::start().await);
    let (customer, _) = customer(&bromo).await;
    let id = customer.task("[sandbox fail=refused] hi", hook(&receiver.url("/"))).await;
    delivered(&customer, &id).await;
    let body = &receiver.received()[0].body;
    assert_eq!((&body["task"]["status"], &body["credits"]["creditsCharged"]), (&json!("FAILED"), &json!(0)));
    assert_eq!(body["response"]["error"]["code"], "INTERNAL_SERVER_ERROR");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_delivery_is_made_again_by_the_schedule_with_a_fresh_signature() {
    let (bromo, receiver) = (Bromo::sandbox(), Receiver::start().await);
    let (customer, secret) = customer(&bromo).await;
    receiver.then([Answer::Status(500), Answer::Redirect(receiver.url("/elsewhere")), Answer::Busy(1200)]);
    let id = customer.task("hi", hook(&receiver.url("/hook"))).await;
    for (made, wait_s) in [(1, 120), (2, 240), (3, 1200)] {
        let log = attempts(&customer, &id, made).await;
        assert!(log["delivery"]["nextAttemptAt"].is_string(), "{log}");
        bromo.advance(Duration::from_secs(wait_s - 1));
        assert_eq!(receiver.count(), made, "not before its time");
        bromo.advance(Duration::from_secs(1 + wait_s / 10)); // The jitter.
    }
    delivered(&customer, &id).await;
    let received = receiver.received();
    assert_eq!(received.len(), 4);
    for (index, post) in received.iter().enumerate() {
        assert_eq!(post.path, "/hook", "a redirect is not followed");
        assert_eq!(signed_by(post, &secret), (true, true));
        assert_eq!(post.header("x-cloro-webhook-id"), format!("{id}-{}", index + 1));
        assert_eq!(post.header("webhook-id"), format!("msg_{id}"));
    }
    assert_ne!(received[0].header("webhook-timestamp"), received[1].header("webhook-timestamp"));
    let log = attempts(&customer, &id, 4).await;
    let statuses: Vec<_> =
        log["attempts"].as_array().unwrap().iter().map(|attempt| attempt["status"].clone()).collect();
    assert_eq!(statuses, [500, 302, 503, 200].map(Value::from));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_410_ends_the_delivery_and_a_redelivery_begins_it_anew() {
    let (bromo, receiver) = (Bromo::sandbox(), Receiver::start().await);
    let (customer, _) = customer(&bromo).await;
    receiver.then([Answer::Status(410), Answer::Status(500)]);
    let id = customer.task("hi", hook(&receiver.url("/"))).await;
    let log = attempts(&customer, &id, 1).await;
    assert_eq!(
        (&log["delivery"]["nextAttemptAt"], &log["delivery"]["deliveredAt"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(customer.read(&id).await.body["webhook"]["delivered"], false);
    let again = customer.post(&format!("async/task/{id}/redeliver"), "").await;
    assert_eq!((again.status, &again.body["success"]), (200, &json!(true)), "{again:?}");
    attempts(&customer, &id, 2).await;
    bromo.advance(Duration::from_secs(132)); // A new round: the first wait again.
    delivered(&customer, &id).await;
    assert_eq!(receiver.received()[2].header("x-cloro-webhook-id"), format!("{id}-3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_given_up_since_a_time_is_delivered_again() {
    let bromo = Bromo::with("[webhooks]\nallow_networks = [\"127.0.0.0/8\"]\nschedule_s = []\n");
    let receiver = Receiver::start().await;
    let (customer, _) = customer(&bromo).await;
    receiver.always(Answer::Status(500));
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(customer.task(&number.to_string(), hook(&receiver.url("/"))).await);
        attempts(&customer, &ids[number], 1).await;
        bromo.advance(Duration::from_secs(100));
    }
    receiver.always(Answer::Status(200));
    let since = customer.read(&ids[1]).await.body["task"]["createdAt"].clone();
    let reply = customer.post("async/redeliver", json!({ "since": since }).to_string()).await;
    assert_eq!((reply.status, reply.body), (200, json!({ "success": true, "redelivered": 2 })));
    for id in &ids[1..] {
        delivered(&customer, id).await;
    }
    assert_eq!(customer.read(&ids[0]).await.body["webhook"]["delivered"], false);
    for bad in ["", "{}", "{\"since\":\"yesterday\"}"] {
        assert_eq!(customer.post("async/redeliver", bad).await.code(), "VALIDATION_ERROR");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_nothing_to_redeliver_without_a_webhook_or_an_end() {
    let bromo = Bromo::sandbox();
    let (customer, _) = customer(&bromo).await;
    let id = customer.task("hi", json!({})).await;
    customer.ended(&id).await;
    let none = customer.post(&format!("async/task/{id}/redeliver"), "").await;
    assert_eq!((none.status, none.code()), (409, "RESOURCE_CONFLICT"));
    let log = customer.get(&format!("async/task/{id}/deliveries")).await;
    assert_eq!(log.body, json!({ "delivery": null, "attempts": [] }));
    assert_eq!(customer.post("async/task/unknown/redeliver", "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_signs_beside_the_old_one_for_a_day_and_a_disabled_one_not_at_all() {
    let (bromo, receiver) = (Bromo::sandbox(), Receiver::start().await);
    let (customer, old) = customer(&bromo).await;
    let new = bromo.engine().rotate_webhook_secret(customer.account).await.unwrap();
    let deliver = async |prompt: &str| {
        let id = customer.task(prompt, hook(&receiver.url("/"))).await;
        delivered(&customer, &id).await;
        receiver.received().into_iter().find(|post| post.task() == id).unwrap()
    };
    let both = deliver("one").await;
    assert_eq!((signed_by(&both, &new), signed_by(&both, &old)), ((true, true), (false, true)));
    bromo.advance(Duration::from_secs(24 * 3600));
    let only_new = deliver("two").await;
    assert_eq!((signed_by(&only_new, &new), signed_by(&only_new, &old)), ((true, true), (false, false)));
    bromo.engine().disable_webhook_secret(customer.account).await.unwrap();
    let unsigned = deliver("three").await;
    for name in ["x-cloro-signature", "x-cloro-timestamp", "x-cloro-webhook-id", "webhook-signature"] {
        assert!(!unsigned.headers.contains_key(name), "{name}");
    }
    let fresh = bromo.engine().rotate_webhook_secret(customer.account).await.unwrap();
    assert_eq!(signed_by(&deliver("four").await, &fresh), (true, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_not_in_the_data_folder_in_clear() {
    let bromo = Bromo::sandbox();
    let (_, secret) = customer(&bromo).await;
    for file in std::fs::read_dir(bromo.data()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let secret = secret.reveal().as_bytes();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(bromo.data().join("seal-key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_address_is_refused_at_create_however_it_is_written() {
    let bromo = Bromo::with("[webhooks]\nallow_networks = []\nports = [80, 443]\n");
    let (customer, _) = customer(&bromo).await;
    for url in [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost/",
        "http://a.example:8080/",
        "http://user:pass@a.example/",
        "ftp://a.example/",
        " http://a.example/",
        "http://a.exa\tmple/",
        "a.example",
        "",
    ] {
        let reply = customer.create("hi", hook(url)).await;
        assert_eq!((reply.status, reply.code()), (400, "VALIDATION_ERROR"), "{url}");
        assert_eq!(reply.body["error"]["details"][0]["field"], "webhook.url", "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_no_longer_allowed_is_not_called_and_the_log_says_why() {
    let (mut bromo, receiver) = (Bromo::sandbox(), Receiver::start().await);
    let (customer, _) = customer(&bromo).await;
    receiver.then([Answer::Status(500)]);
    let id = customer.task("hi", hook(&receiver.url("/"))).await;
    attempts(&customer, &id, 1).await;
    bromo.restart_with("[webhooks]\nallow_networks = []\n");
    let customer = bromo.again(&customer);
    bromo.advance(Duration::from_secs(132));
    let log = attempts(&customer, &id, 2).await;
    let error = log["attempts"][1]["error"].as_str().unwrap();
    assert!(error.contains("127.0.0.1"), "{error}");
    assert_eq!((receiver.count(), &log["attempts"][1]["status"]), (1, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_delays_no_other() {
    let bromo = Bromo::with("[webhooks]\nallow_networks = [\"127.0.0.0/8\"]\n[listen]\nshutdown_ms = 50\n");
    let (hanging, healthy) = (Receiver::start().await, Receiver::start().await);
    let (customer, _) = customer(&bromo).await;
    hanging.always(Answer::Hang);
    for number in 0..100 {
        customer.task(&number.to_string(), hook(&hanging.url("/"))).await;
    }
    // No more than its share of attempts is under way.
    until("the share is used", || hanging.count() == 32).await;
    for number in 0..20 {
        let id = customer.task(&number.to_string(), hook(&healthy.url("/"))).await;
        delivered(&customer, &id).await;
    }
    assert_eq!(hanging.count(), 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_receivers_all_hang_delays_no_other_account() {
    let bromo = Bromo::with(
        "[webhooks]\nallow_networks = [\"127.0.0.0/8\"]\nfresh_max = 16\n[listen]\nshutdown_ms = 50\n",
    );
    let ((one, _), (other, _)) = (named(&bromo, "one").await, named(&bromo, "other").await);
    let mut hanging = Vec::new();
    for _ in 0..20 {
        let receiver = Receiver::start().await;
        receiver.always(Answer::Hang);
        one.task("hi", hook(&receiver.url("/"))).await;
        hanging.push(receiver);
    }
    let reached = || hanging.iter().map(Receiver::count).sum::<usize>();
    until("a quarter of the places is used", || reached() == 4).await;
    let healthy = Receiver::start().await;
    for number in 0..10 {
        let id = other.task(&number.to_string(), hook(&healthy.url("/"))).await;
        delivered(&other, &id).await;
    }
    assert_eq!(reached(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_fails_for_one_account_is_open_to_another() {
    let bromo =
        Bromo::with("[webhooks]\nallow_networks = [\"127.0.0.0/8\"]\nper_host_max = 1\nfailures_max = 3\n");
    let ((one, _), (other, _)) = (named(&bromo, "one").await, named(&bromo, "other").await);
    let receiver = Receiver::start().await;
    receiver.then([Answer::Status(500), Answer::Status(500), Answer::Status(500)]);
    for number in 0..6 {
        one.task(&number.to_string(), hook(&receiver.url("/"))).await;
    }
    until("the circuit is open", || receiver.count() == 3).await;
    let id = other.task("hi", hook(&receiver.url("/"))).await;
    delivered(&other, &id).await;
    assert_eq!(receiver.count(), 4, "the first account's deliveries wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_keeps_failing_is_left_alone_for_a_while_and_nothing_is_dropped() {
    let (bromo, receiver) = (
        Bromo::with("[webhooks]\nallow_networks = [\"127.0.0.0/8\"]\nper_host_max = 1\nfailures_max = 3\n"),
        Receiver::start().await,
    );
    let (customer, _) = customer(&bromo).await;
    receiver.always(Answer::Status(500));
    let mut ids = Vec::new();
    for number in 0..8 {
        ids.push(customer.task(&number.to_string(), hook(&receiver.url("/"))).await);
    }
    until("the circuit is open", || receiver.count() == 3).await;
    for id in &ids {
        customer.ended(id).await;
    }
    assert_eq!(receiver.count(), 3, "the others wait for the host");
    found("the three attempts in the log", async || {
        let mut made = 0;
        for id in &ids {
            let log = customer.get(&format!("async/task/{id}/deliveries")).await.body;
            made += log["attempts"].as_array().unwrap().len();
        }
        (made == 3).then_some(())
    })
    .await;
    receiver.always(Answer::Status(200));
    // The circuit opens when the third has been left, a moment after its record.
    let mut passed = 0;
    until("the waiting five are delivered", || {
        if passed < 60 {
            passed += 1;
            bromo.advance(Duration::from_secs(1));
        }
        receiver.count() == 8
    })
    .await;
    bromo.advance(Duration::from_secs(132));
    for id in &ids {
        delivered(&customer, id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_survives_a_restart_and_what_was_cut_runs_again_at_once() {
    let mut bromo =
        Bromo::with("[webhooks]\nallow_networks = [\"127.0.0.0/8\"]\n[listen]\nshutdown_ms = 50\n");
    let receiver = Receiver::start().await;
    let (customer, _) = customer(&bromo).await;
    receiver.then([Answer::Hang]);
    let cut = customer.task("cut", hook(&receiver.url("/"))).await;
    until("it is under way", || receiver.count() == 1).await;
    receiver.then([Answer::Status(500)]);
    let retried = customer.task("retried", hook(&receiver.url("/"))).await;
    attempts(&customer, &retried, 1).await;
    bromo.restart();
    let customer = bromo.again(&customer);
    delivered(&customer, &cut).await;
    assert_eq!(
        attempts(&customer, &cut, 1).await["attempts"][0]["attempt"],
        1,
        "a cut attempt does not count"
    );
    bromo.advance(Duration::from_secs(132));
    delivered(&customer, &retried).await;
}
