//! Writing in groups: a lane is a queue of jobs of one kind, and a connection whose transactions each write a group of them.
//!
//! Nobody waits for company: a job that comes alone is written alone, at once. While one transaction is on its way the
//! next group gathers, so the group grows with the load. A group costs two round trips, however large it is: one that
//! locks and reads, one that writes and commits ([`Tx`]). Between the two, rules decide in Rust.
//!
//! To build a lane: write a [`Job`], add a field `Lane<ThatJob>` to the store's parts, start it in `open`, and call
//! [`Lane::ask`]:
//!
//! ```text
//! async fn run(tx: &Tx<'_>, jobs: &[Self]) -> Result<Vec<Result<Answer, StoreError>>, StoreError> {
//!     let ids = …; // All of the group, in the order in which locks are taken: queue rows by seq, then accounts by id.
//!     let [locked, found] = tx.read([call(LOCK, &[&ids]), call(READ, &[&ids])]).await?;
//!     let (answers, columns) = decide(jobs, &locked, &found)?;
//!     tx.commit([call(WRITE, &[&columns.ids, &columns.values])]).await?;
//!     Ok(answers)
//! }
//! ```
//!
//! A refusal that concerns one job is an `Err` inside the vector; the others are written. If the transaction fails, the
//! jobs are tried again one by one, so that one caller's fault fails that caller alone. If the connection was lost,
//! everyone is told that the database is unavailable: the group may be written or not, so each job must be safe to
//! repeat.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use bromo_rules::id::NodeId;
use futures_util::FutureExt;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::error::Fault;
use super::kept::Kept;
use super::link::Link;
use super::settings::JOBS_WAITING_MAX;
use super::tx::Tx;
use crate::error::StoreError;

/// Jobs tried one by one that may be late, each for seconds, before the rest of their group is told so unheard.
const LATE_MAX: usize = 2;
/// How often a job alone is run again because others came in between.
const RACES_MAX: usize = 5;

/// What became of each job of a group, in their order.
pub(super) type Answers<T> = Vec<Result<T, StoreError>>;

/// A kind of thing to write.
pub(super) trait Job: Sized + Send + 'static {
    /// What the caller learns.
    type Answer: Send + 'static;

    /// Whether nothing is to be written once this node was taken for dead. Costs no round trip.
    const GUARDED: bool;

    /// How its transactions begin.
    const BEGIN: &'static str = "BEGIN";

    /// Rows that share a transaction, roughly: one job more than this at most.
    const ROWS_MAX: usize = 1024;

    /// How many rows this job writes, roughly.
    fn rows(&self) -> usize {
        1
    }

    /// Runs a group of one at least, in one transaction; one answer each, in their order. May be run again.
    ///
    /// # Errors
    /// Nothing was written.
    async fn run(tx: &Tx<'_>, jobs: &[Self]) -> Result<Answers<Self::Answer>, StoreError>;

    /// What is to be done because nobody was there to hear the answer; runs with the next group.
    fn unheard(self, answer: Self::Answer) -> Option<Self> {
        drop(answer);
        None
    }

    /// It was not written, or is not known to be, and there is nobody to be told.
    fn unwritten(&self) {}
}

/// The way to a lane. When the last one is dropped, the lane ends with what was handed over.
pub(super) struct Lane<J: Job> {
    jobs: mpsc::Sender<Asked<J>>,
}

impl<J: Job> Clone for Lane<J> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone() }
    }
}

struct Asked<J: Job> {
    job: J,
    answer: oneshot::Sender<Result<J::Answer, StoreError>>,
}

