//! Deliveries in PostgreSQL.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bromo_rules::id::AccountId;
use bromo_rules::task::TaskId;
use bromo_rules::time::Timestamp;
use tokio_postgres::Row;

use super::attempt::{Send, TakeAsk};
use super::delivery_rows;
use super::rows::{self, get};
use super::task_rows::{self, TASK_COLUMNS, task_columns};
use super::tx::Tx;
use super::{PostgresStore, delivery_list, outbox, redeliver, secrets};
use crate::deliveries::{
    Deliveries, DeliveryAttempt, DeliveryFilter, DeliveryPage, DeliveryStage, DeliveryState, Due, Lane, Next,
    Room, SealedSecrets,
};
use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// Deliveries that are made again with one commit.
const REDELIVER_MAX: u32 = 200;

/// What is needed to send them.
const READ: &str = concat!(
    "SELECT ",
    task_columns!(),
    ", r.response, d.host, d.attempts, d.round_attempts, s.current, s.previous, s.previous_until, d.seq
     FROM due d JOIN tasks t ON t.account = d.account AND t.id = d.id
        JOIN results r ON r.seq = d.seq AND r.id = d.id
        LEFT JOIN queue q ON false
        LEFT JOIN webhook_secrets s ON s.account = d.account
     WHERE d.seq = ANY($1)"
);

#[async_trait]
impl Deliveries for PostgresStore {
    async fn take_due(
        &self,
        lane: Lane,
        now: Timestamp,
        room: Room<'_>,
        count: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.wait_for_put_backs().await?;
        let parts = &self.parts;
        let receivers = outbox::receivers(&parts.shared, &parts.turns, lane, now, room, count).await?;
        if receivers.is_empty() || count == 0 {
            return Ok(Vec::new());
        }
        let (lane, node, local) = (outbox::lane_number(lane), parts.node, Arc::clone(&parts.local));
        let take = TakeAsk { node, lane, now, receivers, count, local };
        // An answer that was lost may have been a good one.
        let taken = parts.sends.ask(Send::Take(take)).await.inspect_err(|_| parts.local.doubt())?;
        let guard = Guard { store: self, taken };
        let rows = parts.shared.query(READ, &[&guard.taken]).await?;
        let mut due = HashMap::with_capacity(rows.len());
        for row in &rows {
            let one = read(row)?;
            due.insert(one.seq, one);
        }
        let taken = guard.keep();
        parts.local.held().deliveries.extend(due.keys());
        // One that was taken from us since is another's.
        Ok(taken.iter().filter_map(|seq| due.remove(seq)).collect())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.wait_for_put_backs().await?;
        let sql = "SELECT min(due_at + 0) FROM due WHERE node IS NULL";
        let row = self.parts.shared.first(sql, &[]).await?;
        row.map_or(Ok(None), |row| rows::instant_if_any(&row, 0))
    }

    async fn record_attempt(
        &self,
        seq: TaskSeq,
        attempt: DeliveryAttempt,
        next: Next,
    ) -> Result<(), StoreError> {
        let local = Arc::clone(&self.parts.local);
        let recorded = self.parts.sends.ask(Send::Attempt(seq, attempt, next, local)).await;
        // Who cannot be told asks again, and has it until then.
        if !matches!(recorded, Err(StoreError::Unavailable { .. })) {
            self.parts.local.held().deliveries.remove(&seq);
        }
        recorded.map(drop)
    }

    fn put_back(&self, taken: &[TaskSeq]) {
        if taken.is_empty() {
            return;
        }
        let mut held = self.parts.local.held();
        taken.iter().for_each(|seq| {
            held.deliveries.remove(seq);
        });
        drop(held);
        let local = Arc::clone(&self.parts.local);
        let back = Send::PutBack(taken.to_vec(), self.parts.node, local);
        if let Err(Send::PutBack(taken, ..)) = self.parts.sends.tell(back) {
            self.parts.local.keep_for_later(&taken);
        }
        self.parts.local.tell();
    }

