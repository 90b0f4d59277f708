//! One request on its way through the API: what is known of it so far. It stands outside the handler, so
//! that a response to a panic carries the same headers and the log line is pushed whatever happens.

use std::sync::Arc;

use bromo_admission::Permit;
use bromo_engine::{Caller, Decided, Engine, LogQueue, Record};
use bromo_rules::credit::{Credits, Price, Way};
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::RequestId;
use bromo_rules::log::LogLine;
use bromo_rules::standing::Standing;
use bromo_rules::time::Timestamp;
use tokio::time::Instant;

use crate::problem::Failure;
use crate::route::Route;

/// What is known of a request.
pub(crate) struct Exchange {
    pub(crate) request: RequestId,
    pub(crate) arrived: Instant,
    pub(crate) at: Timestamp,
    /// What the one decision saw: all limit headers come from here (promise S3).
    pub(crate) standing: Option<Standing>,
    /// There once the caller is known.
    pub(crate) record: Option<Record>,
}

impl Exchange {
    pub(crate) fn new(engine: &Engine) -> Self {
        let at = engine.clock().now();
        Self { request: engine.request_id(), arrived: Instant::now(), at, standing: None, record: None }
    }

    /// The caller is known: from here on the request is logged.
    pub(crate) fn identify(&mut self, log: &Arc<LogQueue>, caller: &Caller, route: Route) {
        let line = LogLine {
            request: self.request,
            at: self.at,
            account: caller.facts.account,
            key: caller.key,
            way: Way::Now,
            route: route.template(),
            status: 0,
            code: "",
            took_us: 0,
            slots: None,
            charged: Credits::ZERO,
            attempts: 0,
        };
        self.record = Some(Record::new(log, line, self.arrived));
    }

    /// Makes the one decision on the rate alone, and answers with what it saw.
    pub(crate) async fn count(
        &mut self,
        engine: &Engine,
        caller: &mut Arc<Caller>,
        route: Route,
    ) -> Result<Standing, Failure> {
        self.decide(engine, caller, route, None).await?;
        self.standing.ok_or_else(Failure::unavailable)
    }

    /// Makes the one decision. With `work` it comes back with a permit, without it asks for the rate alone.
    pub(crate) async fn decide(
        &mut self,
        engine: &Engine,
        caller: &mut Arc<Caller>,
        route: Route,
        work: Option<(Endpoint, Price)>,
    ) -> Result<Option<Permit>, Failure> {
        let decided =
            engine.decide(caller, route.window(), work).await.map_err(|error| Failure::undecided(&error))?;
        let (standing, outcome) = match decided {
            Decided::Counted(standing) => (standing, Ok(None)),
            Decided::Admitted(standing, permit) => (standing, Ok(Some(permit))),
            Decided::Denied(standing, denial) => {
                (standing, Err(Failure::denied(denial, standing.slots.limit)))
            }
        };
        self.standing = Some(standing);
        if let Some(record) = &mut self.record {
            record.decided(standing.slots);
        }
        outcome
    }
}
