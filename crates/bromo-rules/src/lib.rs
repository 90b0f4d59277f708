//! The words and numbers of the documentation, each in one place.
//!
//! This crate reads no clock, does no I/O and awaits nothing, so it cannot fail for outside reasons.
//! Time and randomness are arguments.

pub mod account;
pub mod answer;
pub mod country;
pub mod credit;
pub mod egress;
pub mod endpoint;
pub mod goto;
pub mod header;
pub mod histogram;
pub mod id;
pub mod key;
pub mod log;
pub mod member;
pub mod outcome;
pub mod plan;
pub mod problem;
pub mod question;
pub mod retry;
pub mod schema;
pub mod standing;
pub mod state;
pub mod task;
pub mod time;
pub mod token;
pub mod validate;
pub mod webhook;
pub mod window;
