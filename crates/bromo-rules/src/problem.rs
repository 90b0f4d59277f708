//! The catalogue of errors a customer can see (contract section 3).

/// One row of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// What clients branch on.
    pub code: &'static str,
    /// The usual text; a problem may be sent with a more exact one.
    pub message: &'static str,
    /// Whether the same request may succeed later.
    pub may_retry: bool,
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident = $status:literal $code:literal $message:literal $retry:literal;)*) => {
        impl Problem {
            $($(#[$doc])* pub const $name: Self =
                Self { status: $status, code: $code, message: $message, may_retry: $retry };)*
            /// Every problem there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

catalogue! {
    /// The body or the query is invalid; details name the fields.
    VALIDATION = 400 "VALIDATION_ERROR" "Request validation failed" false;
    /// No key, or the scheme word is not exactly `Bearer`.
    MISSING_KEY = 401 "MISSING_API_KEY" "Missing or invalid API key" false;
    /// Not of the form of a key.
    KEY_FORMAT = 401 "INVALID_API_KEY_FORMAT" "Invalid API key format" false;
    /// Well-formed, but unknown or revoked.
    UNKNOWN_KEY = 401 "INVALID_OR_EXPIRED_API_KEY" "Invalid or expired API key" false;
    /// The balance does not cover the price.
    INSUFFICIENT_CREDITS = 403 "INSUFFICIENT_CREDITS" "Insufficient credits" false;
    /// No such route, or not with this method.
    NOT_FOUND = 404 "RESOURCE_NOT_FOUND" "Route not found" false;
    /// The idempotency key still belongs to a task.
    ALREADY_EXISTS = 409 "RESOURCE_ALREADY_EXISTS" "Task already exists" false;
    /// The task's state does not allow it.
    CONFLICT = 409 "RESOURCE_CONFLICT" "Task has already ended" false;
    /// The body did not arrive in time.
    SLOW_BODY = 408 "REQUEST_TIMEOUT" "Request body did not arrive in time" true;
    /// The body is larger than this route takes.
    BODY_TOO_LARGE = 413 "PAYLOAD_TOO_LARGE" "Request body is too large" false;
    /// The rate window of this key and route is used up.
    RATE_LIMIT = 429 "RATE_LIMIT_EXCEEDED" "API key rate limit exceeded" true;
    /// All slots of the account are in use.
    CONCURRENCY_LIMIT = 429 "CONCURRENCY_LIMIT_EXCEEDED" "Concurrency limit exceeded" true;
    /// The account has as many tasks waiting as it may.
    QUEUE_LIMIT = 429 "QUEUE_LIMIT_EXCEEDED" "Queue limit exceeded" true;
    /// The client left; seen in logs only.
    CANCELED = 499 "REQUEST_CANCELED" "Request was canceled by client" false;
    /// A fault of ours, or all attempts failed.
    INTERNAL = 500 "INTERNAL_SERVER_ERROR" "Internal server error" true;
    /// `google/goto` could not be resolved.
    EXTERNAL_SERVICE = 502 "EXTERNAL_SERVICE_ERROR" "goto resolve request failed" true;
    /// Temporary; Retry-After says when to come back.
    UNAVAILABLE = 503 "SERVICE_UNAVAILABLE" "Service unavailable" true;
}

/// One fault of a request body: the dotted path of the field, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldFault {
    /// `prompt`, `include.html`; empty for the body as a whole.
    pub field: String,
    /// What is wrong, for a log.
    pub message: String,
}