impl<J: Job> Lane<J> {
    /// Has the job written with the next group. Once handed over it is, even if the caller leaves.
    ///
    /// # Errors
    /// The job's own, and [`StoreError::Unavailable`].
    pub(super) async fn ask(&self, job: J) -> Result<J::Answer, StoreError> {
        let gone = || StoreError::Unavailable { reason: "the store has ended".to_owned() };
        let (answer, outcome) = oneshot::channel();
        self.jobs.send(Asked { job, answer }).await.map_err(|_| gone())?;
        outcome.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Asks for a job that may have no answer at a glance; then it is made again, to be looked at closely.
    ///
    /// # Errors
    /// As of [`Lane::ask`].
    pub(super) async fn ask_twice<T>(&self, job: impl Fn(bool) -> J) -> Result<T, StoreError>
    where
        J: Job<Answer = Option<T>>,
    {
        for closely in [false, true] {
            if let Some(answer) = self.ask(job(closely)).await? {
                return Ok(answer);
            }
        }
        Err(unanswered())
    }

    /// Hands the job over without waiting for anything; gives it back if too many wait already.
    pub(super) fn tell(&self, job: J) -> Result<(), J> {
        let (answer, _) = oneshot::channel();
        self.jobs.try_send(Asked { job, answer }).map_err(|refused| refused.into_inner().job)
    }
}

/// What writes a lane's jobs, not started yet.
pub(super) struct Worker<J: Job> {
    jobs: mpsc::Receiver<Asked<J>>,
    connections: Vec<Kept>,
    node: NodeId,
}

/// A lane over these connections. More than one share the queue: for jobs that must not wait for each other.
pub(super) fn lane<J: Job>(connections: Vec<Kept>, node: NodeId) -> (Lane<J>, Worker<J>) {
    let (sender, receiver) = mpsc::channel(JOBS_WAITING_MAX);
    (Lane { jobs: sender }, Worker { jobs: receiver, connections, node })
}

impl<J: Job> Worker<J> {
    /// Writes until the lane is dropped.
    pub(super) async fn work(self) {
        let jobs = Rc::new(Mutex::new(self.jobs));
        let guard = J::GUARDED.then_some(self.node);
        let connections = self.connections.iter();
        futures_util::future::join_all(connections.map(|kept| serve(&jobs, kept, guard))).await;
    }
}

async fn serve<J: Job>(jobs: &Mutex<mpsc::Receiver<Asked<J>>>, kept: &Kept, guard: Option<NodeId>) {
    let mut unheard = Vec::new();
    loop {
        let (group, callers) = gather(&mut *jobs.lock().await, std::mem::take(&mut unheard)).await;
        if group.is_empty() {
            return;
        }
        let outcomes = match kept.get() {
            Ok(link) => settle(&link, guard, &group).await,
            Err(away) => group.iter().map(|_| Err(copy(&away))).collect(),
        };
        for ((job, caller), outcome) in group.into_iter().zip(callers).zip(outcomes) {
            let left = match caller {
                Some(caller) => caller.send(outcome).err(),
                None => {
                    if outcome.is_err() {
                        job.unwritten();
                    }
                    None
                }
            };
            if let Some(Ok(answer)) = left {
                unheard.extend(job.unheard(answer));
            }
        }
    }
}

type Caller<J> = Option<oneshot::Sender<Result<<J as Job>::Answer, StoreError>>>;

/// What has arrived, behind these, for which nobody waits; waits only if there is nothing at all. Empty at the end.
async fn gather<J: Job>(jobs: &mut mpsc::Receiver<Asked<J>>, mut group: Vec<J>) -> (Vec<J>, Vec<Caller<J>>) {
    let mut callers: Vec<Caller<J>> = group.iter().map(|_| None).collect();
    let mut rows: usize = group.iter().map(J::rows).sum();
    let mut next = if group.is_empty() { jobs.recv().await } else { jobs.try_recv().ok() };
    while let Some(Asked { job, answer }) = next {
        rows += job.rows();
        group.push(job);
        callers.push(Some(answer));
        next = if rows < J::ROWS_MAX { jobs.try_recv().ok() } else { None };
    }
    (group, callers)
}

/// Runs the group, or, where it fails for one job's sake, each job alone.
async fn settle<J: Job>(link: &Link, guard: Option<NodeId>, jobs: &[J]) -> Answers<J::Answer> {
    let (error, fault) = match attempt(Tx::new(link, J::BEGIN, guard), jobs).await {
        Ok(answers) => return answers,
        Err(failed) => failed,
    };
    let [job] = jobs else {
        if matches!(fault, Some(Fault::Lost | Fault::Dead)) || link.is_closed() {
            return jobs.iter().map(|_| Err(copy(&error))).collect();
        }
        tracing::warn!(%error, jobs = jobs.len(), "a group was not written; trying its jobs one by one");
        return one_by_one(link, guard, jobs).await;
    };
    vec![alone(link, guard, job, error, fault).await.map_err(|(error, _)| error)]
}

async fn one_by_one<J: Job>(link: &Link, guard: Option<NodeId>, jobs: &[J]) -> Answers<J::Answer> {
    let mut answers = Vec::with_capacity(jobs.len());
    let mut late = 0;
    for job in jobs {
        if link.is_closed() || late >= LATE_MAX {
            answers.push(Err(StoreError::Unavailable { reason: "the database is too slow".to_owned() }));
            continue;
        }
        let outcome = match attempt(Tx::new(link, J::BEGIN, guard).again(), std::slice::from_ref(job)).await {
            Ok(mut answer) => answer.pop().unwrap_or_else(|| Err(unanswered())),
            Err((error, fault)) => match alone(link, guard, job, error, fault).await {
                Ok(answer) => Ok(answer),
                Err((error, fault)) => {
                    late += usize::from(fault == Some(Fault::Late));
                    Err(error)
                }
            },
        };
        answers.push(outcome);
    }
    answers
}

/// Runs a job again, as long as it fails because others came in between.
async fn alone<J: Job>(
    link: &Link,
    guard: Option<NodeId>,
    job: &J,
    mut error: StoreError,
    mut fault: Option<Fault>,
) -> Result<J::Answer, Failed> {
    for _ in 0..RACES_MAX {
        if fault != Some(Fault::Race) {
            break;
        }
        match attempt(Tx::new(link, J::BEGIN, guard).again(), std::slice::from_ref(job)).await {
            Ok(mut answers) => {
                return answers.pop().unwrap_or_else(|| Err(unanswered())).map_err(|e| (e, None));
            }
            Err(failed) => (error, fault) = failed,
        }
    }
    Err((error, fault))
}

type Failed = (StoreError, Option<Fault>);

/// One transaction. An error of the job's own has no fault.
async fn attempt<J: Job>(tx: Tx<'_>, jobs: &[J]) -> Result<Answers<J::Answer>, Failed> {
    let ran = AssertUnwindSafe(J::run(&tx, jobs)).catch_unwind().await;
    let outcome = match ran {
        Ok(Ok(answers)) if answers.len() == jobs.len() => tx.finish().await.map(|()| answers),
        Ok(Ok(_)) => Err(unanswered()),
        Ok(Err(error)) => Err(error),
        Err(panic) => {
            tracing::error!(panic = panic_text(panic.as_ref()), "a store job panicked");
            Err(StoreError::Unavailable { reason: "the job panicked".to_owned() })
        }
    };
    match outcome {
        Ok(answers) => Ok(answers),
        Err(error) => {
            tx.roll_back().await;
            Err((error, tx.fault()))
        }
    }
}

/// The same for the next caller.
fn copy(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable { reason } => StoreError::Unavailable { reason: reason.clone() },
        other => StoreError::Unavailable { reason: other.to_string() },
    }
}

fn unanswered() -> StoreError {
    StoreError::Unavailable { reason: "a job was not answered".to_owned() }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
