//! What a group of attempts writes, by columns.

use uuid::Uuid;

use super::attempt::Pending;
use super::link::call;
use super::tx::Tx;
use crate::deliveries::DeliveryAttempt;
use crate::error::StoreError;

const ATTEMPTS: &str = "INSERT INTO delivery_attempts (id, seq, at, number, took_ms, status, error, response)
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::int[], $5::bigint[], $6::int[], $7::bytea[],
        $8::bytea[])
    ON CONFLICT DO NOTHING";

/// Gives them back, to be tried again then.
const RETRY: &str = "UPDATE due d SET node = NULL, lane = 1, due_at = r.due_at, attempts = r.attempts,
        round_attempts = r.round_attempts
    FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[]) AS r (seq, due_at, attempts, round_attempts)
    WHERE d.seq = ANY(ARRAY[r.seq])";

const CLOSE: &str = "WITH over AS MATERIALIZED (
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
            $7::int[], $8::smallint[], $9::bytea[])
        AS o (id, seq, account, booked_at, delivered_at, ended_at, attempts, state, host)),
    gone AS (DELETE FROM due WHERE seq = ANY($2)),
    deliveries AS (INSERT INTO deliveries (id, seq, account, booked_at, delivered_at, ended_at, attempts, state, host)
        SELECT * FROM over)
    INSERT INTO due_over AS o (account, closed)
        SELECT account, count(*) FROM over GROUP BY account ORDER BY account
    ON CONFLICT (account) DO UPDATE SET closed = o.closed + excluded.closed";

/// Attempts, what is tried again and what is over, a vector a column.
#[derive(Default)]
pub(super) struct Columns<'a> {
    attempts: Attempts<'a>,
    retries: (Vec<i64>, Vec<i64>, Vec<i32>, Vec<i32>),
    over: Over,
}

#[derive(Default)]
struct Attempts<'a> {
    ids: Vec<Uuid>,
    seqs: Vec<i64>,
    ats: Vec<i64>,
    numbers: Vec<i32>,
    took_ms: Vec<i64>,
    statuses: Vec<Option<i32>>,
    errors: Vec<Option<&'a [u8]>>,
    responses: Vec<&'a [u8]>,
}

#[derive(Default)]
struct Over {
    ids: Vec<Uuid>,
    seqs: Vec<i64>,
    accounts: Vec<i64>,
    booked_at: Vec<i64>,
    delivered_at: Vec<Option<i64>>,
    ended_at: Vec<i64>,
    attempts: Vec<i32>,
    states: Vec<i16>,
    hosts: Vec<Vec<u8>>,
}

impl<'a> Columns<'a> {
    /// An attempt at this delivery.
    pub(super) fn attempt(&mut self, of: &Pending, attempt: &'a DeliveryAttempt) {
        self.attempts.ids.push(of.id);
        self.attempts.seqs.push(of.seq);
        self.attempts.ats.push(attempt.at.millis());
        self.attempts.numbers.push(of.attempts);
        self.attempts.took_ms.push(attempt.took_ms.into());
        self.attempts.statuses.push(attempt.status.map(i32::from));
        self.attempts.errors.push(attempt.error.as_deref().map(str::as_bytes));
        self.attempts.responses.push(&attempt.response);
    }

    /// It is tried again then.
    pub(super) fn retry(&mut self, pending: &Pending, due_at: i64) {
        // Of two attempts at one delivery in a group the last one counts.
        if let Some(at) = self.retries.0.iter().position(|seq| *seq == pending.seq) {
            self.retries.0.swap_remove(at);
            self.retries.1.swap_remove(at);
            self.retries.2.swap_remove(at);
            self.retries.3.swap_remove(at);
        }
        self.retries.0.push(pending.seq);
        self.retries.1.push(due_at);
        self.retries.2.push(pending.attempts);
        self.retries.3.push(pending.round_attempts);
    }

    /// It is over.
    pub(super) fn close(&mut self, pending: &Pending, state: i16, ended_at: i64) {
        self.over.ids.push(pending.id);
        self.over.seqs.push(pending.seq);
        self.over.accounts.push(pending.account);
        self.over.booked_at.push(pending.booked_at);
        self.over.delivered_at.push(pending.delivered_at);
        self.over.ended_at.push(ended_at);
        self.over.attempts.push(pending.attempts);
        self.over.states.push(state);
        self.over.hosts.push(pending.host.clone());
    }

    /// How many are over.
    pub(super) fn closed(&self) -> i64 {
        i64::try_from(self.over.seqs.len()).unwrap_or(0)
    }

    /// Writes all of it and commits.
    pub(super) async fn write(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        if self.attempts.seqs.is_empty() {
            return Ok(());
        }
        let Attempts { ids, seqs, ats, numbers, took_ms, statuses, errors, responses } = &self.attempts;
        let attempts = call(ATTEMPTS, &[ids, seqs, ats, numbers, took_ms, statuses, errors, responses]);
        let (retried, due_at, tries, rounds) = &self.retries;
        let retry = call(RETRY, &[retried, due_at, tries, rounds]);
        let Over { ids, seqs, accounts, booked_at, delivered_at, ended_at, attempts: made, states, hosts } =
            &self.over;
        let close =
            call(CLOSE, &[ids, seqs, accounts, booked_at, delivered_at, ended_at, made, states, hosts]);
        match (retried.is_empty(), seqs.is_empty()) {
            (true, true) => drop(tx.commit([attempts]).await?),
            (true, false) => drop(tx.commit([attempts, close]).await?),
            (false, true) => drop(tx.commit([attempts, retry]).await?),
            (false, false) => drop(tx.commit([attempts, retry, close]).await?),
        }
        Ok(())
    }
}
