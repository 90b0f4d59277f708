//! What goes wrong on a page, and the way on from there.

use std::sync::Arc;

use askama::Template;
use axum::response::{IntoResponse, Response};
use bromo_engine::account::AccountError;
use bromo_rules::id::RequestId;
use bromo_rules::member::Act;
use bromo_store::StoreError;
use http::StatusCode;

use crate::visitor::Look;

/// What goes wrong on a page. As a response it is empty; [`ErrorPage`] is made of it where the asker is known.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum PageError {
    /// There is nothing of that name, or not in this account.
    #[error("there is no {what}")]
    Missing { what: String },
    /// The role does not allow it.
    #[error("your role does not allow this")]
    Forbidden { act: Act },
    /// The form came from elsewhere, or from a page of an older session.
    #[error("this form has grown old")]
    NotOurs,
    #[error("a form has at most {bytes_max} bytes")]
    FormTooLarge { bytes_max: usize },
    #[error("the form took too long to arrive")]
    FormTooSlow,
    /// Asked for in a way that no page of ours asks.
    #[error("{0}")]
    Bad(String),
    /// The store, the counts or a bound on work is in the way; trying again may help.
    #[error("it cannot be done right now")]
    Unavailable,
    /// A fault of ours.
    #[error("a fault of ours")]
    Internal,
}

impl PageError {
    pub(crate) fn missing(what: impl Into<String>) -> Self {
        Self::Missing { what: what.into() }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Missing { .. } => StatusCode::NOT_FOUND,
            Self::Forbidden { .. } | Self::NotOurs => StatusCode::FORBIDDEN,
            Self::FormTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::FormTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What can be done about it.
    fn advice(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "It may have been kept no longer, or belong to another account.",
            Self::Forbidden { act: Act::Manage } => "Owners of the account can do this. Nothing was changed.",
            Self::Forbidden { .. } => "Owners and members of the account can do this. Nothing was changed.",
            Self::NotOurs => "Go back, reload the page and send it again. Nothing was changed.",
            Self::FormTooLarge { .. } | Self::FormTooSlow | Self::Bad(_) => "Nothing was changed.",
            Self::Unavailable => "Try again in a few seconds. Whether a change was made shows on its page.",
            Self::Internal => "It was logged. If it stays, tell the operator this id.",
        }
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing { what } => Self::missing(what),
            error => {
                tracing::error!(%error, "failed to serve a page");
                Self::Unavailable
            }
        }
    }
}

impl From<AccountError> for PageError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error) => error.into(),
            error => {
                tracing::error!(%error, "failed to change an account");
                Self::Unavailable
            }
        }
    }
}

impl From<askama::Error> for PageError {
    fn from(error: askama::Error) -> Self {
        tracing::error!(%error, "failed to render a page");
        Self::Internal
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The page of an error.
#[derive(Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage<'a> {
    pub(crate) look: &'a Look,
    pub(crate) error: &'a PageError,
    pub(crate) request: Option<RequestId>,
}

impl ErrorPage<'_> {
    pub(crate) fn status(&self) -> u16 {
        self.error.status().as_u16()
    }

    fn asset(&self, name: &str) -> String {
        crate::assets::address(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::rendered;

    #[test]
    fn every_error_has_a_page_with_a_way_on() {
        let errors = [
            PageError::missing("page /<script>"),
            PageError::Forbidden { act: Act::Manage },
            PageError::NotOurs,
            PageError::FormTooLarge { bytes_max: 1 },
            PageError::FormTooSlow,
            PageError::Bad("no".to_owned()),
            PageError::Unavailable,
            PageError::Internal,
        ];
        for error in &errors {
            let request = Some(RequestId::from_bytes([1; 16]));
            let html = rendered(&ErrorPage { look: &Look::default(), error, request });
            assert!(html.contains("href=\"/\"") && html.contains(error.advice()));
        }
    }
}