    async fn list_attempts(
        &self,
        account: AccountId,
        task: TaskId,
    ) -> Result<(Option<DeliveryState>, Vec<DeliveryAttempt>), StoreError> {
        delivery_list::attempts(&self.parts.shared, account, task).await
    }

    async fn list_deliveries(
        &self,
        account: AccountId,
        filter: DeliveryFilter,
        before: Option<TaskSeq>,
        count: u32,
    ) -> Result<DeliveryPage, StoreError> {
        delivery_list::list(&self.parts.shared, account, &filter, before, count).await
    }

    async fn delivery_states(
        &self,
        account: AccountId,
        tasks: Vec<TaskId>,
    ) -> Result<Vec<Option<(DeliveryStage, DeliveryState)>>, StoreError> {
        delivery_list::states(&self.parts.shared, account, &tasks).await
    }

    async fn count_failed(&self, account: AccountId, since: Timestamp, most: u32) -> Result<u64, StoreError> {
        delivery_list::count_failed(&self.parts.shared, account, since, most).await
    }

    async fn redeliver(
        &self,
        account: AccountId,
        task: TaskId,
        now: Timestamp,
    ) -> Result<Option<DeliveryState>, StoreError> {
        let local = Arc::clone(&self.parts.local);
        let again = async move |tx: &Tx<'_>| redeliver::one(tx, &local, account, task, now).await;
        self.parts.others.run(again).await
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
            let local = Arc::clone(&self.parts.local);
            let again =
                async move |tx: &Tx<'_>| redeliver::failed(tx, &local, account, since, now, some).await;
            let found = self.parts.others.run(again).await?;
            made += found;
            if found < some {
                break;
            }
        }
        Ok(made.into())
    }

    async fn lookup_secrets(&self, account: AccountId) -> Result<Option<SealedSecrets>, StoreError> {
        let sql = "SELECT current, previous, previous_until FROM webhook_secrets WHERE account = $1";
        let row = self.parts.shared.first(sql, &[&account.to_i64()]).await?;
        row.map_or(Ok(None), |row| delivery_rows::secrets(&row, 0))
    }

    async fn put_secrets(
        &self,
        account: AccountId,
        secrets: Option<SealedSecrets>,
    ) -> Result<(), StoreError> {
        let put = async move |tx: &Tx<'_>| secrets::put(tx, account, secrets.as_ref()).await;
        self.parts.others.run(put).await
    }

    fn pending(&self) -> u64 {
        self.parts.local.pending()
    }
}

impl PostgresStore {
    /// What was put back is there again, for whoever put it back.
    async fn wait_for_put_backs(&self) -> Result<(), StoreError> {
        if self.parts.local.was_told() {
            let local = Arc::clone(&self.parts.local);
            self.parts.sends.ask(Send::PutBack(Vec::new(), self.parts.node, local)).await?;
        }
        Ok(())
    }
}

/// Puts deliveries back that were taken for somebody who did not get them.
struct Guard<'a> {
    store: &'a PostgresStore,
    taken: Vec<TaskSeq>,
}

impl Guard<'_> {
    fn keep(mut self) -> Vec<TaskSeq> {
        std::mem::take(&mut self.taken)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.store.put_back(&self.taken);
    }
}

fn read(row: &Row) -> Result<Due, StoreError> {
    const AT: usize = TASK_COLUMNS;
    let task = task_rows::task(row, 0)?;
    let host: &[u8] = get(row, AT + 1)?;
    Ok(Due {
        seq: get(row, AT + 7)?,
        url: task.webhook.as_deref().unwrap_or_default().to_owned(),
        task,
        response: get(row, AT)?,
        host: task_rows::text(host)?.to_owned(),
        attempt: task_rows::small::<u32>(row, AT + 2)? + 1,
        round_attempt: task_rows::small::<u32>(row, AT + 3)? + 1,
        secrets: delivery_rows::secrets(row, AT + 4)?,
    })
}
