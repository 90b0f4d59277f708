//! Why a store method did nothing; the same few reasons for every backend.

use bromo_rules::account::ChangeError;

/// Why a store method did nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Something of that name or id is there already.
    #[error("{what} exists already")]
    Conflict {
        /// What is there.
        what: &'static str,
    },
    /// There is nothing of that name or id.
    #[error("no such {what}")]
    Missing {
        /// What was looked for.
        what: &'static str,
    },
    /// The change is against the rules.
    #[error(transparent)]
    Refused(#[from] ChangeError),
    /// The database cannot be reached or cannot write (disk full, locked by another process). Every
    /// method is safe to call again.
    #[error("database unavailable: {reason}")]
    Unavailable {
        /// For the log.
        reason: String,
    },
    /// What the database holds cannot be read.
    #[error("database corrupt: {reason}")]
    Corrupt {
        /// For the log.
        reason: String,
    },
}
