//! What PostgreSQL's errors mean to a caller, and to whoever might try again.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::error::StoreError;

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection is gone, or will be. What was sent may be committed.
    Lost,
    /// It took too long, or waited too long for a lock.
    Late,
    /// Another transaction came in between: the same again may well succeed.
    Race,
    /// This node's row is gone: it was taken for dead, and others have its work.
    Dead,
    /// Anything else: what was asked is at fault.
    Other,
}

impl Fault {
    /// Which kind this is.
    pub(super) fn of(error: &Error) -> Self {
        let Some(code) = error.code() else { return Self::Lost };
        match *code {
            // The second: after a failover, a server that can no longer be written.
            SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::READ_ONLY_SQL_TRANSACTION
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Self::Lost,
            SqlState::QUERY_CANCELED | SqlState::LOCK_NOT_AVAILABLE => Self::Late,
            SqlState::UNIQUE_VIOLATION
            | SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::T_R_DEADLOCK_DETECTED => Self::Race,
            // The partition of a row's day was made while the row was on its way to the rest; a constraint has a name.
            SqlState::CHECK_VIOLATION
                if error.as_db_error().is_some_and(|error| error.constraint().is_none()) =>
            {
                Self::Race
            }
            _ => Self::Other,
        }
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let reason = text(&error);
        match error.code() {
            Some(&SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED) => Self::Corrupt { reason },
            _ => Self::Unavailable { reason },
        }
    }
}

/// The error with its cause, which its own text leaves out.
pub(super) fn text(error: &Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(database), _) => format!("{} ({})", database.message(), database.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}
