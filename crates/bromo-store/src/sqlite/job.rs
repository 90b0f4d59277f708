//! What the writer is asked to do: a closure in a savepoint of its own, or one of the few things that come so often
//! that those of a group are written together.

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::attempt::Attempted;
use super::claim::ClaimAsk;
use super::memory::{Changes, Memory};
use super::submit::Submission;
use crate::error::StoreError;
use crate::ledger::{Charge, Charged};
use crate::tasks::{Claim, Claimed, End, Ended, Submitted};

/// Whether the group's transaction is on disk; if not, why.
pub(super) type Committed = Result<(), String>;

/// One thing to write.
pub(super) enum Job {
    /// Tasks to be accepted.
    Submit(Box<Asked<Submission, Submitted>>),
    /// Tasks to be claimed.
    Claim(Box<Asked<ClaimAsk, Vec<Claimed>>>),
    /// A charge.
    Charge(Asked<Charge, Charged>),
    /// The end of a task.
    End(Box<Asked<End, Ended>>),
    /// An attempt at a delivery.
    Attempt(Box<Asked<Attempted, ()>>),
    /// Anything else.
    Other(Box<dyn Work>),
}

impl Job {
    /// How many rows it writes, roughly.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Submit(job) => job.ask.tasks.len(),
            _ => 1,
        }
    }

    /// Whether nobody outside waits for it.
    pub(super) const fn can_wait(&self) -> bool {
        matches!(self, Self::End(_) | Self::Attempt(_))
    }

    /// Whether it hands in tasks.
    pub(super) const fn is_submit(&self) -> bool {
        matches!(self, Self::Submit(_))
    }

    /// What it changes beyond the group's [`Changes`]. Called after the commit, before anybody is answered.
    pub(super) fn apply(&mut self, memory: &Memory) {
        match self {
            Self::Submit(job) => {
                if let Some(Ok(submitted)) = &mut job.outcome {
                    job.ask.apply(memory, submitted);
                }
            }
            Self::Claim(job) => {
                if let Some(Ok(claimed)) = &mut job.outcome {
                    *claimed = job.ask.claimed();
                }
            }
            Self::Charge(_) | Self::End(_) | Self::Attempt(_) | Self::Other(_) => {}
        }
    }

    /// Tells the caller, who may have left. If it cannot be told of tasks that are running in its name, they must be
    /// put back.
    pub(super) fn answer(self, committed: &Committed) -> Vec<Claim> {
        match self {
            Self::Submit(job) => drop(job.answer(committed)),
            Self::Charge(job) => drop(job.answer(committed)),
            Self::End(job) => drop(job.answer(committed)),
            Self::Attempt(job) => drop(job.answer(committed)),
            Self::Claim(mut job) => {
                // What was not claimed is shown again before the caller looks.
                job.ask.taken = None;
                let lost = job.answer(committed).unwrap_or_default();
                return lost.into_iter().map(|claimed| claimed.claim).collect();
            }
            Self::Other(work) => work.answer(committed),
        }
        Vec::new()
    }
}

/// One of the frequent jobs, what came of it, and who waits.
pub(super) struct Asked<A, T> {
    /// What is asked.
    pub(super) ask: A,
    /// Holds only if the group commits.
    pub(super) outcome: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<A, T> Asked<A, T> {
    /// `ask`; its outcome goes to `answer`.
    pub(super) const fn new(ask: A, answer: oneshot::Sender<Result<T, StoreError>>) -> Self {
        Self { ask, outcome: None, answer }
    }

    fn answer(self, committed: &Committed) -> Option<T> {
        answer(self.answer, self.outcome, committed)
    }
}

/// What can be told that it failed.
pub(super) trait Fail {
    /// It did.
    fn fail(&mut self, error: StoreError);
}

impl<A, T> Fail for Asked<A, T> {
    fn fail(&mut self, error: StoreError) {
        self.outcome = Some(Err(error));
    }
}

impl<J: Fail> Fail for Box<J> {
    fn fail(&mut self, error: StoreError) {
        (**self).fail(error);
    }
}

impl<J: Fail> Fail for &mut J {
    fn fail(&mut self, error: StoreError) {
        (**self).fail(error);
    }
}

/// A closure whose type is hidden, so that one queue takes them all.
pub(super) trait Work: Send {
    /// Runs it; true if its changes are to stay.
    fn run(&mut self, connection: &Connection, changes: &mut Changes) -> bool;
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
    F: FnOnce(&Connection, &mut Changes) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection, changes: &mut Changes) -> bool {
        self.outcome = self.work.take().map(|work| work(connection, changes));
        matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: &Committed) {
        drop(answer(self.answer, self.outcome, committed));
    }
}

/// A refusal too may rest on what another job of the group wrote, so without the commit nothing is said.
/// No outcome means that the job panicked or was never reached. Gives back what its caller did not wait for.
fn answer<T>(
    to: oneshot::Sender<Result<T, StoreError>>,
    outcome: Option<Result<T, StoreError>>,
    committed: &Committed,
) -> Option<T> {
    let answer = match (committed, outcome) {
        (Ok(()), Some(outcome)) => outcome,
        (Ok(()), None) => Err(StoreError::Unavailable { reason: "the job panicked".to_owned() }),
        (Err(reason), _) => Err(StoreError::Unavailable { reason: reason.clone() }),
    };
    to.send(answer).err()?.ok()
}
