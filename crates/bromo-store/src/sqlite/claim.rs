//! Claiming tasks, and putting claimed ones back.

use std::sync::Arc;

use bromo_rules::id::KeyId;
use bromo_rules::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::group::Step;
use super::job::Asked;
use super::memory::{Change, Changes, TakenTasks};
use super::rows::first;
use super::task_rows;
use crate::error::StoreError;
use crate::tasks::{Back, Claim, Claimed, TaskSeq};
use crate::webhook;

/// Tasks to be claimed. All but the claim itself was read before, beside the writer.
pub(super) struct ClaimAsk {
    /// None once it is settled who has them.
    pub(super) taken: Option<TakenTasks>,
    candidates: Vec<Candidate>,
    now: Timestamp,
    fence: i64,
    granted: Vec<Granted>,
}

/// A candidate that was claimed.
struct Granted {
    candidate: usize,
    attempt: u8,
    cuts: u32,
}

impl ClaimAsk {
    /// Those of `candidates` that still wait; `taken` is them.
    pub(super) const fn new(taken: TakenTasks, candidates: Vec<Candidate>, now: Timestamp) -> Self {
        Self { taken: Some(taken), candidates, now, fence: 0, granted: Vec::new() }
    }

    /// The claim is on disk: what was claimed.
    pub(super) fn claimed(&mut self) -> Vec<Claimed> {
        let mut candidates: Vec<_> = self.candidates.drain(..).map(Some).collect();
        let fence = self.fence;
        let granted = self.granted.drain(..).filter_map(|Granted { candidate, attempt, cuts }| {
            let Candidate { claimed, .. } = candidates.get_mut(candidate)?.take()?;
            Some(Claimed { claim: Claim { fence, ..claimed.claim }, attempt, cuts, ..claimed })
        });
        granted.collect()
    }
}

/// A task that may be claimed: claim, attempt and cuts are not yet known.
pub(super) struct Candidate {
    claimed: Claimed,
    host: Option<Arc<str>>,
}

/// Sequence numbers as one parameter of a statement.
pub(super) fn list(seqs: impl IntoIterator<Item = TaskSeq>) -> std::rc::Rc<Vec<Value>> {
    std::rc::Rc::new(seqs.into_iter().map(Value::from).collect())
}

/// Reads what never changes of these tasks, those that are there.
pub(super) fn candidates(connection: &Connection, seqs: &[TaskSeq]) -> Result<Vec<Candidate>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT t.seq, t.id, t.account, t.kind, t.endpoint, t.price, t.clusters_max, t.created_at,
             q.key, q.payload, q.webhook
         FROM tasks t JOIN questions q ON q.seq = t.seq WHERE t.seq = ?1",
    )?;
    let mut candidates = Vec::with_capacity(seqs.len());
    for seq in seqs {
        let candidate = first(&mut statement, [seq], |row| {
            let webhook: Option<Box<str>> = row.get(10)?;
            let claimed = Claimed {
                claim: Claim { seq: row.get(0)?, fence: 0 },
                id: task_rows::id(row, 1)?,
                account: task_rows::account(row, 2)?,
                key: KeyId::from_i64(row.get(8)?),
                kind: task_rows::kind(row, 3)?,
                endpoint: task_rows::endpoint(row, 4)?,
                payload: row.get(9)?,
                webhook: webhook.is_some(),
                price: task_rows::price(row, 5)?,
                attempt: 0,
                cuts: 0,
                created_at: Timestamp::from_millis(row.get(7)?),
            };
            Ok(Candidate { claimed, host: webhook.as_deref().map(webhook::host) })
        })?;
        candidates.extend(candidate);
    }
    Ok(candidates)
}

/// Claims the tasks of each.
pub(super) fn run(
    step: &mut Step<'_>,
    jobs: &mut [&mut Box<Asked<ClaimAsk, Vec<Claimed>>>],
) -> Result<(), StoreError> {
    for job in jobs {
        claim(step, &mut job.ask)?;
        // Filled in after the commit: the questions may be large.
        job.outcome = Some(Ok(Vec::new()));
    }
    Ok(())
}

