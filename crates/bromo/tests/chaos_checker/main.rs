//! The chaos test's checker, tried on made-up histories: each breaks one promise, or just does not.

#[path = "../chaos/checker/mod.rs"]
mod checker;
#[path = "../chaos/history.rs"]
mod history;
mod made;

mod headers;
mod money;
mod slots;
mod tasks;
mod webhooks;
