//! Countries that each engine serves (contract section 9.1).

use crate::endpoint::Endpoint;

/// Whether a code may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// It may.
    Yes,
    /// A country, but not of this engine.
    Blocked,
    /// No country.
    Unknown,
}

/// Whether `endpoint` serves the upper-case code.
pub fn served(_endpoint: Endpoint, _code: &str) -> Served {
    Served::Yes
}
