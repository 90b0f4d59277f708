//! Accepting tasks: room first, for all or none, then each key alone.
//!
//! Who submits for an account holds a lock of that account until the commit, so that room and keys are exact over all
//! nodes. What is there is read behind the lock, and everything is written by one statement.

use std::collections::HashMap;
use std::sync::Arc;

use bromo_rules::id::AccountId;
use bromo_rules::task::{NewTask, Priority, TaskState};
use sha2::{Digest, Sha256};
use tokio_postgres::Row;
use uuid::Uuid;

use super::lane::{Answers, Job};
use super::link::{Rows, call};
use super::local::{Local, Moves};
use super::rows::get;
use super::task_rows;
use super::tx::Tx;
use crate::error::StoreError;
use crate::numbers;
use crate::tasks::{Accepted, KeyTaken, Submitted};

/// The class of the locks of accounts whose tasks are being accepted.
const LOCK_CLASS: i32 = 0x7461;

/// Locks in ascending order, as everybody does.
const LOCK: &str = "SELECT pg_advisory_xact_lock($1, lock) FROM unnest($2::int[]) AS l (lock)";

const WAITING: &str = "SELECT i.account, i.priority, i.tasks - coalesce(o.claimed + o.removed, 0)
    FROM queue_in i LEFT JOIN queue_out o ON o.account = i.account AND o.priority = i.priority
    WHERE i.account = ANY($1)";

const KEYS: &str =
    "SELECT k.hash, k.id, CASE WHEN q.seq IS NULL THEN r.state WHEN q.node IS NULL THEN 2 ELSE 3 END
    FROM unnest($1::uuid[], $2::bigint[]) AS w (hash, account)
    JOIN task_keys k ON k.hash = w.hash
    LEFT JOIN tasks t ON t.account = w.account AND t.id = k.id
    LEFT JOIN queue q ON q.seq = t.seq
    LEFT JOIN results r ON r.seq = t.seq AND r.id = t.id";

const IDS: &str = "SELECT id FROM tasks WHERE account = $1 AND id = ANY($2)";

const INSERT: &str = "WITH new AS MATERIALIZED (
        SELECT nextval('task_seqs') AS seq, n.* FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[],
            $5::bigint[], $6::uuid[], $7::int[], $8::smallint[], $9::smallint[], $10::smallint[], $11::smallint[],
            $12::bytea[], $13::bytea[], $14::bytea[], $15::bytea[], $16::bigint[])
        AS n (id, account, key, price, created_at, key_hash, clusters_max, endpoint, kind, priority, line,
            payload, webhook, idempotency_key, host, hold)),
    keys AS (INSERT INTO task_keys (hash, id) SELECT key_hash, id FROM new WHERE key_hash IS NOT NULL),
    tasks AS (INSERT INTO tasks (id, account, seq, key, price, created_at, key_hash, clusters_max, endpoint, kind,
            priority, payload, webhook, idempotency_key)
        SELECT id, account, seq, key, price, created_at, key_hash, clusters_max, endpoint, kind,
            priority, payload, webhook, idempotency_key FROM new),
    queue AS (INSERT INTO queue (seq, id, account, hold, priority, line, endpoint, host)
        SELECT seq, id, account, hold, priority, line, endpoint, host FROM new)
    INSERT INTO queue_in AS i (account, priority, tasks, floor)
        SELECT account, priority, count(*), min(seq) FROM new GROUP BY account, priority ORDER BY account, priority
    ON CONFLICT (account, priority) DO UPDATE
        SET tasks = i.tasks + excluded.tasks, floor = least(i.floor, excluded.floor)";

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

impl Job for Submission {
    type Answer = Submitted;
    // It neither ends nor charges anything.
    const GUARDED: bool = false;

    fn rows(&self) -> usize {
        self.tasks.len().max(1)
    }

    async fn run(tx: &Tx<'_>, jobs: &[Self]) -> Result<Answers<Submitted>, StoreError> {
        let mut known = Known::read(tx, jobs).await?;
        let mut new = Columns::default();
        let answers: Answers<Submitted> = jobs.iter().map(|job| job.decide(&mut known, &mut new)).collect();
        if !new.ids.is_empty() {
            new.write(tx).await?;
        }
        if let Some(job) = jobs.first() {
            let waiting = i64::try_from(new.ids.len()).unwrap_or(0);
            job.local.moved(Moves { waiting, ..Moves::default() });
        }
        Ok(answers)
    }
}

impl Submission {
    fn decide<'a>(&'a self, known: &mut Known, new: &mut Columns<'a>) -> Result<Submitted, StoreError> {
        if self.tasks.iter().any(|task| known.ids.contains(&task_rows::uuid(task.id))) {
            return Err(StoreError::Conflict { what: "task" });
        }
        let waiting = known.waiting.entry(self.account.to_i64()).or_default();
        let queued = waiting.iter().sum::<u64>();
        if queued + self.tasks.len() as u64 > self.queued_max {
            return Ok(Submitted::Full { queued });
        }
        let mut outcomes = Vec::with_capacity(self.tasks.len());
        for ((task, hash), host) in self.tasks.iter().zip(&self.key_hashes).zip(&self.hosts) {
            if let Some(taken) = hash.and_then(|hash| known.keys.get(&hash)) {
                outcomes.push(Err(*taken));
                continue;
            }
            if let Some(hash) = hash {
                known.keys.insert(*hash, KeyTaken { id: task.id, state: TaskState::Queued });
            }
            let index = task.priority.index();
            outcomes.push(Ok(Accepted { ahead_max: waiting[index..].iter().sum() }));
            waiting[index] += 1;
            new.push(self.account, task, *hash, host.as_deref());
        }
        Ok(Submitted::Each(outcomes))
    }
}

