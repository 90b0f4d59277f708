//! Choices of the operator.

use std::collections::HashMap;

/// Choices of the operator.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether strangers may open an account, on plan `free`.
    pub sign_up: bool,
    /// Where to ask for what nobody may choose alone: an e-mail address or a URL; empty: nowhere.
    pub contact: String,
    /// What becomes of an upgrade.
    pub upgrades: Upgrades,
    /// Where a plan is paid for, by its name: its button leads there, and the operator sets the plan afterwards.
    pub checkout: HashMap<String, String>,
    /// What addresses of this installation begin with; `https` makes cookies secure.
    pub public_url: String,
    /// How long log lines are kept, in days.
    pub keep_days: u32,
}

/// What becomes of an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrades {
    /// It is in force on the next request.
    Immediate,
    /// It waits for an operator.
    Approval,
}

impl Settings {
    /// Whether people come over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.public_url.starts_with("https://")
    }
}
