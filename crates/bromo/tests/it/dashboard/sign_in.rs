//! Coming in and going out.

use super::{owner, signed_in};
use crate::support::house::join;
use crate::support::{Bromo, Browser};

#[tokio::test(flavor = "multi_thread")]
async fn a_link_signs_in_once_and_signing_out_ends_it() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let link = bromo.engine().make_link(&owner(&bromo, &customer).await).await.unwrap();
    let browser = Browser::open(&bromo).await;
    browser.go("/keys").await;
    assert_eq!(browser.path().await, "/sign-in?to=%2Fkeys");
    let address = format!("/sign-in/{}", link.reveal());
    browser.go(&address).await;
    browser.press("Sign in").await;
    browser.one("#top-slots").await;
    assert_eq!(browser.path().await, "/");
    browser.go("/account").await;
    browser.press("Sign out").await;
    browser.reads("E-mail address").await;
    assert_eq!(browser.path().await, "/sign-in");
    browser.go("/account").await;
    assert_eq!(browser.path().await, "/sign-in?to=%2Faccount");
    browser.go(&address).await;
    browser.press("Sign in").await;
    browser.reads("each signs in once").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_beside_the_form_and_the_right_one_leads_to_the_page_asked_for() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let owner = owner(&bromo, &customer).await;
    join(&bromo, &owner, "member@acme.example", bromo_rules::member::Role::Member).await;
    let browser = Browser::open(&bromo).await;
    browser.go("/logs?status=429").await;
    browser.fill("#email", "member@acme.example").await;
    browser.fill("#password", "not the password").await;
    browser.press("Sign in").await;
    browser.one("form [role=alert], .card [role=alert]").await;
    // What was typed is not lost, the password excepted.
    browser.holds("document.querySelector('#email').value === 'member@acme.example'").await;
    browser.holds("document.querySelector('#password').value === ''").await;
    browser.fill("#password", "a long enough password").await;
    browser.press("Sign in").await;
    browser.one("#rows").await;
    assert_eq!(browser.path().await, "/logs?status=429");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_has_run_out_leads_to_signing_in() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let browser = signed_in(&bromo, &customer).await;
    browser.go("/keys").await;
    assert_eq!(browser.path().await, "/keys");
    bromo.advance(bromo_engine::session::SESSION_LASTS);
    browser.reload().await;
    assert_eq!(browser.path().await, "/sign-in?to=%2Fkeys");
}
