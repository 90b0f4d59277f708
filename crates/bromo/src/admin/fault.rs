//! Errors of the admin API, in the envelope of the public one. Their texts are for operators, so they say
//! more.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bromo_admission::AdmissionError;
use bromo_engine::account::AccountError;
use bromo_store::StoreError;
use serde_json::json;

pub(super) struct Fault {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Fault {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "VALIDATION_ERROR", message: message.into() }
    }

    pub(super) fn no_route(path: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: "RESOURCE_NOT_FOUND",
            message: format!("no route {path}"),
        }
    }

    pub(super) fn ending() -> Self {
        let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE");
        Self { status, code, message: "this process is about to end".to_owned() }
    }

    pub(super) fn token() -> Self {
        let message =
            "the admin token is missing or wrong; it stands in the file of admin.token_file".to_owned();
        Self { status: StatusCode::UNAUTHORIZED, code: "INVALID_ADMIN_TOKEN", message }
    }

    pub(super) fn internal(error: &impl std::fmt::Display) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self { status, code: "INTERNAL_SERVER_ERROR", message: error.to_string() }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let error = json!({ "code": self.code, "message": self.message });
        (self.status, Json(json!({ "success": false, "error": error }))).into_response()
    }
}

impl From<AdmissionError> for Fault {
    fn from(error: AdmissionError) -> Self {
        let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE");
        Self { status, code, message: error.to_string() }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let (status, code) = match &error {
            StoreError::Conflict { .. } => (StatusCode::CONFLICT, "RESOURCE_ALREADY_EXISTS"),
            StoreError::Missing { .. } => (StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND"),
            StoreError::Refused(_) => (StatusCode::BAD_REQUEST, "VALIDATION_ERROR"),
            StoreError::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE"),
            StoreError::Corrupt { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR"),
        };
        Self { status, code, message: error.to_string() }
    }
}

impl From<AccountError> for Fault {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error) => error.into(),
            AccountError::NoPlan(_) | AccountError::BadName | AccountError::TooManyKeys => {
                Self::invalid(error.to_string())
            }
            AccountError::NotInForce(_) => Self {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "SERVICE_UNAVAILABLE",
                message: error.to_string(),
            },
            AccountError::CutOff => Self::internal(&error),
            AccountError::Random(error) => Self::internal(&error),
        }
    }
}

macro_rules! rejected {
    ($($rejection:ty),*) => { $(
        impl From<$rejection> for Fault {
            fn from(rejection: $rejection) -> Self {
                Self { status: rejection.status(), code: "VALIDATION_ERROR", message: rejection.body_text() }
            }
        }
    )* };
}

rejected!(JsonRejection, PathRejection, QueryRejection);
