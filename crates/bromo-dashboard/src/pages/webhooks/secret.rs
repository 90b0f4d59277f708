//! What deliveries are signed with: shown once, rotated, switched off.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use bromo_rules::time::Timestamp;
use bromo_rules::webhook::{ROTATION_OVERLAP, WebhookSecret};

use super::{TABS, Tab};
use crate::Dashboard;
use crate::error::PageError;
use crate::form::Form;
use crate::frame::Frame;
use crate::moment::took;
use crate::pages::{Answer, At, Query, page, to};
use crate::posted::{Posted, Work};
use crate::snippet::Snippet;
use crate::visitor::Visitor;

/// How a delivery is verified; the reference has the same.
const VERIFY_PYTHON: &str = include_str!("verify.py");
/// The same in TypeScript.
const VERIFY_TYPESCRIPT: &str = include_str!("verify.ts");

/// How deliveries are signed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signing {
    /// Not at all.
    Off,
    /// With one secret, or with the one before too, until then.
    On { both_until: Option<Timestamp> },
}

impl Signing {
    pub(super) async fn of(dashboard: &Dashboard, visitor: &Visitor) -> Result<Self, PageError> {
        let (secrets, now) = (
            dashboard.engine.store().lookup_secrets(visitor.account.id).await?,
            dashboard.engine.clock().now(),
        );
        Ok(secrets.map_or(Self::Off, |secrets| {
            let until = secrets.previous.map(|(_, until)| until);
            Self::On { both_until: until.filter(|until| now < *until) }
        }))
    }

    pub(super) const fn is_on(self) -> bool {
        matches!(self, Self::On { .. })
    }

    pub(super) const fn both_until(self) -> Option<Timestamp> {
        match self {
            Self::On { both_until } => both_until,
            Self::Off => None,
        }
    }
}

#[derive(Template)]
#[template(path = "pages/webhook_secret.html")]
pub(super) struct Secret {
    pub(super) frame: Frame,
    pub(super) signing: Signing,
    pub(super) snippets: Vec<Snippet>,
}

impl Secret {
    fn tabs(&self) -> &'static [Tab] {
        &TABS
    }

    fn tab(&self) -> &'static str {
        "/webhooks/secret"
    }

    /// How long both secrets sign from now on.
    fn left(&self, until: &Timestamp) -> String {
        took(until.since(self.frame.now))
    }
}

#[derive(Template)]
#[template(path = "pages/webhook_secret_rotate.html")]
pub(super) struct Rotate {
    pub(super) frame: Frame,
    pub(super) signing: Signing,
}

impl Rotate {
    fn overlap(&self) -> String {
        hours(ROTATION_OVERLAP)
    }
}

fn hours(duration: Duration) -> String {
    format!("{} hours", duration.as_secs() / 3600)
}

#[derive(Template)]
#[template(path = "pages/webhook_secret_made.html")]
pub(super) struct Made {
    pub(super) frame: Frame,
    pub(super) secret: WebhookSecret,
    pub(super) signing: Signing,
    pub(super) snippets: Vec<Snippet>,
}

#[derive(Template)]
#[template(path = "pages/webhook_secret_disable.html")]
pub(super) struct Disable {
    pub(super) frame: Frame,
    pub(super) signing: Signing,
}

pub(super) fn verify() -> Vec<Snippet> {
    vec![
        Snippet { name: "Python", code: VERIFY_PYTHON.to_owned() },
        Snippet { name: "TypeScript", code: VERIFY_TYPESCRIPT.to_owned() },
    ]
}

async fn frame(dashboard: &Dashboard, visitor: Visitor, title: &str, query: &Form) -> Frame {
    Frame::new(dashboard, visitor, "/webhooks", title, query).await
}

pub(in crate::pages) async fn secret(State(dashboard): At, visitor: Visitor, Query(query): Query) -> Answer {
    let signing = Signing::of(&dashboard, &visitor).await?;
    page(&Secret {
        frame: frame(&dashboard, visitor, "Signing secret", &query).await,
        signing,
        snippets: verify(),
    })
}

pub(in crate::pages) async fn ask_rotate(State(dashboard): At, visitor: Visitor) -> Answer {
    let signing = Signing::of(&dashboard, &visitor).await?;
    page(&Rotate { frame: frame(&dashboard, visitor, "Rotate the secret", &Form::default()).await, signing })
}

/// The new secret stands in this answer alone: it is shown here, and reading the page again is another rotation.
pub(in crate::pages) async fn rotate(State(dashboard): At, Posted { visitor, .. }: Posted<Work>) -> Answer {
    let secret = dashboard.engine.rotate_webhook_secret(visitor.account.id).await?;
    let signing = Signing::of(&dashboard, &visitor).await?;
    let frame = frame(&dashboard, visitor, "New secret", &Form::default()).await;
    page(&Made { frame, secret, signing, snippets: verify() })
}

pub(in crate::pages) async fn ask_disable(State(dashboard): At, visitor: Visitor) -> Answer {
    let signing = Signing::of(&dashboard, &visitor).await?;
    page(&Disable { frame: frame(&dashboard, visitor, "Stop signing", &Form::default()).await, signing })
}

pub(in crate::pages) async fn disable(State(dashboard): At, Posted { visitor, .. }: Posted<Work>) -> Answer {
    dashboard.engine.disable_webhook_secret(visitor.account.id).await?;
    to("/webhooks/secret?done=disabled")
}
