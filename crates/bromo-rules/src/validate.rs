//! Request bodies: JSON in, a [`Question`] or its faults out (contract section 4).

use crate::endpoint::Endpoint;
use crate::problem::FieldFault;
use crate::question::Question;

/// The question in `body`, or all that is wrong with it. `strict` gives the documented 400s where the
/// lenient reading has a default, and refuses unknown fields (design D5, D6).
///
/// # Errors
/// At least one fault.
pub fn question(endpoint: Endpoint, body: &[u8], strict: bool) -> Result<Question, Vec<FieldFault>> {
    let _ = (endpoint, body, strict);
    Err(Vec::new())
}
