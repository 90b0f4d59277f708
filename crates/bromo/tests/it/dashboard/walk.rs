//! Every page, as somebody sees it for whom everything has happened.

use super::browser_of;
use crate::support::routes::{DASHBOARD, Get, OPERATOR, Route};
use crate::support::visitor::{OPERATOR as OPERATOR_COOKIE, Visitor};
use crate::support::{Browser, House, house};

/// The narrowest screen that pages are laid out for.
const NARROW: u32 = 360;

/// Addresses of the pages that a member sees.
fn inside(house: &House) -> Vec<String> {
    let pages = DASHBOARD.iter().filter(|route| route.get == Get::Page);
    let mut pages: Vec<String> = pages.map(|route| house.fill(route.path)).collect();
    pages.extend(
        ["/?range=24h", "/logs?status=429&range=24h", "/logs?range=30d&status=nonsense", "/nothing"]
            .map(str::to_owned),
    );
    pages.extend(house.tasks.iter().map(|task| format!("/tasks/{task}")));
    pages
}

/// Addresses of the pages before signing in.
fn outside(house: &House) -> Vec<String> {
    vec![
        "/sign-in".to_owned(),
        format!("/sign-in/{}", house.link),
        format!("/invitation/{}", house.invitation),
        "/invitation/gone".to_owned(),
    ]
}

fn of_operator(house: &House) -> Vec<String> {
    let is_page =
        |route: &&Route| matches!(route.get, Get::Page | Get::Open) && !route.path.starts_with("/assets");
    OPERATOR.iter().filter(is_page).map(|route| house.fill(route.path)).collect()
}

async fn of_owner(house: &House) -> Browser {
    browser_of(&house.bromo, &house.owner).await
}

/// Somebody in whose account nothing has happened.
async fn newcomer(house: &House) -> Browser {
    let account = house.bromo.engine().create_account("New", "free").await.unwrap().account;
    let owner = house.bromo.engine().owner_or_new(account.id, "owner@new.example").await.unwrap();
    browser_of(&house.bromo, &owner).await
}

/// Pages that then say what will stand there.
fn empty() -> Vec<String> {
    ["/", "/keys", "/logs", "/tasks", "/tasks/clear", "/webhooks", "/webhooks/resend"]
        .map(str::to_owned)
        .into()
}

async fn operator(house: &House) -> Browser {
    let browser = Browser::open_operator(&house.bromo).await;
    let session = Visitor::operator(&house.bromo).await;
    let session = session.cookie().split_once('=').unwrap().1.to_owned();
    browser.keep_cookie(OPERATOR_COOKIE, &session).await;
    browser
}

/// Pages that only a form leads to.
const FORMS: [&str; 7] = ["key", "bad key", "invitation", "secret", "test event", "refusal", "answer"];

async fn submit(house: &House, browser: &Browser, form: &str) {
    if form == "answer" {
        house.make_room().await;
    }
    match form {
        "key" => {
            browser.go("/keys").await;
            browser.fill("#name", house::KEY).await;
            browser.press("Make key").await;
            browser.reads("Copy it now").await;
        }
        "bad key" => {
            browser.go("/keys").await;
            browser.fill("#name", &format!("{}{}", house::KEY, house::KEY)).await;
            browser.press("Make key").await;
            browser.one("#name-error").await;
        }
        "invitation" => {
            browser.go("/account").await;
            browser.fill("#email", "somebody@acme.example").await;
            browser.press("Make a link").await;
            browser.reads("It is shown once").await;
        }
        "secret" => {
            browser.go("/webhooks/secret/rotate").await;
            browser.click("main form button").await;
            browser.one(".copy code").await;
        }
        "test event" => {
            browser.go("/webhooks/test").await;
            browser.fill("#url", &house.receiver.url("/test")).await;
            browser.press("Send the test").await;
            browser.reads(house::SAID).await;
        }
        _ => {
            browser.go("/playground").await;
            browser.fill("#prompt", house::QUESTION).await;
            browser.click("input[name=kind][value=test]").await;
            browser.press("Send").await;
            browser.reads(if form == "answer" { "Sandbox answer" } else { "Again in" }).await;
        }
    }
}

