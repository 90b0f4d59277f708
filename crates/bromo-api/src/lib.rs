//! The wire contract over HTTP/1: authenticate, read, decide once, answer, and print the decision's own
//! numbers on every response.

pub mod body;
mod caller;
mod exchange;
pub mod openapi;
pub mod pages;
mod peer;
pub mod problem;
mod reply;
pub mod route;
mod routes;
pub mod serve;
mod service;

use std::sync::Arc;

use bromo_engine::Engine;
use bromo_providers::gate::Gate;
use bromo_rules::egress::Egress;

pub use body::{BodyBudget, BodyLimits};
pub use reply::Body;

/// What the API is made of.
pub struct Api {
    /// The two ways.
    pub engine: Arc<Engine>,
    /// The documented 400s where the lenient reading has a default (design D5, D6).
    pub strict: bool,
    /// Bounds of request bodies.
    pub limits: BodyLimits,
    /// The same for a batch of tasks.
    pub batch_limits: BodyLimits,
    /// Tasks in one batch.
    pub batch_tasks_max: usize,
    /// Which addresses a webhook may have.
    pub egress: Arc<Egress>,
    /// Where redirects of Google are resolved; tests set another.
    pub goto_base: String,
    /// How many of them at once.
    pub goto_gate: Gate,
    /// Everything outside `/v1`.
    pub pages: axum::Router,
}
