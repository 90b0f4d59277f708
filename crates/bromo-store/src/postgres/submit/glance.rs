//! At a glance: lock, look and write in one round trip. A submission is written whole, or not at all.

use std::collections::{BTreeMap, HashSet};

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::columns::{Columns, given, given_columns, writing};
use super::{LOCK, LOCK_CLASS, Submission, Waiting, accept, locks};
use crate::error::StoreError;
use crate::postgres::link::{Rows, call};
use crate::postgres::rows::get;
use crate::postgres::task_rows;
use crate::postgres::tx::Tx;
use crate::tasks::Submitted;

/// Of an account without room for all that is handed in nothing is written, nor of a submission with a key that is taken.
/// Answers, by account: whether it has no room; what waited there, by priority; and, each time, the places of submissions
/// with a taken key.
const WRITE: &str = concat!(
    "WITH given AS MATERIALIZED (SELECT * FROM unnest(",
    given!(),
    ", $17::int[]) AS g (",
    given_columns!(),
    ", place)),
    accounts AS MATERIALIZED (
        SELECT a.account, a.room < coalesce(w.waiting, 0) AS is_full, w.priorities, w.counts
        FROM unnest($18::bigint[], $19::bigint[]) AS a (account, room)
        CROSS JOIN LATERAL (
            SELECT sum(p.count) AS waiting, array_agg(p.priority) AS priorities, array_agg(p.count) AS counts FROM (
                SELECT i.priority, i.tasks - coalesce(o.claimed + o.removed, 0) AS count
                FROM queue_in i LEFT JOIN queue_out o ON o.account = i.account AND o.priority = i.priority
                WHERE i.account = a.account) p) w),
    taken AS MATERIALIZED (
        SELECT DISTINCT g.place FROM given g
        CROSS JOIN LATERAL (SELECT FROM task_keys k WHERE k.hash = g.key_hash LIMIT 1) k),
    new AS MATERIALIZED (
        SELECT nextval('task_seqs') AS seq, g.* FROM given g
        WHERE g.account NOT IN (SELECT account FROM accounts WHERE is_full)
            AND g.place NOT IN (SELECT place FROM taken)),
    ",
    writing!(),
    " SELECT account, is_full, priorities, counts, (SELECT array_agg(place) FROM taken) FROM accounts"
);

/// Writes what nothing stands in the way of. No answer: it was not written, and is to be looked at closely.
pub(super) async fn run(tx: &Tx<'_>, jobs: &[&Submission]) -> Result<Vec<Option<Submitted>>, StoreError> {
    let mut given = Given::default();
    let tried: Vec<bool> = (0..).zip(jobs).map(|(place, job)| given.push(place, job)).collect();
    let accounts: Vec<i64> = given.accounts.keys().copied().collect();
    let rooms: Vec<i64> = given.accounts.values().map(Room::left).collect();
    let locks = locks(accounts.iter().copied());
    let rest: [&(dyn ToSql + Sync); 3] = [&given.places, &accounts, &rooms];
    let write = call(WRITE, &[given.columns.params().as_slice(), &rest].concat());
    let [_, found] = tx.commit([call(LOCK, &[&LOCK_CLASS, &locks]), write]).await?;
    let mut found = Found::read(&found)?;
    let answer = |((place, job), tried): ((i32, &&Submission), bool)| {
        tried.then(|| found.answer(place, job)).flatten()
    };
    Ok((0..).zip(jobs).zip(tried).map(answer).collect())
}

/// What is handed in.
#[derive(Default)]
struct Given<'a> {
    columns: Columns<'a>,
    /// Of its submission in the group, a row each.
    places: Vec<i32>,
    accounts: BTreeMap<i64, Room>,
    keys: HashSet<Uuid>,
}

/// For an account's tasks of one group.
struct Room {
    tasks: u64,
    queued_max: u64,
}

impl Room {
    /// As many may wait already.
    fn left(&self) -> i64 {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        number(self.queued_max).saturating_sub(number(self.tasks))
    }
}

impl<'a> Given<'a> {
    /// One more; false, and nothing is handed in, if it has a key twice, or one that another of the group has.
    fn push(&mut self, place: i32, job: &'a Submission) -> bool {
        if job.key_hashes.iter().flatten().any(|key| !self.keys.insert(*key)) {
            return false;
        }
        let room = self.accounts.entry(job.account.to_i64());
        let room = room.or_insert(Room { tasks: 0, queued_max: job.queued_max });
        room.tasks += job.tasks.len() as u64;
        room.queued_max = room.queued_max.min(job.queued_max);
        for ((task, hash), host) in job.tasks.iter().zip(&job.key_hashes).zip(&job.hosts) {
            self.columns.push(job.account, task, *hash, host.as_deref());
            self.places.push(place);
        }
        true
    }
}

/// What stood in the way, and what waited.
#[derive(Default)]
struct Found {
    waiting: Waiting,
    full: HashSet<i64>,
    taken: HashSet<i32>,
}

impl Found {
    fn read(rows: &Rows) -> Result<Self, StoreError> {
        let mut found = Self::default();
        for row in &rows.rows {
            let account = get(row, 0)?;
            if get(row, 1)? {
                found.full.insert(account);
            }
            let waiting = found.waiting.entry(account).or_default();
            let priorities: Option<Vec<i16>> = get(row, 2)?;
            let counts: Option<Vec<i64>> = get(row, 3)?;
            for (priority, count) in priorities.into_iter().flatten().zip(counts.into_iter().flatten()) {
                waiting[task_rows::priority_of(priority)?.index()] = u64::try_from(count).unwrap_or(0);
            }
            let taken: Option<Vec<i32>> = get(row, 4)?;
            found.taken.extend(taken.into_iter().flatten());
        }
        Ok(found)
    }

    fn answer(&mut self, place: i32, job: &Submission) -> Option<Submitted> {
        let account = job.account.to_i64();
        if self.full.contains(&account) || self.taken.contains(&place) {
            return None;
        }
        let waiting = self.waiting.entry(account).or_default();
        Some(Submitted::Each(job.tasks.iter().map(|task| Ok(accept(waiting, task.priority))).collect()))
    }
}
