//! Accepting tasks: room first, for all or none, then each key alone.
//!
//! Who submits for an account holds a lock of that account until the commit, so that room and keys are exact over all
//! nodes. A group is written at a glance: one round trip for all that nothing stands in the way of. For want of room, or
//! because a key or an id is taken, the rest is handed in again, to be looked at closely.

mod closely;
mod columns;
mod glance;

use std::collections::HashMap;
use std::sync::Arc;

use bromo_rules::id::AccountId;
use bromo_rules::task::{NewTask, Priority};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::lane::{Answers, Job};
use super::local::{Local, Moves};
use super::tx::Tx;
use crate::error::StoreError;
use crate::tasks::{Accepted, Submitted};

/// The class of the locks of accounts whose tasks are being accepted.
const LOCK_CLASS: i32 = 0x7461;

/// Locks in ascending order, as everybody does.
const LOCK: &str = "SELECT pg_advisory_xact_lock($1, lock) FROM unnest($2::int[]) AS l (lock)";

/// Tasks that wait, by account and priority.
type Waiting = HashMap<i64, [u64; Priority::COUNT]>;

/// Tasks of one account, handed in together.
pub(super) struct Submission {
    account: AccountId,
    tasks: Vec<NewTask>,
    key_hashes: Vec<Option<Uuid>>,
    hosts: Vec<Option<Arc<str>>>,
    queued_max: u64,
    local: Arc<Local>,
}

/// The number under which an account's key is found. Not a quick hash: customers choose keys, and none may choose two
/// that fall together.
pub(super) fn key_hash(account: AccountId, key: &str) -> Uuid {
    let digest = Sha256::new().chain_update(account.to_i64().to_be_bytes()).chain_update(key).finalize();
    digest.first_chunk().map_or(Uuid::nil(), |bytes| Uuid::from_bytes(*bytes))
}

impl Submission {
    /// Computes what can be beside the lane.
    pub(super) fn new(account: AccountId, tasks: Vec<NewTask>, queued_max: u64, local: Arc<Local>) -> Self {
        let hash = |task: &NewTask| task.idempotency_key.as_deref().map(|key| key_hash(account, key));
        let key_hashes = tasks.iter().map(hash).collect();
        let hosts = tasks.iter().map(|task| task.webhook.as_deref().map(crate::webhook::host)).collect();
        Self { account, tasks, key_hashes, hosts, queued_max, local }
    }
}

/// A submission on its way. Without an answer it is to be looked at closely.
pub(super) struct Submit {
    /// What is handed in.
    pub(super) submission: Arc<Submission>,
    /// Whether a glance was not enough.
    pub(super) closely: bool,
}

impl Job for Submit {
    type Answer = Option<Submitted>;
    // It neither ends nor charges anything.
    const GUARDED: bool = false;

    fn rows(&self) -> usize {
        self.submission.tasks.len().max(1)
    }

    async fn run(tx: &Tx<'_>, jobs: &[Self]) -> Result<Answers<Option<Submitted>>, StoreError> {
        let submissions: Vec<_> = jobs.iter().map(|job| &*job.submission).collect();
        let closely = tx.is_again() || jobs.iter().any(|job| job.closely);
        let answers = if closely {
            let answers = closely::run(tx, &submissions).await?;
            answers.into_iter().map(|answer| answer.map(Some)).collect()
        } else {
            glance::run(tx, &submissions).await?.into_iter().map(Ok).collect::<Answers<_>>()
        };
        if let Some(submission) = submissions.first() {
            let waiting = answers.iter().map(accepted).sum();
            submission.local.moved(Moves { waiting, ..Moves::default() });
        }
        Ok(answers)
    }
}

/// How many tasks of a submission were written.
fn accepted(answer: &Result<Option<Submitted>, StoreError>) -> i64 {
    match answer {
        Ok(Some(Submitted::Each(outcomes))) => {
            outcomes.iter().fold(0, |sum, one| sum + i64::from(one.is_ok()))
        }
        _ => 0,
    }
}

/// One more waits, behind those that did.
fn accept(waiting: &mut [u64; Priority::COUNT], priority: Priority) -> Accepted {
    let index = priority.index();
    let ahead_max = waiting[index..].iter().sum();
    waiting[index] += 1;
    Accepted { ahead_max }
}

/// The locks of these accounts.
fn locks(accounts: impl Iterator<Item = i64>) -> Vec<i32> {
    let mut locks: Vec<i32> = accounts.map(fold).collect();
    locks.sort_unstable();
    locks.dedup();
    locks
}

/// Accounts that fall together wait for each other, no more.
fn fold(account: i64) -> i32 {
    let bytes = account.to_be_bytes();
    let [a, b, c, d, e, f, g, h] = bytes;
    i32::from_be_bytes([a, b, c, d]) ^ i32::from_be_bytes([e, f, g, h])
}
