//! HTML for people: plan, keys, live slots, logs, tasks, webhooks. Holds no rule and no SQL: it reads the store and
//! writes through the engine. Pages work without the script, except for what is live.

mod assets;
mod bounds;
pub mod chart;
mod cookie;
mod error;
mod export;
mod figures;
mod form;
mod frame;
mod live;
mod log_query;
#[cfg(test)]
mod look;
pub mod markup;
mod message;
mod moment;
mod operator;
mod pages;
mod play;
mod posted;
mod range;
#[cfg(test)]
mod samples;
mod series;
mod settings;
mod snippet;
mod text;
mod thread;
mod visitor;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use bromo_engine::Engine;
use bromo_engine::webhook_test::Tester;
use bromo_store::Logs;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::bounds::Bounds;

pub use operator::{OperatorParts, operator};
pub use pages::router;
pub use play::{Asked, Play};
pub use settings::{Settings, Upgrades};

/// What the pages are made of.
pub struct Parts {
    /// Both ways, accounts and members.
    pub engine: Arc<Engine>,
    /// The request log.
    pub logs: Arc<dyn Logs>,
    /// Asks a question the way a customer does.
    pub play: Arc<dyn Play>,
    /// Sends test webhooks.
    pub tester: Tester,
    /// Choices of the operator.
    pub settings: Settings,
    /// Ends live pages.
    pub stop: CancellationToken,
    /// Where pages are made.
    pub thread: Handle,
}

/// [`Parts`], as every handler has them.
#[derive(Clone)]
pub(crate) struct Dashboard {
    parts: Arc<Parts>,
    bounds: Arc<Bounds>,
}

impl Dashboard {
    fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), bounds: Arc::default() }
    }
}

impl Deref for Dashboard {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// Answers whatever no page of the dashboard answers.
pub(crate) type Beyond = Router;
