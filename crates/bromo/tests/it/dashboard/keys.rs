//! A key's life.

use super::signed_in;
use crate::support::{Bromo, Customer};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_and_shown_once_works_and_is_refused_once_revoked() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let browser = signed_in(&bromo, &customer).await;
    browser.go("/keys").await;
    browser.fill("#name", "batch worker").await;
    browser.press("Make key").await;
    browser.reads("This is the only time it is shown").await;
    let secret = browser.one(".copy code").await.text().await.unwrap();
    assert!(secret.starts_with("sk_live_"), "{secret}");
    let program = Customer::new(bromo.running().api, customer.account, &secret);
    assert_eq!(program.ask("tea").await.status, 200);
    browser.press("I have kept it").await;
    browser.reads("batch worker").await;
    for page in ["/keys", "/logs", "/account"] {
        browser.go(page).await;
        let source = browser.script("return document.documentElement.outerHTML", vec![]).await;
        assert!(!source.as_str().unwrap().contains(&secret), "{page}");
    }
    browser.go("/keys").await;
    let made = bromo.engine().store().list_keys(customer.account).await.unwrap();
    let made = made.iter().find(|key| key.name.as_deref() == Some("batch worker")).unwrap();
    browser.click(&format!("[href='/keys/{}/revoke']", made.id)).await;
    browser.reads("batch worker").await;
    browser.click("main form button").await;
    browser.reads("revoked").await;
    assert_eq!(browser.path().await, "/keys?done=revoked");
    let refused = program.ask("tea").await;
    assert_eq!(refused.status, 401, "{refused:?}");
    assert_eq!(customer.ask("tea").await.status, 200, "another key of the account");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_name_is_told_beside_its_field_and_is_not_lost() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let browser = signed_in(&bromo, &customer).await;
    browser.go("/keys").await;
    let name = "n".repeat(65);
    browser.fill("#name", &name).await;
    browser.press("Make key").await;
    browser.one("#name-error").await;
    browser.holds("document.querySelector('#name').getAttribute('aria-invalid') === 'true'").await;
    browser.holds(&format!("document.querySelector('#name').value === '{name}'")).await;
}
