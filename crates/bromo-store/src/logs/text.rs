//! Questions and answers, kept where an account wants them kept.

use bromo_rules::id::{AccountId, RequestId};
use bromo_rules::time::Timestamp;

/// What was asked and answered, both as they came and went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptText {
    /// The request of its log line.
    pub request: RequestId,
    /// Whose it is.
    pub account: AccountId,
    /// When the request arrived.
    pub at: Timestamp,
    /// The question.
    pub question: Vec<u8>,
    /// The answer; empty if there was none.
    pub answer: Vec<u8>,
}

impl KeptText {
    /// The bytes of both.
    pub const fn bytes(&self) -> usize {
        self.question.len().saturating_add(self.answer.len())
    }
}

/// How long and how much of the log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogKeep {
    /// Nothing older than this.
    pub from: Timestamp,
    /// Lines and what is counted of them take no more than this.
    pub bytes_max: u64,
    /// Kept texts take no more than this, packed.
    pub text_bytes_max: u64,
}