/// What is wrong with the page as it is shown.
async fn faults(browser: &Browser, page: &str, check: Check) -> Vec<String> {
    let found = match check {
        Check::Width => {
            let script = "const wide = document.documentElement.scrollWidth; return wide <= innerWidth && innerWidth <= 360
                ? [] : [`${wide} px wide in ${innerWidth}: ` + [...document.querySelectorAll('body *')]
                    .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, pre'))
                    .slice(0, 3).map(e => e.outerHTML.slice(0, 120)).join(' | ')]";
            strings(&browser.script(script, vec![]).await)
        }
        Check::Markup => {
            let script = "return [...document.querySelectorAll('script:not([src]), img, [onerror], [onload], [style], iframe')]
                .map(e => e.outerHTML.slice(0, 120))";
            let mut found = strings(&browser.script(script, vec![]).await);
            // A page that is not there is an error of the console's too.
            found.extend(browser.complaints().await.into_iter().filter(|line| !line.contains("status of 4")));
            found.extend(browser.strangers().await.into_iter().map(|name| format!("loads {name}")));
            found
        }
        Check::Axe => browser.violations().await,
    };
    found.into_iter().map(|fault| format!("{page}: {fault}")).collect()
}

#[derive(Debug, Clone, Copy)]
enum Check {
    /// No sideways scrolling.
    Width,
    /// Texts of others stay text, no script but ours runs, nothing comes from elsewhere.
    Markup,
    /// axe-core finds nothing.
    Axe,
}

fn strings(list: &serde_json::Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Walks every page there is with every check, with one browser after the other.
async fn walk(house: &House, checks: &[Check], width: u32, theme: &str) -> Vec<String> {
    let mut found = Vec::new();
    look(&Browser::open(&house.bromo).await, outside(house), checks, width, theme, &mut found).await;
    look(&operator(house).await, of_operator(house), checks, width, theme, &mut found).await;
    look(&newcomer(house).await, empty(), checks, width, theme, &mut found).await;
    let browser = of_owner(house).await;
    look(&browser, inside(house), checks, width, theme, &mut found).await;
    for form in FORMS {
        submit(house, &browser, form).await;
        for check in checks {
            found.extend(faults(&browser, form, *check).await);
        }
    }
    found
}

async fn look(
    browser: &Browser,
    pages: Vec<String>,
    checks: &[Check],
    width: u32,
    theme: &str,
    found: &mut Vec<String>,
) {
    browser.set_width(width).await;
    browser.set_system_theme(theme).await;
    for page in pages {
        browser.go(&page).await;
        browser.holds("document.documentElement.classList.contains('js')").await;
        for check in checks {
            found.extend(faults(browser, &page, *check).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_on_any_page_in_light() {
    let house = House::furnished().await;
    let found = walk(&house, &[Check::Axe, Check::Markup], 1280, "light").await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_on_any_page_in_the_dark() {
    let house = House::furnished().await;
    let found = walk(&house, &[Check::Axe], 1280, "dark").await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_scrolls_sideways_on_a_phone() {
    let house = House::furnished().await;
    let found = walk(&house, &[Check::Width, Check::Axe], NARROW, "light").await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_and_texts_stand_as_text_on_their_pages() {
    let house = House::furnished().await;
    let browser = of_owner(&house).await;
    for (page, texts) in [
        ("/", &[house::ACCOUNT][..]),
        ("/keys", &[house::ACCOUNT, house::KEY]),
        ("/logs", &[house::KEY]),
        ("/account", &[house::ACCOUNT]),
        (&format!("/logs/{}", house.request), &[house::QUESTION, house::KEY]),
        ("/tasks", &[&house::IDEMPOTENCY[..15]]),
        (&format!("/tasks/{}", house.tasks[0]), &[house::QUESTION]),
        (&format!("/tasks/{}", house.tasks[1]), &[house::IDEMPOTENCY]),
        ("/webhooks", &[house::SAID]),
    ] {
        browser.go(page).await;
        for text in texts {
            browser.reads(text).await;
        }
        let found = faults(&browser, page, Check::Markup).await;
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
    submit(&house, &browser, "answer").await;
    browser.reads(house::QUESTION).await;
    // A line that comes in live is put in as markup by the script: its texts were made safe by the server.
    browser.go("/logs").await;
    let reply = house.customer.get("credits").await;
    assert_eq!(reply.status, 200);
    let reply = house.customer.post("monitor/gemini", "{}").await;
    let request = reply.headers["x-request-id"].to_str().unwrap();
    browser.one(&format!("#rows [href='/logs/{request}']")).await;
    let found = faults(&browser, "/logs", Check::Markup).await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}
