//! Deliveries in SQLite: which are due is known in memory, what they say is read when they are taken.

use std::sync::Arc;

use async_trait::async_trait;
use bromo_rules::id::AccountId;
use bromo_rules::task::TaskId;
use bromo_rules::time::Timestamp;
use rusqlite::{Connection, Row};

use super::attempt::Attempted;
use super::delivery_rows::delivery_state_columns;
use super::memory::{Change, Changes, TakenDeliveries};
use super::outbox::{Outbox, Pending};
use super::rows::first;
use super::task_rows::{TASK_COLUMNS, task_columns, task_tables};
use super::{SqliteStore, delivery_list, delivery_rows, secrets, task_rows, tasks};
use crate::deliveries::{
    Deliveries, DeliveryAttempt, DeliveryFilter, DeliveryPage, DeliveryStage, DeliveryState, Due, Lane, Next,
    Room, SealedSecrets,
};
use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// Deliveries that are made again with one commit. The writer has others to serve.
const REDELIVER_MAX: u32 = 200;

#[async_trait]
impl Deliveries for SqliteStore {
    async fn take_due(
        &self,
        lane: Lane,
        now: Timestamp,
        room: Room<'_>,
        count: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let taken = self.parts.memory.outbox().take(lane, now, room, count);
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        let guard = TakenDeliveries::new(&self.parts.memory, taken.iter().map(|(seq, _)| *seq).collect());
        let due = self.parts.readers.run(move |connection| read_due(connection, &taken)).await?;
        guard.keep();
        Ok(due)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.parts.memory.outbox().next_due())
    }

    async fn record_attempt(
        &self,
        seq: TaskSeq,
        attempt: DeliveryAttempt,
        next: Next,
    ) -> Result<(), StoreError> {
        self.parts.writer.attempt(Attempted { seq, attempt, next }).await
    }

    fn put_back(&self, taken: &[TaskSeq]) {
        self.parts.memory.outbox().put_back(taken);
    }

    async fn list_attempts(
        &self,
        account: AccountId,
        task: TaskId,
    ) -> Result<(Option<DeliveryState>, Vec<DeliveryAttempt>), StoreError> {
        self.parts.readers.run(move |connection| list_attempts(connection, account, task)).await
    }

    async fn list_deliveries(
        &self,
        account: AccountId,
        filter: DeliveryFilter,
        before: Option<TaskSeq>,
        count: u32,
    ) -> Result<DeliveryPage, StoreError> {
        let list =
            move |connection: &Connection| delivery_list::list(connection, account, &filter, before, count);
        self.parts.readers.run(list).await
    }

    async fn delivery_states(
        &self,
        account: AccountId,
        tasks: Vec<TaskId>,
    ) -> Result<Vec<Option<(DeliveryStage, DeliveryState)>>, StoreError> {
        self.parts.readers.run(move |connection| delivery_list::states(connection, account, &tasks)).await
    }

    async fn count_failed(&self, account: AccountId, since: Timestamp, most: u32) -> Result<u64, StoreError> {
        self.parts
            .readers
            .run(move |connection| delivery_list::count_failed(connection, account, since, most))
            .await
    }

    async fn redeliver(
        &self,
        account: AccountId,
        task: TaskId,
        now: Timestamp,
    ) -> Result<Option<DeliveryState>, StoreError> {
        let memory = Arc::clone(&self.parts.memory);
        self.parts
            .writer
            .change(move |connection, changes| {
                let seq = get_seq(connection, account, task)?;
                let Some(stored) = lookup(connection, seq)? else { return Ok(None) };
                if memory.outbox().is_taken(seq) {
                    return Ok(Some(stored.state));
                }
                redeliver(connection, changes, &stored, now)?;
                Ok(Some(DeliveryState { due_at: Some(now), ..stored.state }))
            })
            .await
    }

    async fn redeliver_failed(
        &self,
        account: AccountId,
        since: Timestamp,
        now: Timestamp,
        count: u32,
    ) -> Result<u64, StoreError> {
        let mut made = 0;
        while made < count {
            let some = REDELIVER_MAX.min(count - made);
            let redeliver = move |connection: &Connection, changes: &mut Changes| {
                let given_up = given_up(connection, account, since, some)?;
                for stored in &given_up {
                    redeliver(connection, changes, stored, now)?;
                }
                Ok(u32::try_from(given_up.len()).unwrap_or(some))
            };
            let found = self.parts.writer.change(redeliver).await?;
            made += found;
            if found < some {
                break;
            }
        }
        Ok(made.into())
    }

    async fn lookup_secrets(&self, account: AccountId) -> Result<Option<SealedSecrets>, StoreError> {
        self.parts.readers.run(move |connection| secrets::lookup(connection, account)).await
    }

    async fn put_secrets(
        &self,
        account: AccountId,
        secrets: Option<SealedSecrets>,
    ) -> Result<(), StoreError> {
        self.parts.writer.run(move |connection| secrets::put(connection, account, secrets.as_ref())).await
    }

    fn pending(&self) -> u64 {
        self.parts.memory.outbox().pending()
    }
}

