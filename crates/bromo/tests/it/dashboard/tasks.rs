//! Tasks and their deliveries, as people change them.

use serde_json::json;

use super::{browser_of, signed_in};
use crate::support::{Answer, Bromo, House, Receiver, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_resent_once_the_receiver_is_back() {
    let receiver = Receiver::start().await;
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    receiver.always(Answer::Status(410));
    let id = customer.task("tea", json!({ "webhook": { "url": receiver.url("/hook") } })).await;
    customer.ended(&id).await;
    until("it is tried", || receiver.count() == 1).await;
    let browser = signed_in(&bromo, &customer).await;
    browser.go("/webhooks?state=gave-up").await;
    browser.one(&format!("td.l1 a[href^='/tasks/{id}']")).await;
    receiver.always(Answer::Status(200));
    browser.go("/webhooks/resend").await;
    browser.press("Resend 1 delivery").await;
    until("it is sent again", || receiver.count() == 2).await;
    browser.go("/webhooks?state=delivered").await;
    browser.one(&format!("td.l1 a[href^='/tasks/{id}']")).await;
    // One alone, from its task.
    browser.go(&format!("/tasks/{id}")).await;
    browser.press("Redeliver now").await;
    until("it is sent once more", || receiver.count() == 3).await;
    browser.reads("The delivery is due now").await;
    let received = receiver.received();
    assert!(received.iter().all(|post| post.task() == id && post.headers.contains_key("webhook-signature")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_goes_to_an_address_and_its_answer_is_shown() {
    let receiver = Receiver::start().await;
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let browser = signed_in(&bromo, &customer).await;
    browser.go("/webhooks/test").await;
    browser.fill("#url", &receiver.url("/test")).await;
    browser.press("Send the test").await;
    browser.reads("The receiver took it").await;
    let received = receiver.received();
    assert_eq!((received.len(), &received[0].body["test"]), (1, &true.into()));
    assert_eq!(customer.get("credits").await.body["remaining"], 37_500, "it is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_task_is_cancelled_after_one_question() {
    let house = House::furnished().await;
    let browser = browser_of(&house.bromo, &house.member).await;
    let waiting = &house.tasks[2];
    browser.go(&format!("/tasks/{waiting}")).await;
    browser.reads("Why it waits").await;
    browser.press("Cancel").await;
    assert_eq!(browser.path().await, format!("/tasks/{waiting}/cancel"));
    assert_eq!(house.customer.read(waiting).await.status, 200, "asking changes nothing");
    browser.click("main form button").await;
    browser.reads("The task is cancelled").await;
    assert_eq!(house.customer.read(waiting).await.status, 404);
}
