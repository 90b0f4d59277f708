//! Deliveries that were given up, told again together: first how many, then all of them.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use bromo_rules::time::Timestamp;

use super::{TABS, Tab, earlier};
use crate::form::Form;
use crate::frame::Frame;
use crate::moment::Zone;
use crate::pages::{Answer, At, Query, faulty, page, to};
use crate::posted::{Posted, Work};
use crate::visitor::Visitor;

/// Where the form begins.
const SINCE: Duration = Duration::from_hours(24);
/// Deliveries are counted up to here before they are sent.
const COUNT_MAX: u32 = 10_000;

#[derive(Template)]
#[template(path = "pages/webhook_resend.html")]
pub(super) struct Resend {
    pub(super) frame: Frame,
    pub(super) since: Timestamp,
    /// How many were given up since.
    pub(super) failed: u64,
    /// What is wrong with the date.
    pub(super) fault: Option<&'static str>,
}

impl Resend {
    fn tabs(&self) -> &'static [Tab] {
        &TABS
    }

    fn tab(&self) -> &'static str {
        "/webhooks/resend"
    }

    pub(super) fn count(&self) -> String {
        let noun = if self.failed == 1 { "delivery" } else { "deliveries" };
        let more = if self.failed >= u64::from(COUNT_MAX) { "+" } else { "" };
        format!("{}{more} {noun}", crate::text::number(self.failed))
    }
}

/// What the form says; a day ago if it says nothing.
pub(super) fn since(form: &Form, zone: &Zone, now: Timestamp) -> Result<Timestamp, &'static str> {
    match form.text("since") {
        "" => Ok(earlier(now, SINCE)),
        text => (text.parse().ok())
            .or_else(|| zone.parse_field(text))
            .ok_or("A date and time, such as 2026-11-24T14:03."),
    }
}

pub(in crate::pages) async fn ask_resend(
    State(dashboard): At,
    visitor: Visitor,
    Query(query): Query,
) -> Answer {
    let (now, account) = (dashboard.engine.clock().now(), visitor.account.id);
    let asked = since(&query, &visitor.look.zone, now);
    let from = asked.unwrap_or(earlier(now, SINCE));
    let failed = dashboard.engine.store().count_failed(account, from, COUNT_MAX).await?;
    let frame = Frame::new(&dashboard, visitor, "/webhooks", "Resend", &query).await;
    let resend = Resend { frame, since: from, failed, fault: asked.err() };
    if resend.fault.is_some() { faulty(&resend) } else { page(&resend) }
}

pub(in crate::pages) async fn resend(
    State(dashboard): At,
    Posted { visitor, form, .. }: Posted<Work>,
) -> Answer {
    let now = dashboard.engine.clock().now();
    match since(&form, &visitor.look.zone, now) {
        Ok(since) => {
            let count = dashboard.engine.redeliver_failed(visitor.account.id, since).await?;
            to(&format!("/webhooks?done=resent-many&n={count}"))
        }
        Err(_) => to(&format!("/webhooks/resend?{}", form.with(&["token"], &[]))),
    }
}
