//! The overview: what is going on, why calls are refused, and what would help.

use askama::Template;
use axum::extract::State;

use super::{Answer, At, Query, page};
use crate::Dashboard;
use crate::error::PageError;
use crate::form::Form;
use crate::frame::Frame;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "pages/overview.html")]
struct Overview {
    frame: Frame,
}

pub(super) async fn show(State(dashboard): At, visitor: Visitor, Query(query): Query) -> Answer {
    page(&Overview { frame: Frame::new(&dashboard, visitor, "/", "Overview", &query) })
}

/// The parts of the page that are drawn anew while somebody looks, by the id of their element.
pub(crate) async fn fragments(
    dashboard: &Dashboard,
    visitor: Visitor,
    query: &Form,
) -> Result<Vec<(&'static str, String)>, PageError> {
    let _ = (dashboard, visitor, query);
    Ok(Vec::new())
}
