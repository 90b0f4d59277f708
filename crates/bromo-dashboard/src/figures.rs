//! Figures of the log, by key.

use std::collections::HashMap;

use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::time::Timestamp;

use crate::Dashboard;
use crate::error::PageError;

/// What a key did in the last 24 hours.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KeyFigures {
    pub(crate) last_at: Option<Timestamp>,
    pub(crate) calls: u64,
    /// 429s among them.
    pub(crate) refused: u64,
    pub(crate) credits: Credits,
}

/// The figures of every key that was used.
pub(crate) async fn key_figures(
    dashboard: &Dashboard,
    account: AccountId,
) -> Result<HashMap<KeyId, KeyFigures>, PageError> {
    let _ = (dashboard, account);
    Ok(HashMap::new())
}
