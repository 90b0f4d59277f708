//! A signed test event, sent to an address from a form; what the receiver answers stands below the form.

use askama::Template;
use axum::extract::State;
use bromo_engine::webhook_test::{TestError, Tested};
use bromo_providers::webhook::SendError;

use super::{TABS, Tab, status_tone};
use crate::Dashboard;
use crate::error::PageError;
use crate::form::Form;
use crate::frame::Frame;
use crate::moment::took;
use crate::pages::{Answer, At, faulty, page};
use crate::posted::{Posted, Work};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "pages/webhook_test.html")]
pub(super) struct Test {
    pub(super) frame: Frame,
    pub(super) url: String,
    pub(super) tested: Option<Tested>,
    /// Why nothing was sent.
    pub(super) fault: Option<String>,
    /// How long a receiver may take.
    pub(super) timeout: String,
}

impl Test {
    fn tabs(&self) -> &'static [Tab] {
        &TABS
    }

    /// Whether the address is one that is not called.
    fn is_forbidden(&self) -> bool {
        let outcome = self.tested.as_ref().map(|tested| &tested.outcome);
        matches!(outcome, Some(Err(SendError::Url(_) | SendError::Forbidden { .. })))
    }

    fn tab(&self) -> &'static str {
        "/webhooks/test"
    }
}

async fn of(dashboard: &Dashboard, visitor: Visitor, url: String) -> Test {
    Test {
        frame: Frame::new(dashboard, visitor, "/webhooks", "Test a webhook", &Form::default()).await,
        url,
        tested: None,
        fault: None,
        timeout: took(dashboard.engine.settings().webhooks.timeout),
    }
}

pub(in crate::pages) async fn show_test(State(dashboard): At, visitor: Visitor) -> Answer {
    page(&of(&dashboard, visitor, String::new()).await)
}

pub(in crate::pages) async fn test(
    State(dashboard): At,
    Posted { visitor, form, .. }: Posted<Work>,
) -> Answer {
    let (account, url) = (visitor.account.id, form.text("url").to_owned());
    let sent = dashboard.tester.send(&dashboard.engine, account, &url).await;
    let mut test = of(&dashboard, visitor, url).await;
    match sent {
        Ok(tested) => {
            test.tested = Some(tested);
            page(&test)
        }
        Err(TestError::Store(error)) => Err(PageError::from(error)),
        Err(error) => {
            test.fault = Some(format!("Nothing was sent: {error}."));
            faulty(&test)
        }
    }
}
