//! The one thread that writes: it takes whatever has arrived and commits it together.
//!
//! Nobody waits for company: a job that comes alone is committed alone, at once. While one commit runs the
//! next group gathers, so the group size follows the load (ceilings: 64 callers, about 63 jobs a commit).
//!
//! What a client waits for goes first: see [`gather`].
//!
//! Callers are told only after the commit, and with [`Durability::Full`](super::connection::Durability)
//! that is after the fsync. A failed commit is told to everyone in the group; the next group is a new try.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::attempt::Attempted;
use super::checkpoint::Checkpointer;
use super::claim::{self, ClaimAsk};
use super::group;
use super::job::{Asked, Closure, Job};
use super::memory::{Changes, Memory};
use super::submit::Submission;
use crate::error::StoreError;
use crate::ledger::{Charge, Charged};
use crate::tasks::{Claimed, End, Ended, Submitted};

/// Jobs that may wait for the writer; past it callers wait to hand theirs over.
const JOBS_WAITING_MAX: usize = 8192;
/// Rows that share one commit, roughly; one job more than this at most.
const GROUP_ROWS_MAX: usize = 4096;

/// Ends of tasks and attempts at deliveries in a commit that somebody waits for: one for so many jobs of those, …
const BEHIND_SHARE: usize = 2;
/// … and so many in any case.
const BEHIND_MIN: usize = 8;
/// Ends and attempts in a commit of their own: whoever hands in a task meanwhile waits for it, some 4 ms.
const BEHIND_MAX: usize = 128;
/// After a commit with submits, ends and attempts alone wait so long for the next submit to share its commit, …
const PATIENCE: Duration = Duration::from_millis(4);
/// … looked for so often.
const GLANCE: Duration = Duration::from_micros(200);

/// The way to the thread that writes. Dropping it commits what was handed over, then ends the thread.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    #[cfg(test)]
    handed_over: std::sync::atomic::AtomicUsize,
}

impl Writer {
    /// Starts the thread. `connection` is used by nobody else, and what it writes of tasks is followed by `memory`.
    pub(super) fn start(
        name: &str,
        connection: Connection,
        checkpointer: Option<Checkpointer>,
        memory: Arc<Memory>,
    ) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::channel(JOBS_WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write_all(receiver, &connection, checkpointer.as_ref(), &memory))
            .map_err(|error| StoreError::Unavailable { reason: format!("no thread to write: {error}") })?;
        Ok(Self {
            jobs: Some(sender),
            thread: Some(thread),
            #[cfg(test)]
            handed_over: Default::default(),
        })
    }

    /// Runs `work` in a savepoint of the next group; an error undoes it and nothing else.
    ///
    /// Once handed over, it runs even if the caller leaves.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.change(|connection, _| work(connection)).await
    }

    /// The same for work that tells what it changes of tasks and deliveries.
    pub(super) async fn change<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &mut Changes) -> Result<T, StoreError> + Send + 'static,
    {
        self.hand_over(|answer| Job::Other(Box::new(Closure::new(work, answer)))).await
    }

    /// Pays a charge with the next group.
    pub(super) async fn charge(&self, charge: Charge) -> Result<Charged, StoreError> {
        self.hand_over(|answer| Job::Charge(Asked::new(charge, answer))).await
    }

    /// Accepts tasks with the next group.
    pub(super) async fn submit(&self, ask: Submission) -> Result<Submitted, StoreError> {
        self.hand_over(|answer| Job::Submit(Box::new(Asked::new(ask, answer)))).await
    }

    /// Claims tasks with the next group.
    pub(super) async fn claim(&self, ask: ClaimAsk) -> Result<Vec<Claimed>, StoreError> {
        self.hand_over(|answer| Job::Claim(Box::new(Asked::new(ask, answer)))).await
    }

    /// Ends a task with the next group.
    pub(super) async fn end(&self, end: End) -> Result<Ended, StoreError> {
        self.hand_over(|answer| Job::End(Box::new(Asked::new(end, answer)))).await
    }

    /// Records an attempt with the next group.
    pub(super) async fn attempt(&self, attempted: Attempted) -> Result<(), StoreError> {
        self.hand_over(|answer| Job::Attempt(Box::new(Asked::new(attempted, answer)))).await
    }

    /// Jobs that were handed over since the beginning.
    #[cfg(test)]
    pub(super) fn handed_over(&self) -> usize {
        self.handed_over.load(std::sync::atomic::Ordering::SeqCst)
    }

    async fn hand_over<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job,
    ) -> Result<T, StoreError> {
        let (answer, outcome) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job(answer)).await.map_err(|_| gone())?;
        #[cfg(test)]
        self.handed_over.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        outcome.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // Its panics were caught and logged inside.
            drop(thread.join());
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable { reason: "the writer has ended".to_owned() }
}