fn claim(step: &mut Step<'_>, ask: &mut ClaimAsk) -> Result<(), StoreError> {
    ask.fence = step.memory.numbers().fences.next();
    ask.granted.clear();
    let mut statement = step.connection.prepare_cached(
        "INSERT INTO claims (seq, fence, attempt, cuts, started_at)
         SELECT seq, ?2, attempts + 1, cuts, coalesce(started_at, ?3) FROM tasks
         WHERE seq IN rarray(?1) AND end_seq < 0
         ON CONFLICT DO NOTHING RETURNING seq, attempt, cuts",
    )?;
    let seqs = list(ask.candidates.iter().map(|candidate| candidate.claimed.claim.seq));
    let params = params![seqs, ask.fence, ask.now.millis()];
    let mut inserted: Vec<(TaskSeq, u8, u32)> = statement
        .query_and_then(params, |row| Ok::<_, StoreError>((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    inserted.sort_unstable();
    for (candidate, Candidate { claimed, host }) in ask.candidates.iter().enumerate() {
        let seq = claimed.claim.seq;
        let Ok(at) = inserted.binary_search_by_key(&seq, |(seq, ..)| *seq) else { continue };
        let (_, attempt, cuts) = inserted[at];
        ask.granted.push(Granted { candidate, attempt, cuts });
        let (account, id, host) = (claimed.account, claimed.id, host.clone());
        step.changes.note(Change::Claimed { account, seq, id, host });
    }
    Ok(())
}

/// Puts a claimed task back; false if the claim was lost.
pub(super) fn give_back(
    connection: &Connection,
    changes: &mut Changes,
    claim: Claim,
    back: Back,
) -> Result<bool, StoreError> {
    match back {
        Back::Failed(not_before) => put_back(connection, changes, claim, (0, 0), Some(not_before)),
        Back::Unmade(not_before) => put_back(connection, changes, claim, (1, 0), Some(not_before)),
        Back::Cut => put_back(connection, changes, claim, (1, 1), None),
    }
}

/// Puts back what was claimed for somebody who has left.
pub(super) fn unmake(
    connection: &Connection,
    changes: &mut Changes,
    claims: &[Claim],
) -> Result<(), StoreError> {
    for claim in claims {
        put_back(connection, changes, *claim, (1, 0), None)?;
    }
    Ok(())
}

fn put_back(
    connection: &Connection,
    changes: &mut Changes,
    claim: Claim,
    (uncounted, cut): (i64, i64),
    not_before: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let Some(running) = release(connection, claim)? else { return Ok(false) };
    let (attempts, cuts) = (running.attempt - uncounted, running.cuts + cut);
    // An attempt that was never made did not begin either.
    let started_at = (attempts + cuts > 0).then_some(running.started_at);
    let mut statement = connection.prepare_cached(
        "UPDATE tasks SET attempts = ?2, cuts = ?3, not_before = ?4, started_at = ?5
         WHERE seq = ?1 RETURNING account",
    )?;
    let seq = claim.seq;
    let params = params![seq, attempts, cuts, not_before.map(Timestamp::millis), started_at];
    let account = first(&mut statement, params, |row| task_rows::account(row, 0))?
        .ok_or_else(|| StoreError::Corrupt { reason: format!("a claim of no task {seq}") })?;
    changes.note(Change::PutBack { account, seq, not_before });
    Ok(true)
}

/// A claim as it stood.
pub(super) struct Held {
    pub(super) attempt: i64,
    pub(super) cuts: i64,
    pub(super) started_at: i64,
}

/// Ends a claim, whatever becomes of its task; none if it is lost.
pub(super) fn release(connection: &Connection, claim: Claim) -> Result<Option<Held>, StoreError> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM claims WHERE seq = ?1 AND fence = ?2 RETURNING attempt, cuts, started_at",
    )?;
    first(&mut statement, (claim.seq, claim.fence), |row| {
        Ok(Held { attempt: row.get(0)?, cuts: row.get(1)?, started_at: row.get(2)? })
    })
}
