//! Deliveries as their owner looks at them: in lists, and counted.

use std::collections::HashMap;

use bromo_rules::id::AccountId;
use bromo_rules::task::TaskId;
use bromo_rules::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::delivery_rows::{self, DELIVERED, GIVEN_UP, delivery_state_columns, delivery_tables};
use super::rows::{self, get};
use super::shared::Shared;
use super::task_rows;
use crate::deliveries::{
    DeliveryAttempt, DeliveryFilter, DeliveryPage, DeliveryStage, DeliveryState, LISTED_RESPONSE_BYTES_MAX,
    ListedDelivery,
};
use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// Tasks that one page looks at.
const LOOKED_AT_MAX: i64 = 5000;

/// A page names the last task it looked at by its number; ids ascend as tasks come, and say where that was.
const PLACE: &str = "SELECT id FROM results WHERE seq <= $1 ORDER BY seq DESC LIMIT 1";

/// The last row, without a delivery, says where the look ended if that was not the end.
const LIST: &str = concat!(
    "WITH looked AS MATERIALIZED (
        SELECT id, seq, endpoint, webhook FROM tasks WHERE account = $1 AND id < $2 ORDER BY id DESC LIMIT $6)
    SELECT t.seq, t.id, t.endpoint, t.webhook, coalesce(d.booked_at, o.booked_at), o.state, ",
    delivery_state_columns!(),
    ", a.number, a.at, a.took_ms, a.status, a.error, substr(a.response, 1, $7)
     FROM looked t",
    delivery_tables!(),
    " LEFT JOIN LATERAL (
         SELECT * FROM delivery_attempts
         WHERE seq = t.seq AND number = coalesce(d.attempts, o.attempts) AND id = t.id OFFSET 0) a ON true
     WHERE (d.seq IS NOT NULL OR o.seq IS NOT NULL)
         AND ($3::smallint IS NULL OR coalesce(o.state, 2) = $3)
         AND ($4::bytea IS NULL OR coalesce(d.host, o.host) = $4
             OR substr(coalesce(d.host, o.host), 1, length($4) + 1) = $4 || ':'::bytea)
     ORDER BY t.id DESC LIMIT $5"
);

/// Where a look at so many tasks ends.
const END: &str = "SELECT seq FROM tasks WHERE account = $1 AND id < $2 ORDER BY id DESC OFFSET $3 LIMIT 1";

const STATES: &str = concat!(
    "SELECT t.id, o.state, ",
    delivery_state_columns!(),
    " FROM unnest($2::uuid[]) AS w (id)
      CROSS JOIN LATERAL (SELECT * FROM tasks WHERE account = $1 AND id = w.id OFFSET 0) t",
    delivery_tables!(),
    " WHERE d.seq IS NOT NULL OR o.seq IS NOT NULL"
);

const ATTEMPTS: &str = concat!(
    "SELECT ",
    delivery_state_columns!(),
    ", a.number, a.at, a.took_ms, a.status, a.error, a.response FROM tasks t",
    delivery_tables!(),
    " LEFT JOIN LATERAL (SELECT * FROM delivery_attempts WHERE seq = t.seq AND id = t.id OFFSET 0) a ON true
     WHERE t.account = $1 AND t.id = $2 ORDER BY a.number"
);

const COUNT_FAILED: &str = "SELECT count(*) FROM (SELECT FROM deliveries
    WHERE account = $1 AND booked_at >= $2 AND state = 4 LIMIT $3) f";

/// As [`LIST`] asks for it.
const fn stage_number(stage: DeliveryStage) -> i16 {
    match stage {
        DeliveryStage::Pending => 2,
        DeliveryStage::Delivered => DELIVERED,
        DeliveryStage::GivenUp => GIVEN_UP,
    }
}