fn write_all(
    mut jobs: mpsc::Receiver<Job>,
    connection: &Connection,
    checkpointer: Option<&Checkpointer>,
    memory: &Arc<Memory>,
) {
    let mut group = Vec::new();
    let mut behind = VecDeque::new();
    let mut was_failing = false;
    let mut patient_until = None;
    while gather(&mut jobs, &mut group, &mut behind, patient_until) {
        let submits = group.iter().any(Job::is_submit);
        let committed = group::commit(connection, memory, &mut group);
        // Each caller tells of its own failure; here only the turns, or a full disk fills the log too.
        match &committed {
            Err(reason) if !was_failing => tracing::error!(reason, "commits fail"),
            Ok(()) if was_failing => tracing::info!("commits work again"),
            _ => {}
        }
        was_failing = committed.is_err();
        let lost: Vec<_> = group.drain(..).flat_map(|job| job.answer(&committed)).collect();
        if !lost.is_empty() {
            // The first job of the next group, which does not wait for another.
            let (nobody, _) = oneshot::channel();
            let put_back = move |connection: &Connection, changes: &mut Changes| {
                claim::unmake(connection, changes, &lost)
            };
            group.push(Job::Other(Box::new(Closure::new(put_back, nobody))));
        }
        if submits {
            patient_until = Some(Instant::now() + PATIENCE);
        }
        if let Some(checkpointer) = checkpointer {
            checkpointer.after_commit(connection);
        }
    }
    if let Err(error) = group::finish(connection, memory) {
        tracing::warn!(%error, "cannot write what the next start could do without");
    }
}

/// Adds what has arrived; waits only if there is nothing at all, or nothing that somebody waits for. False at the end.
///
/// Where someone waits for an acknowledgement or a charge, only a few ends of tasks and delivery attempts, which nobody
/// waits for, share the commit: the others stay `behind`, in their order, for the next ones. There are no more of them than
/// attempts and deliveries under way. Ends alone wait until `patient_until`: where submits come one after the other, a commit
/// between two of them would keep the next one waiting.
fn gather(
    jobs: &mut mpsc::Receiver<Job>,
    group: &mut Vec<Job>,
    behind: &mut VecDeque<Job>,
    patient_until: Option<Instant>,
) -> bool {
    let mut arrived = None;
    if group.is_empty() && behind.is_empty() {
        let Some(job) = jobs.blocking_recv() else { return false };
        arrived = Some(job);
    }
    let mut rows: usize = group.iter().map(Job::weight).sum();
    loop {
        while rows < GROUP_ROWS_MAX
            && let Some(job) = arrived.take().or_else(|| jobs.try_recv().ok())
        {
            rows += job.weight();
            if job.can_wait() { behind.push_back(job) } else { group.push(job) }
        }
        if !group.is_empty() || patient_until.is_none_or(|until| until <= Instant::now()) {
            break;
        }
        std::thread::sleep(GLANCE);
    }
    let share = if group.is_empty() { BEHIND_MAX } else { (group.len() / BEHIND_SHARE).max(BEHIND_MIN) };
    group.extend(behind.drain(..share.min(behind.len())));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{end, task};
    use crate::tasks::{Claim, Ender};
    use bromo_rules::id::AccountId;

    const LONG: Duration = Duration::from_secs(60);

    fn an_end() -> Job {
        let ender = Ender::Claim(Claim { seq: 1, fence: 1 });
        Job::End(Box::new(Asked::new(end(ender), oneshot::channel().0)))
    }

    fn a_submit() -> Job {
        let account = AccountId::from_random(1);
        let ask = Submission::new(account, vec![task(account, 1)], 10);
        Job::Submit(Box::new(Asked::new(ask, oneshot::channel().0)))
    }

    #[test]
    fn ends_wait_for_the_next_submit_where_submits_come_one_after_the_other() {
        let (sender, mut jobs) = mpsc::channel(8);
        sender.try_send(an_end()).ok().unwrap();
        let late = std::thread::spawn(move || sender.blocking_send(a_submit()).ok().unwrap());
        let (mut group, mut behind) = (Vec::new(), VecDeque::new());
        assert!(gather(&mut jobs, &mut group, &mut behind, Some(Instant::now() + LONG)));
        late.join().unwrap();
        assert!(matches!(group.as_slice(), [Job::Submit(_), Job::End(_)]));
    }

    #[test]
    fn ends_alone_wait_for_nobody() {
        let (sender, mut jobs) = mpsc::channel(8);
        for patient_until in [None, Some(Instant::now())] {
            sender.try_send(an_end()).ok().unwrap();
            let mut group = Vec::new();
            assert!(gather(&mut jobs, &mut group, &mut VecDeque::new(), patient_until));
            assert!(matches!(group.as_slice(), [Job::End(_)]));
        }
    }
}
