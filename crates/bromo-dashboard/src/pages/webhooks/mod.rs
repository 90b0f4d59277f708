//! Webhooks: deliveries, the signing secret, tests.

mod resend;
mod secret;
mod test;
#[cfg(test)]
mod tests;

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use bromo_rules::time::Timestamp;
use bromo_rules::webhook::Receipt;
use bromo_store::{DeliveryFilter, DeliveryStage, ListedDelivery};
use url::Url;

pub(super) use resend::{ask_resend, resend};
pub(super) use secret::{ask_disable, ask_rotate, disable, rotate, secret};
pub(super) use test::{show_test, test};

use super::tasks::{delivery_badge, first_task};
use super::{Answer, At, Query, page};
use crate::form::Form;
use crate::frame::Frame;
use crate::log_query::Chip;
use crate::snippet::Snippet;
use crate::visitor::Visitor;

/// Deliveries of a page.
const DELIVERIES: u32 = 50;
/// Deliveries that were given up are counted up to here for a figure.
const FIGURE_MAX: u32 = 1_000;
/// The stretch that the figure is about.
const FIGURE_OVER: Duration = Duration::from_hours(24);
/// Where examples are told.
const EXAMPLE_URL: &str = "https://hooks.example.com/answers";
/// Characters of what went wrong in a list.
const SAID_CHARS_MAX: usize = 80;

/// What narrows the list.
const FILTERS: [&str; 2] = ["state", "host"];

/// The tab of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tab {
    pub(super) path: &'static str,
    pub(super) title: &'static str,
}

/// The pages of webhooks.
pub(super) const TABS: [Tab; 4] = [
    Tab { path: "/webhooks", title: "Deliveries" },
    Tab { path: "/webhooks/secret", title: "Secret" },
    Tab { path: "/webhooks/test", title: "Test" },
    Tab { path: "/webhooks/resend", title: "Resend" },
];

/// A delivery as a row.
struct Row(ListedDelivery);

impl Row {
    fn tone(&self) -> &'static str {
        delivery_badge(self.0.stage, self.0.state).0
    }

    fn word(&self) -> &'static str {
        delivery_badge(self.0.stage, self.0.state).1
    }

    fn address(&self) -> String {
        address(&self.0.url)
    }

    fn short_id(&self) -> String {
        super::tasks::short_id(self.0.task)
    }

    /// What became of the last attempt.
    fn said(&self) -> String {
        let Some(last) = &self.0.last else { return "not tried yet".to_owned() };
        let said = match (last.status, &last.error) {
            (None, Some(error)) => error.clone(),
            (None, None) => "cut off".to_owned(),
            (Some(_), _) => String::from_utf8_lossy(&last.response).trim().to_owned(),
        };
        match said.char_indices().nth(SAID_CHARS_MAX) {
            Some((end, _)) => format!("{}…", &said[..end]),
            None => said,
        }
    }

    fn status(&self) -> Option<u16> {
        self.0.last.as_ref()?.status
    }

    fn took(&self) -> String {
        self.0.last.as_ref().map_or_else(|| "—".to_owned(), |last| format!("{} ms", last.took_ms))
    }
}

/// The instant so long before.
fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_millis(now.millis().saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}

/// Host and path of an address; its query may hold secrets and stays out of lists.
fn address(url: &str) -> String {
    let Ok(parsed) = Url::parse(url) else { return url.to_owned() };
    let port = parsed.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}{port}{}", parsed.host_str().unwrap_or_default(), parsed.path())
}

/// The shape of a receiver's status.
pub(super) fn status_tone(status: &u16) -> &'static str {
    if Receipt::of(*status) == Receipt::Taken { "ok" } else { "bad" }
}

/// What an address narrows the list to.
struct Narrowed {
    filter: DeliveryFilter,
    chips: Vec<Chip>,
}

/// The word of a stage in addresses.
const fn word(stage: DeliveryStage) -> &'static str {
    match stage {
        DeliveryStage::Pending => "pending",
        DeliveryStage::Delivered => "delivered",
        DeliveryStage::GivenUp => "gave-up",
    }
}

impl Narrowed {
    fn of(query: &Form) -> Self {
        let mut narrowed = Self { filter: DeliveryFilter::default(), chips: Vec::new() };
        for name in FILTERS {
            let value = query.text(name);
            if value.is_empty() {
                continue;
            }
            let fault = if name == "state" {
                let stage = DeliveryStage::ALL.into_iter().find(|stage| word(*stage) == value);
                narrowed.filter.stage = stage;
                stage.is_none().then(|| "there is no such state".to_owned())
            } else {
                narrowed.filter.host = Some(value.to_lowercase());
                None
            };
            let without = format!("/webhooks?{}", query.with(&[name, "before"], &[]));
            narrowed.chips.push(Chip { name: name.to_owned(), value: value.to_owned(), without, fault });
        }
        narrowed
    }

    fn is_stage(&self, stage: &DeliveryStage) -> bool {
        self.filter.stage == Some(*stage)
    }

    fn host(&self) -> &str {
        self.filter.host.as_deref().unwrap_or_default()
    }
}

#[derive(Template)]
#[template(path = "pages/webhooks.html")]
struct Webhooks {
    frame: Frame,
    rows: Vec<Row>,
    narrowed: Narrowed,
    /// Given up in the last 24 hours, as far as they were counted.
    failed: u64,
    signs: bool,
    newest: Option<String>,
    older: Option<String>,
    snippets: Vec<Snippet>,
}

impl Webhooks {
    fn tabs(&self) -> &'static [Tab] {
        &TABS
    }

    fn tab(&self) -> &'static str {
        "/webhooks"
    }

    /// Whether a page was left before it was full.
    fn is_short(&self) -> bool {
        self.older.is_some() && self.rows.len() < DELIVERIES as usize
    }

    fn failed_shown(&self) -> String {
        let more = if self.failed >= u64::from(FIGURE_MAX) { "+" } else { "" };
        format!("{}{more}", crate::text::number(self.failed))
    }
}

pub(super) async fn show(State(dashboard): At, visitor: Visitor, Query(query): Query) -> Answer {
    let (account, store) = (visitor.account.id, dashboard.engine.store());
    let narrowed = Narrowed::of(&query);
    let before = query.text("before").parse().ok();
    let found = store.list_deliveries(account, narrowed.filter.clone(), before, DELIVERIES).await?;
    let since = earlier(dashboard.engine.clock().now(), FIGURE_OVER);
    let failed = store.count_failed(account, since, FIGURE_MAX).await?;
    let signs = store.lookup_secrets(account).await?.is_some();
    let frame = Frame::new(&dashboard, visitor, "/webhooks", "Webhooks", &query).await;
    let older = found.more.map(|more| more.to_string());
    let older = older.map(|more| format!("/webhooks?{}", query.with(&["before"], &[("before", &more)])));
    let newest = before.is_some().then(|| format!("/webhooks?{}", query.with(&["before"], &[])));
    page(&Webhooks {
        rows: found.deliveries.into_iter().map(Row).collect(),
        narrowed,
        failed,
        signs,
        newest,
        older,
        snippets: first_task(&dashboard.settings.public_url, EXAMPLE_URL),
        frame,
    })
}
