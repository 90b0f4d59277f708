//! What a group of ends writes, by columns.

use bromo_rules::credit::Credits;
use bromo_rules::id::AccountId;
use bromo_rules::task::TaskState;
use bromo_rules::time::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

use super::link::call;
use super::payers::Payers;
use super::rows::column;
use super::settle::Standing;
use super::task_rows;
use super::tx::Tx;
use crate::error::StoreError;
use crate::numbers;
use crate::tasks::{End, Ended};

/// What stands in the last attempt of a delivery that made room for others.
const TOO_MANY_PENDING: &str = "gave up: too many deliveries pending";

const WRITE: &str = "WITH ended AS MATERIALIZED (
        SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
            $7::bigint[], $8::bigint[], $9::bigint[], $10::smallint[], $11::smallint[], $12::bool[], $13::bytea[],
            $14::bytea[], $15::bigint[])
        AS e (seq, id, account, fence, started_at, ended_at, charged, paid_balance, paid_seq, attempts, state, short,
            response, host, expires_at)),
    dequeued AS (DELETE FROM queue WHERE seq = ANY($1)),
    results AS (INSERT INTO results (id, seq, fence, started_at, ended_at, charged, paid_balance, paid_seq, attempts,
            state, short, response)
        SELECT id, seq, fence, started_at, ended_at, charged, paid_balance, paid_seq, attempts, state, short, response
        FROM ended),
    expiries AS (INSERT INTO expiries (expires_at, id, seq, account)
        SELECT expires_at, id, seq, account FROM ended),
    due AS (INSERT INTO due (seq, id, account, due_at, booked_at, host)
        SELECT seq, id, account, ended_at, ended_at, host FROM ended WHERE host IS NOT NULL)
    INSERT INTO queue_over AS o (account, stopped, booked)
        SELECT account, count(*) FILTER (WHERE fence > 0), count(host) FROM ended GROUP BY account ORDER BY account
    ON CONFLICT (account) DO UPDATE
        SET stopped = o.stopped + excluded.stopped, booked = o.booked + excluded.booked";

/// Of those that ended without having run.
const REMOVED: &str = "INSERT INTO queue_out AS o (account, priority, claimed, removed)
        SELECT account, priority, 0, count(*) FROM unnest($1::bigint[], $2::smallint[]) AS r (account, priority)
        GROUP BY account, priority ORDER BY account, priority
    ON CONFLICT (account, priority) DO UPDATE SET removed = o.removed + excluded.removed";

/// The oldest retrying ones that nobody is sending.
const GIVE_UP: &str = "WITH picked AS MATERIALIZED (
        SELECT d.seq, w.at FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS w (account, count, at)
        CROSS JOIN LATERAL (
            SELECT seq FROM due WHERE account = w.account AND lane = 1 AND node IS NULL
            ORDER BY booked_at, seq LIMIT w.count FOR UPDATE SKIP LOCKED) d),
    gone AS (
        DELETE FROM due d USING picked p WHERE d.seq = ANY(ARRAY[p.seq])
        RETURNING d.id, d.seq, d.account, d.booked_at, d.delivered_at, d.attempts, d.host, p.at),
    over AS (INSERT INTO deliveries (id, seq, account, booked_at, delivered_at, ended_at, attempts, state, host)
        SELECT id, seq, account, booked_at, delivered_at, at, attempts + 1, 4, host FROM gone),
    attempts AS (INSERT INTO delivery_attempts (id, seq, at, number, took_ms, error, response)
        SELECT id, seq, at, attempts + 1, 0, $4::bytea, ''::bytea FROM gone),
    closed AS (INSERT INTO due_over AS o (account, closed)
        SELECT account, count(*) FROM gone GROUP BY account ORDER BY account
        ON CONFLICT (account) DO UPDATE SET closed = o.closed + excluded.closed)
    SELECT seq FROM gone";

