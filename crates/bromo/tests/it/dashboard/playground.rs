//! A question asked by a person.

use super::signed_in;
use crate::support::Bromo;

#[tokio::test(flavor = "multi_thread")]
async fn the_playground_shows_answer_headers_and_the_call_as_code() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let browser = signed_in(&bromo, &customer).await;
    browser.go("/playground").await;
    browser.fill("#prompt", "best tea in Leipzig").await;
    browser.click("input[name=kind][value=live]").await;
    browser.press("Send").await;
    browser.reads("answered").await;
    browser.reads("Sandbox answer").await;
    browser.reads("The same call").await;
    let code = browser.one(".pane code").await.text().await.unwrap();
    assert!(code.contains("/v1/monitor/chatgpt") && code.contains("best tea in Leipzig"), "{code}");
    assert!(!code.contains("sk_"), "a key stands in the code: {code}");
    browser.click("label[for=result-headers]").await;
    browser.reads("x-concurrency-limit").await;
    browser.click("label[for=result-json]").await;
    browser.reads("\"success\"").await;
    assert!(!browser.path().await.contains('?'), "the question is in the address");
    // Asked like a program asks: charged, and in the log.
    let credits = customer.get("credits").await;
    assert_eq!(credits.body["remaining"], 37_500 - 7);
    let line = browser.one("#result a[href^='/logs/']").await;
    line.click().await.unwrap();
    browser.reads("was answered after").await;
}
