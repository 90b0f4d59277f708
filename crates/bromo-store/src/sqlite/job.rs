//! What the writer is asked to do: a closure in a savepoint of its own, or a charge.

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::ledger::{Charge, Charged};

/// Whether the group's transaction is on disk; if not, why.
pub(super) type Committed = Result<(), String>;

/// One thing to write.
pub(super) enum Job {
    /// A charge: batched with the others of its group.
    Charge(ChargeJob),
    /// Anything else.
    Other(Box<dyn Work>),
}

impl Job {
    /// Tells the caller, who may have left.
    pub(super) fn answer(self, committed: &Committed) {
        match self {
            Self::Charge(job) => answer(job.answer, job.outcome, committed),
            Self::Other(work) => work.answer(committed),
        }
    }
}

/// A charge, what came of it, and who waits.
pub(super) struct ChargeJob {
    /// The charge.
    pub(super) charge: Charge,
    /// Holds only if the group commits.
    pub(super) outcome: Option<Result<Charged, StoreError>>,
    /// Who waits.
    pub(super) answer: oneshot::Sender<Result<Charged, StoreError>>,
}

/// A closure whose type is hidden, so that one queue takes them all.
pub(super) trait Work: Send {
    /// Runs it; true if its changes are to stay.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Tells the caller.
    fn answer(self: Box<Self>, committed: &Committed);
}

/// The one implementation of [`Work`].
pub(super) struct Closure<T, F> {
    work: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Closure<T, F> {
    /// `work`, to be run once; its outcome goes to `answer`.
    pub(super) const fn new(work: F, answer: oneshot::Sender<Result<T, StoreError>>) -> Self {
        Self { work: Some(work), outcome: None, answer }
    }
}

impl<T, F> Work for Closure<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        self.outcome = self.work.take().map(|work| work(connection));
        matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: &Committed) {
        answer(self.answer, self.outcome, committed);
    }
}

/// A refusal too may rest on what another job of the group wrote, so without the commit nothing is said.
/// No outcome means that the job panicked or was never reached.
fn answer<T>(
    to: oneshot::Sender<Result<T, StoreError>>,
    outcome: Option<Result<T, StoreError>>,
    committed: &Committed,
) {
    let answer = match (committed, outcome) {
        (Ok(()), Some(outcome)) => outcome,
        (Ok(()), None) => Err(StoreError::Unavailable { reason: "the job panicked".to_owned() }),
        (Err(reason), _) => Err(StoreError::Unavailable { reason: reason.clone() }),
    };
    // A caller that left does not want to know.
    drop(to.send(answer));
}
