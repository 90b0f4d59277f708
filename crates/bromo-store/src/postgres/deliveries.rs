//! Deliveries in PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use bromo_rules::id::AccountId;
use bromo_rules::task::TaskId;
use bromo_rules::time::Timestamp;

use super::attempt::Send;
use super::delivery_rows;
use super::rows;
use super::take::{TakeAsk, Taking};
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
        let mut ask = TakeAsk {
            node: parts.node,
            lane: outbox::lane_number(lane),
            now,
            receivers,
            count,
            local: Arc::clone(&parts.local),
        };
        let mut taken = Taken { store: self, due: Vec::new() };
        loop {
            // An answer that was lost may have been a good one.
            let some = parts.dues.ask(Taking::Due(ask.clone())).await.inspect_err(|_| parts.local.doubt())?;
            parts.local.held().deliveries.extend(some.iter().map(|due| due.seq));
            let more = ask.without(&some);
            taken.due.extend(some);
            match more {
                Some(more) => ask = more,
                None => return Ok(taken.keep()),
            }
        }
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.wait_for_put_backs().await?;
        let sql = "SELECT due_at FROM due WHERE node IS NULL ORDER BY due_at + 0 LIMIT 1";
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
        recorded
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
struct Taken<'a> {
    store: &'a PostgresStore,
    due: Vec<Due>,
}

impl Taken<'_> {
    fn keep(mut self) -> Vec<Due> {
        std::mem::take(&mut self.due)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let seqs: Vec<_> = self.due.iter().map(|due| due.seq).collect();
        self.store.put_back(&seqs);
    }
}
