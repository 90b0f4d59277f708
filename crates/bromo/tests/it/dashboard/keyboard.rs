//! Without a mouse, in the dark, and without the script.

use super::signed_in;
use crate::support::Bromo;

#[tokio::test(flavor = "multi_thread")]
async fn keys_lead_everywhere() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    customer.ask("tea").await;
    let browser = signed_in(&bromo, &customer).await;
    for (key, path) in
        [("l", "/logs"), ("k", "/keys"), ("p", "/plan"), ("t", "/tasks"), ("y", "/playground"), ("o", "/")]
    {
        browser.go("/account").await;
        browser.keys("g").await;
        browser.keys(key).await;
        browser.holds(&format!("location.pathname === '{path}'")).await;
    }
    browser.go("/logs").await;
    browser.keys("/").await;
    browser.holds("document.activeElement.matches('#q[data-filter]')").await;
    // Within a field they are letters.
    browser.keys("gk?status:200").await;
    browser.holds("document.activeElement.value === 'gk?status:200'").await;
    browser.fill("#q", "status:200").await;
    browser.keys("\u{e007}").await;
    browser.holds("location.search.includes('200')").await;
    browser.keys("j").await;
    browser.holds("document.activeElement.matches('#rows a.go')").await;
    browser.keys("\u{e007}").await;
    browser.reads("was answered after").await;
    browser.keys("?").await;
    browser.one("dialog[open]").await;
    browser.keys("\u{e00c}").await;
    browser.holds("!document.querySelector('dialog[open]')").await;
    // The first stop leads past the frame.
    browser.go("/keys").await;
    browser.keys("\u{e004}").await;
    browser.holds("document.activeElement.matches('a.skip')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn single_keys_can_be_switched_off() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let browser = signed_in(&bromo, &customer).await;
    browser.go("/account").await;
    browser.click("input[name=keys]").await;
    browser.press("Save").await;
    browser.reads("Saved.").await;
    browser.go("/logs").await;
    browser.keys("?").await;
    browser.keys("/").await;
    browser
        .holds("document.activeElement === document.body && !document.querySelector('dialog[open]')")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_switch_makes_pages_dark_and_they_stay_so() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let browser = signed_in(&bromo, &customer).await;
    let dark = "getComputedStyle(document.body).backgroundColor === 'rgb(14, 17, 22)'";
    browser.set_system_theme("light").await;
    browser.go("/plan").await;
    browser.holds(&format!("!({dark})")).await;
    // System, light, dark.
    browser.click("[data-theme-switch]").await;
    browser.click("[data-theme-switch]").await;
    browser.holds(dark).await;
    browser.go("/keys").await;
    browser.holds(dark).await;
    // The system's, where nothing was chosen.
    browser.click("[data-theme-switch]").await;
    browser.holds(&format!("!({dark})")).await;
    browser.set_system_theme("dark").await;
    browser.holds(dark).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_work_without_their_script() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    customer.ask("tea").await;
    let browser = signed_in(&bromo, &customer).await;
    browser.without_scripts().await;
    browser.go("/plan").await;
    assert!(!browser.has("html.js").await, "the script has run");
    browser.press("Upgrade to Hobby").await;
    browser.reads("20 slots for the next request of every key").await;
    browser.press("Logs").await;
    browser.fill("#q", "status:200").await;
    browser.press("Apply").await;
    browser.click("#rows a.go").await;
    browser.reads("was answered after").await;
    browser.go("/account").await;
    browser.click("input[name=theme][value=dark]").await;
    browser.click("#look button").await;
    browser.one("html[data-theme=dark]").await;
    browser.go("/playground").await;
    browser.fill("#prompt", "tea").await;
    browser.press("Send").await;
    browser.reads("Sandbox answer").await;
    let shown = "[...document.querySelectorAll('.js-only')].filter(e => e.checkVisibility()).length === 0";
    browser.holds(shown).await;
}