fn read_due(connection: &Connection, taken: &[(TaskSeq, i64)]) -> Result<Vec<Due>, StoreError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        task_columns!(),
        ", r.response, d.host, d.attempts, d.round_attempts, s.current, s.previous, s.previous_until
         FROM deliveries d CROSS JOIN tasks t ON t.seq = d.seq",
        task_tables!(),
        "LEFT JOIN webhook_secrets s ON s.account = d.account WHERE d.end_seq = ?1"
    ))?;
    let mut due = Vec::with_capacity(taken.len());
    for (seq, end_seq) in taken {
        let found = first(&mut statement, [end_seq], |row| read_one(row, *seq))?;
        // A pending delivery is never deleted.
        due.push(found.ok_or_else(|| StoreError::Corrupt { reason: format!("delivery {end_seq} is gone") })?);
    }
    Ok(due)
}

fn read_one(row: &Row<'_>, seq: TaskSeq) -> Result<Due, StoreError> {
    const AT: usize = TASK_COLUMNS;
    let task = task_rows::task(row, 0)?;
    Ok(Due {
        seq,
        url: task.webhook.as_deref().unwrap_or_default().to_owned(),
        task,
        response: row.get(AT)?,
        host: row.get(AT + 1)?,
        attempt: row.get::<_, u32>(AT + 2)? + 1,
        round_attempt: row.get::<_, u32>(AT + 3)? + 1,
        secrets: delivery_rows::secrets(row, AT + 4)?,
    })
}

/// A delivery as it stands on disk.
struct Stored {
    seq: TaskSeq,
    end_seq: i64,
    account: AccountId,
    host: Arc<str>,
    state: DeliveryState,
}

/// Columns of [`stored`], of a table named `d`.
macro_rules! stored_columns {
    () => {
        concat!("d.seq, d.end_seq, d.account, d.host, ", delivery_state_columns!())
    };
}

fn stored(row: &Row<'_>) -> Result<Stored, StoreError> {
    Ok(Stored {
        seq: row.get(0)?,
        end_seq: row.get(1)?,
        account: task_rows::account(row, 2)?,
        host: row.get(3)?,
        state: delivery_rows::state(row, 4)?,
    })
}

impl Stored {
    fn pending(&self, due_at: Timestamp) -> Pending {
        Pending {
            seq: self.seq,
            end_seq: self.end_seq,
            account: self.account,
            host: Arc::clone(&self.host),
            due_at,
            lane: if self.state.attempts == 0 { Lane::Fresh } else { Lane::Retry },
        }
    }
}

fn get_seq(connection: &Connection, account: AccountId, task: TaskId) -> Result<TaskSeq, StoreError> {
    tasks::lookup_id(connection, account, task)?.ok_or(StoreError::Missing { what: "task" })
}

fn lookup(connection: &Connection, seq: TaskSeq) -> Result<Option<Stored>, StoreError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        stored_columns!(),
        " FROM tasks t JOIN deliveries d ON d.end_seq = t.end_seq WHERE t.seq = ?1"
    ))?;
    first(&mut statement, [seq], stored)
}

fn given_up(
    connection: &Connection,
    account: AccountId,
    since: Timestamp,
    count: u32,
) -> Result<Vec<Stored>, StoreError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        stored_columns!(),
        " FROM deliveries d WHERE d.account = ?1 AND d.booked_at >= ?2 AND d.state = 4
         ORDER BY d.booked_at LIMIT ?3"
    ))?;
    statement.query_and_then((account.to_i64(), since.millis(), count), stored)?.collect()
}

fn redeliver(
    connection: &Connection,
    changes: &mut Changes,
    delivery: &Stored,
    now: Timestamp,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE deliveries SET state = 2, due_at = ?2, round_attempts = 0, ended_at = ?3 WHERE end_seq = ?1",
        )?
        .execute((delivery.end_seq, now.millis(), task_rows::NOT_YET))?;
    changes.note(Change::Booked(delivery.pending(now)));
    Ok(())
}

fn list_attempts(
    connection: &Connection,
    account: AccountId,
    task: TaskId,
) -> Result<(Option<DeliveryState>, Vec<DeliveryAttempt>), StoreError> {
    let seq = get_seq(connection, account, task)?;
    let Some(delivery) = lookup(connection, seq)? else { return Ok((None, Vec::new())) };
    let mut statement = connection.prepare_cached(
        "SELECT number, at, took_ms, status, error, response FROM delivery_attempts
         WHERE end_seq = ?1 ORDER BY number",
    )?;
    let attempts = statement.query_and_then([delivery.end_seq], delivery_rows::attempt)?;
    Ok((Some(delivery.state), attempts.collect::<Result<_, StoreError>>()?))
}

/// Pending deliveries, when the store is opened.
pub(super) fn pending(connection: &Connection) -> Result<Outbox, StoreError> {
    let mut statement = connection.prepare(concat!(
        "SELECT ",
        stored_columns!(),
        " FROM deliveries d WHERE d.state = 2 ORDER BY d.end_seq"
    ))?;
    let mut outbox = Outbox::default();
    for delivery in statement.query_and_then([], stored)? {
        let delivery = delivery?;
        if let Some(due_at) = delivery.state.due_at {
            outbox.book(delivery.pending(due_at));
        }
    }
    Ok(outbox)
}
