//! Texts of old lines as `&'static str`: routes and codes are few, so each is leaked once at most.
//!
//! The set belongs to the process because what is leaked does. Past its bound a text reads as
//! [`OTHER`]; what the database holds is not touched, and filters compare that.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use bromo_rules::problem::Problem;

/// What a text reads as when there were too many.
pub(crate) const OTHER: &str = "other";
/// Texts known at most, those of this program included.
const KNOWN_MAX: usize = 2048;

static KNOWN: LazyLock<Mutex<HashSet<&'static str>>> =
    LazyLock::new(|| Mutex::new(Problem::ALL.iter().map(|problem| problem.code).chain([""]).collect()));

/// Remembers a text of this program, so that it comes back as itself.
pub(crate) fn remember(text: &'static str) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() < KNOWN_MAX {
        known.insert(text);
    }
}

/// The text, for ever.
pub(crate) fn intern(text: &str) -> &'static str {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = known.get(text) {
        return text;
    }
    if known.len() >= KNOWN_MAX {
        return OTHER;
    }
    let leaked: &'static str = Box::leak(text.into());
    known.insert(leaked);
    leaked
}
