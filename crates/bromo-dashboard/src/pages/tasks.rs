//! Tasks: the queue and its history.

use axum::extract::State;

use super::{Answer, At, Query};
use crate::Dashboard;
use crate::error::PageError;
use crate::visitor::Visitor;

pub(super) async fn show(State(dashboard): At, visitor: Visitor, Query(query): Query) -> Answer {
    let _ = (dashboard, visitor, query);
    Err(PageError::missing("page yet"))
}

/// The figures above the list, drawn anew while somebody looks.
pub(crate) async fn figures(dashboard: &Dashboard, visitor: Visitor) -> Result<String, PageError> {
    let _ = (dashboard, visitor);
    Ok(String::new())
}
