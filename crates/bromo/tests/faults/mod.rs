//! What tests share that hurt a running bromo and then look whether its promises held.

pub(crate) mod receiver;
pub(crate) mod wire;
