//! One file a topic; each handler is the way itself.

pub(crate) mod answers;
pub(crate) mod goto;
pub(crate) mod reference;
