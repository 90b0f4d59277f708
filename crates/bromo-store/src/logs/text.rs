//! Questions and answers, kept where an account wants them kept.

use bromo_rules::id::{AccountId, RequestId};
use bromo_rules::time::Timestamp;

use crate::error::StoreError;

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

/// Question and answer together at most; larger ones are not kept.
pub(crate) const TEXT_BYTES_MAX: usize = 32 * 1024 * 1024;

impl KeptText {
    /// Both packed, the question first.
    pub(crate) fn pack(&self) -> Vec<u8> {
        lz4_flex::block::compress(&[self.question.as_slice(), &self.answer].concat())
    }
}

/// Question and answer, from what was packed and their lengths: the question's and that of both.
pub(crate) fn unpack(
    data: &[u8],
    question_bytes: u64,
    plain_bytes: u64,
) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let garbage = || StoreError::Corrupt { reason: "a kept text cannot be read".to_owned() };
    let size = |bytes| usize::try_from(bytes).map_err(|_| garbage());
    let (question_bytes, plain_bytes) = (size(question_bytes)?, size(plain_bytes)?);
    if question_bytes > plain_bytes || plain_bytes > TEXT_BYTES_MAX {
        return Err(garbage());
    }
    let mut question = lz4_flex::block::decompress(data, plain_bytes).map_err(|_| garbage())?;
    if question.len() != plain_bytes {
        return Err(garbage());
    }
    let answer = question.split_off(question_bytes);
    Ok((question, answer))
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
