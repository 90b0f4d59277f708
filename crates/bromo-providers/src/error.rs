//! Why an attempt brought no answer. Nothing in here ever holds a credential.

use std::time::Duration;

/// No reason is longer, in characters.
pub const REASON_CHARS_MAX: usize = 200;

/// Why an attempt brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The upstream has too much to do (429, 503).
    #[error("upstream is busy")]
    Busy {
        /// Its own Retry-After.
        retry_after: Option<Duration>,
    },
    /// There is no room on this side: its circuit is open, or its line of waiting calls is full. The
    /// upstream was not asked.
    #[error("no room for another call")]
    NoRoom {
        /// When to come back, where that is known.
        retry_after: Option<Duration>,
    },
    /// The upstream will not answer this question, now or later (other 4xx).
    #[error("upstream refused: {reason}")]
    Refused {
        /// For the log; cut to 200 characters, without secrets.
        reason: String,
    },
    /// The question is longer than the model takes; the customer's fault.
    #[error("question of {tokens} model tokens, at most {tokens_max}")]
    TooLong {
        /// Of the question.
        tokens: usize,
        /// Of the model.
        tokens_max: usize,
    },
    /// The question itself is wrong in this provider's eyes; the customer's fault.
    #[error("invalid question: {reason}")]
    Invalid {
        /// For the customer.
        reason: String,
    },
    /// No answer within the deadline.
    #[error("upstream timed out")]
    TimedOut,
    /// The connection failed, or what came is not the wire's (5xx, garbage).
    #[error("upstream broken: {reason}")]
    Broken {
        /// For the log.
        reason: String,
    },
    /// Not set up: names the missing setting or command.
    #[error("not available: {reason}")]
    Unavailable {
        /// For the customer too.
        reason: String,
    },
}

impl ProviderError {
    /// The names of [`ProviderError::kind`], in the order of [`ProviderError::kind_index`].
    pub const KINDS: [&'static str; 8] =
        ["busy", "refused", "too_long", "timed_out", "broken", "unavailable", "no_room", "invalid"];

    /// Whether another attempt, soon, may bring an answer.
    pub const fn may_retry(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::TimedOut | Self::Broken { .. })
    }

    /// A dense index below `KINDS.len()`.
    pub const fn kind_index(&self) -> usize {
        match self {
            Self::Busy { .. } => 0,
            Self::Refused { .. } => 1,
            Self::TooLong { .. } => 2,
            Self::TimedOut => 3,
            Self::Broken { .. } => 4,
            Self::Unavailable { .. } => 5,
            Self::NoRoom { .. } => 6,
            Self::Invalid { .. } => 7,
        }
    }

    /// The label in metrics and logs.
    pub const fn kind(&self) -> &'static str {
        Self::KINDS[self.kind_index()]
    }

    pub(crate) fn broken(reason: impl AsRef<str>) -> Self {
        Self::Broken { reason: shortened(reason.as_ref()) }
    }

    pub(crate) fn refused(reason: impl AsRef<str>) -> Self {
        Self::Refused { reason: shortened(reason.as_ref()) }
    }
}

/// The text on one line, cut to [`REASON_CHARS_MAX`] characters.
pub(crate) fn shortened(text: &str) -> String {
    let mut short: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_CHARS_MAX).collect();
    if text.trim().chars().nth(REASON_CHARS_MAX).is_some() {
        short.pop();
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_at_most_two_hundred_characters() {
        assert_eq!(shortened(" a\nb "), "a b");
        assert_eq!(shortened(&"é".repeat(200)), "é".repeat(200));
        let cut = shortened(&"é".repeat(201));
        assert_eq!(cut.chars().count(), REASON_CHARS_MAX);
        assert!(cut.ends_with('…'));
    }
}