/// A page of the account's deliveries.
pub(super) async fn list(
    shared: &Shared,
    account: AccountId,
    filter: &DeliveryFilter,
    before: Option<TaskSeq>,
    count: u32,
) -> Result<DeliveryPage, StoreError> {
    let account = account.to_i64();
    let place = match before {
        None => Uuid::max(),
        Some(seq) => match shared.first(PLACE, &[&seq]).await? {
            Some(row) => get(&row, 0)?,
            None => return Ok(DeliveryPage::default()),
        },
    };
    let stage = filter.stage.map(stage_number);
    let host = filter.host.as_deref().map(str::as_bytes);
    // One more than is shown tells whether there are more.
    let (one_more, shown) =
        (i64::from(count) + 1, i32::try_from(LISTED_RESPONSE_BYTES_MAX).unwrap_or(i32::MAX));
    let rows =
        shared.query(LIST, &[&account, &place, &stage, &host, &one_more, &LOOKED_AT_MAX, &shown]).await?;
    let mut page = DeliveryPage::default();
    let mut last = None;
    for row in rows.iter().take(count as usize) {
        page.deliveries.push(listed(row)?);
        last = Some(get(row, 0)?);
    }
    page.more = if rows.len() > count as usize {
        last
    } else {
        let end = shared.first(END, &[&account, &place, &(LOOKED_AT_MAX - 1)]).await?;
        end.map(|row| get(&row, 0)).transpose()?
    };
    Ok(page)
}

fn listed(row: &Row) -> Result<ListedDelivery, StoreError> {
    const ATTEMPT_AT: usize = 9;
    let url: Option<&[u8]> = get(row, 3)?;
    let any = get::<Option<i32>>(row, ATTEMPT_AT)?.is_some();
    Ok(ListedDelivery {
        task: task_rows::id(row, 1)?,
        endpoint: task_rows::endpoint(row, 2)?,
        url: url.map_or(Ok(""), task_rows::text)?.to_owned(),
        booked_at: rows::instant(row, 4)?,
        stage: delivery_rows::stage(row, 5)?,
        state: delivery_rows::state(row, 6)?,
        last: any.then(|| delivery_rows::attempt(row, ATTEMPT_AT)).transpose()?,
    })
}

/// Where the deliveries of these tasks stand.
pub(super) async fn states(
    shared: &Shared,
    account: AccountId,
    tasks: &[TaskId],
) -> Result<Vec<Option<(DeliveryStage, DeliveryState)>>, StoreError> {
    let ids: Vec<Uuid> = tasks.iter().copied().map(task_rows::uuid).collect();
    let mut found = HashMap::new();
    for row in shared.query(STATES, &[&account.to_i64(), &ids]).await? {
        let state = (delivery_rows::stage(&row, 1)?, delivery_rows::state(&row, 2)?);
        found.insert(task_rows::id(&row, 0)?, state);
    }
    Ok(tasks.iter().map(|task| found.get(task).copied()).collect())
}

/// All attempts at the delivery of this task, oldest first.
pub(super) async fn attempts(
    shared: &Shared,
    account: AccountId,
    task: TaskId,
) -> Result<(Option<DeliveryState>, Vec<DeliveryAttempt>), StoreError> {
    const ATTEMPT_AT: usize = 3;
    let rows = shared.query(ATTEMPTS, &[&account.to_i64(), &task_rows::uuid(task)]).await?;
    let first = rows.first().ok_or(StoreError::Missing { what: "task" })?;
    let state = delivery_rows::state_if_any(first, 0)?;
    let mut attempts = Vec::new();
    for row in &rows {
        if get::<Option<i32>>(row, ATTEMPT_AT)?.is_some() {
            attempts.push(delivery_rows::attempt(row, ATTEMPT_AT)?);
        }
    }
    Ok((state, attempts))
}

/// Deliveries that were given up and whose task ended at `since` or later, as far as `most`.
pub(super) async fn count_failed(
    shared: &Shared,
    account: AccountId,
    since: Timestamp,
    most: u32,
) -> Result<u64, StoreError> {
    let row = shared.first(COUNT_FAILED, &[&account.to_i64(), &since.millis(), &i64::from(most)]).await?;
    let count: i64 = row.map_or(Ok(0), |row| get(&row, 0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}