/// Ends, a vector a column.
#[derive(Default)]
pub(super) struct Columns<'a> {
    seqs: Vec<i64>,
    ids: Vec<Uuid>,
    accounts: Vec<i64>,
    fences: Vec<i64>,
    started_at: Vec<Option<i64>>,
    ended_at: Vec<i64>,
    charged: Vec<i64>,
    paid_balances: Vec<Option<i64>>,
    paid_seqs: Vec<Option<i64>>,
    attempts: Vec<i16>,
    states: Vec<i16>,
    short: Vec<bool>,
    responses: Vec<&'a [u8]>,
    hosts: Vec<Option<Vec<u8>>>,
    expires_at: Vec<i64>,
    removed: (Vec<i64>, Vec<i16>),
    give_up: BTreeMap<i64, (i64, i64)>,
}

impl<'a> Columns<'a> {
    /// One more.
    pub(super) fn push(&mut self, end: &'a End, task: &Standing, fence: i64, state: TaskState, ended: Ended) {
        let short = ended == Ended::Short;
        let paid = match ended {
            Ended::Done { paid } => paid,
            Ended::Short | Ended::Lost => None,
        };
        self.seqs.push(task.seq);
        self.ids.push(task_rows::uuid(task.id));
        self.accounts.push(task.account.to_i64());
        self.fences.push(fence);
        self.started_at.push(task.started_at);
        self.ended_at.push(end.at.millis());
        self.charged.push(end.charge.filter(|_| !short).map_or(0, Credits::get));
        self.paid_balances.push(paid.map(|(balance, _)| balance.get()));
        self.paid_seqs.push(paid.map(|(_, seq)| column(seq)));
        self.attempts.push(task.attempts);
        self.states.push(numbers::of_state(state));
        self.short.push(short);
        self.responses.push(if short { &end.if_short } else { &end.response });
        self.hosts.push(task.host.clone());
        self.expires_at.push(end.keep_until.millis());
        if fence == 0 {
            self.removed.0.push(task.account.to_i64());
            self.removed.1.push(task.priority);
        }
    }

    /// One delivery of the account makes room for another.
    pub(super) fn give_up(&mut self, account: AccountId, at: Timestamp) {
        let given_up = self.give_up.entry(account.to_i64()).or_default();
        *given_up = (given_up.0 + 1, at.millis());
    }

    /// Deliveries that were booked.
    pub(super) fn booked(&self) -> i64 {
        self.hosts.iter().flatten().fold(0, |count, _| count + 1)
    }

    /// Writes all of it and commits; how many deliveries were given up.
    pub(super) async fn write(&self, tx: &Tx<'_>, payers: Payers) -> Result<i64, StoreError> {
        if self.seqs.is_empty() {
            return Ok(0);
        }
        let Self { seqs, ids, accounts, fences, started_at, ended_at, charged, .. } = self;
        let Self { paid_balances, paid_seqs, attempts, states, short, responses, hosts, .. } = self;
        let write = call(
            WRITE,
            &[
                seqs,
                ids,
                accounts,
                fences,
                started_at,
                ended_at,
                charged,
                paid_balances,
                paid_seqs,
                attempts,
                states,
                short,
                responses,
                hosts,
                &self.expires_at,
            ],
        );
        let (columns, alone) = (payers.into_columns(), self.removed.0.is_empty() && self.give_up.is_empty());
        match (&columns, alone) {
            (Some(columns), true) => {
                let [accounts, entries] = columns.calls();
                tx.commit([write, accounts, entries]).await?;
                return Ok(0);
            }
            (None, true) => {
                tx.commit([write]).await?;
                return Ok(0);
            }
            (Some(columns), false) => {
                let [accounts, entries] = columns.calls();
                tx.read([write, accounts, entries]).await?;
            }
            (None, false) => {
                tx.read([write]).await?;
            }
        }
        self.write_rest(tx).await
    }

    async fn write_rest(&self, tx: &Tx<'_>) -> Result<i64, StoreError> {
        let accounts: Vec<i64> = self.give_up.keys().copied().collect();
        let (counts, ats): (Vec<i64>, Vec<i64>) = self.give_up.values().copied().unzip();
        let (removed, priorities) = &self.removed;
        let why = TOO_MANY_PENDING.as_bytes();
        let [_, given_up] = tx
            .commit([call(REMOVED, &[removed, priorities]), call(GIVE_UP, &[&accounts, &counts, &ats, &why])])
            .await?;
        Ok(i64::try_from(given_up.count).unwrap_or(0))
    }
}