/// What a group finds.
#[derive(Default)]
struct Known {
    waiting: HashMap<i64, [u64; Priority::COUNT]>,
    keys: HashMap<Uuid, KeyTaken>,
    /// Of a job that failed once: ids of its tasks that are taken.
    ids: Vec<Uuid>,
}

impl Known {
    async fn read(tx: &Tx<'_>, jobs: &[Submission]) -> Result<Self, StoreError> {
        let mut accounts: Vec<i64> = jobs.iter().map(|job| job.account.to_i64()).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let mut locks: Vec<i32> = accounts.iter().map(|account| fold(*account)).collect();
        locks.sort_unstable();
        locks.dedup();
        let (mut hashes, mut owners) = (Vec::new(), Vec::new());
        for job in jobs {
            for hash in job.key_hashes.iter().flatten() {
                hashes.push(*hash);
                owners.push(job.account.to_i64());
            }
        }
        // Ids that are taken are met by chance, so they are looked for only by a job that failed once: it is alone then.
        let ids: Vec<Uuid> = match jobs {
            [job] if tx.is_again() => job.tasks.iter().map(|task| task_rows::uuid(task.id)).collect(),
            _ => Vec::new(),
        };
        let mut calls = vec![call(LOCK, &[&LOCK_CLASS, &locks]), call(WAITING, &[&accounts])];
        if !hashes.is_empty() {
            calls.push(call(KEYS, &[&hashes, &owners]));
        }
        if !ids.is_empty() {
            calls.push(call(IDS, &[&accounts[0], &ids]));
        }
        let mut answers = tx.read_all(&calls).await?.into_iter().skip(1);
        let mut next = |asked: bool| if asked { answers.next().unwrap_or_default() } else { Rows::default() };
        let (waiting, keys, taken) = (next(true), next(!hashes.is_empty()), next(!ids.is_empty()));
        let mut known = Self::default();
        for row in &waiting.rows {
            known.count(row)?;
        }
        for row in &keys.rows {
            let state: Option<i32> = get(row, 2)?;
            // Without a task it is being deleted this moment: what comes next finds out.
            let state = state.and_then(|state| numbers::state(state.into())).unwrap_or(TaskState::Queued);
            known.keys.insert(get(row, 0)?, KeyTaken { id: task_rows::id(row, 1)?, state });
        }
        for row in &taken.rows {
            known.ids.push(get(row, 0)?);
        }
        Ok(known)
    }

    fn count(&mut self, row: &Row) -> Result<(), StoreError> {
        let (account, count): (i64, i64) = (get(row, 0)?, get(row, 2)?);
        let priority = task_rows::priority(row, 1)?;
        let waiting = self.waiting.entry(account).or_default();
        waiting[priority.index()] = u64::try_from(count).unwrap_or(0);
        Ok(())
    }
}

/// Accounts that fall together wait for each other, no more.
fn fold(account: i64) -> i32 {
    let bytes = account.to_be_bytes();
    let [a, b, c, d, e, f, g, h] = bytes;
    i32::from_be_bytes([a, b, c, d]) ^ i32::from_be_bytes([e, f, g, h])
}

/// New rows, a vector a column.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    accounts: Vec<i64>,
    keys: Vec<i64>,
    prices: Vec<i64>,
    created_at: Vec<i64>,
    key_hashes: Vec<Option<Uuid>>,
    clusters_max: Vec<i32>,
    endpoints: Vec<i16>,
    kinds: Vec<i16>,
    priorities: Vec<i16>,
    lines: Vec<i16>,
    payloads: Vec<&'a [u8]>,
    webhooks: Vec<Option<&'a [u8]>>,
    idempotency_keys: Vec<Option<&'a [u8]>>,
    hosts: Vec<Option<&'a [u8]>>,
    holds: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, account: AccountId, task: &'a NewTask, hash: Option<Uuid>, host: Option<&'a str>) {
        self.ids.push(task_rows::uuid(task.id));
        self.accounts.push(account.to_i64());
        self.keys.push(task.key.to_i64());
        self.prices.push(task.price.fixed.get());
        self.created_at.push(task.created_at.millis());
        self.key_hashes.push(hash);
        self.clusters_max.push(i32::try_from(task.price.clusters_max).unwrap_or(i32::MAX));
        self.endpoints.push(numbers::of_endpoint(task.endpoint));
        self.kinds.push(numbers::of_kind(task.kind));
        self.priorities.push(task.priority.get().into());
        self.lines.push(task_rows::line(task.endpoint, task.kind));
        self.payloads.push(task.payload.as_bytes());
        self.webhooks.push(task.webhook.as_deref().map(str::as_bytes));
        self.idempotency_keys.push(task.idempotency_key.as_deref().map(str::as_bytes));
        self.hosts.push(host.map(str::as_bytes));
        self.holds.push(task.price.hold().get());
    }

    async fn write(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let Self { ids, accounts, keys, prices, created_at, key_hashes, clusters_max, .. } = self;
        let Self { endpoints, kinds, priorities, lines, payloads, webhooks, idempotency_keys, hosts, .. } =
            self;
        let insert = call(
            INSERT,
            &[
                ids,
                accounts,
                keys,
                prices,
                created_at,
                key_hashes,
                clusters_max,
                endpoints,
                kinds,
                priorities,
                lines,
                payloads,
                webhooks,
                idempotency_keys,
                hosts,
                &self.holds,
            ],
        );
        tx.commit([insert]).await?;
        Ok(())
    }
}
