//! Deliveries as their owner looks at them: in lists, and counted.
//!
//! No index has them by account, since it would be written at as many places as there are accounts. They are found by
//! the tasks they belong to, block by block, and a list looks at no more than so many blocks.

use bromo_rules::id::AccountId;
use bromo_rules::task::TaskId;
use bromo_rules::time::Timestamp;
use rusqlite::{Connection, Row, params};

use super::delivery_rows::delivery_state_columns;
use super::rows::{corrupt, first};
use super::{delivery_rows, task_blocks, task_rows};
use crate::deliveries::{
    DeliveryFilter, DeliveryPage, DeliveryStage, DeliveryState, LISTED_RESPONSE_BYTES_MAX, ListedDelivery,
};
use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// Blocks of tasks that one page looks at.
const BLOCKS_MAX: u32 = 16;

/// The number of each in the database: see the schema.
const fn stage_number(stage: DeliveryStage) -> i64 {
    match stage {
        DeliveryStage::Pending => 2,
        DeliveryStage::Delivered => 3,
        DeliveryStage::GivenUp => 4,
    }
}

fn stage(row: &Row<'_>, at: usize) -> Result<DeliveryStage, StoreError> {
    let number: i64 = row.get(at)?;
    let found = DeliveryStage::ALL.into_iter().find(|stage| stage_number(*stage) == number);
    found.ok_or_else(|| corrupt("state of a delivery", &number))
}

/// A page of the account's deliveries.
pub(super) fn list(
    connection: &Connection,
    account: AccountId,
    filter: &DeliveryFilter,
    before: Option<TaskSeq>,
    count: u32,
) -> Result<DeliveryPage, StoreError> {
    let before = before.unwrap_or(TaskSeq::MAX);
    let blocks = blocks(connection, account, before)?;
    let mut page = DeliveryPage::default();
    for block in &blocks {
        let room = count as usize - page.deliveries.len();
        // One more than is shown tells whether there are more.
        let mut found = of_block(connection, account, filter, *block, before, room + 1)?;
        if found.len() > room {
            found.truncate(room);
            let last = found.last().map(|(seq, _)| *seq);
            page.more = Some(last.unwrap_or(task_blocks::seqs(*block).1 + 1));
            page.deliveries.extend(found.into_iter().map(|(_, listed)| listed));
            return Ok(page);
        }
        page.deliveries.extend(found.into_iter().map(|(_, listed)| listed));
    }
    if blocks.len() == BLOCKS_MAX as usize {
        page.more = blocks.last().map(|block| task_blocks::seqs(*block).0);
    }
    Ok(page)
}

/// The newest blocks with tasks of the account older than `before`.
fn blocks(connection: &Connection, account: AccountId, before: TaskSeq) -> Result<Vec<i64>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT block FROM task_blocks WHERE account = ?1 AND block <= ?2 ORDER BY block DESC LIMIT ?3",
    )?;
    let newest = task_blocks::block(before.saturating_sub(1));
    let blocks = statement.query_map((account.to_i64(), newest, BLOCKS_MAX), |row| row.get(0))?;
    Ok(blocks.collect::<Result<_, _>>()?)
}

fn of_block(
    connection: &Connection,
    account: AccountId,
    filter: &DeliveryFilter,
    block: i64,
    before: TaskSeq,
    count: usize,
) -> Result<Vec<(TaskSeq, ListedDelivery)>, StoreError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT t.seq, t.id, t.endpoint, q.webhook, d.booked_at, d.state, ",
        delivery_state_columns!(),
        ", a.number, a.at, a.took_ms, a.status, a.error, coalesce(substr(a.response, 1, ?8), x'')
         FROM tasks t CROSS JOIN deliveries d ON d.end_seq = t.end_seq CROSS JOIN questions q ON q.seq = t.seq
             LEFT JOIN delivery_attempts a ON a.end_seq = d.end_seq AND a.number = d.attempts
         WHERE t.seq BETWEEN ?1 AND ?2 AND t.seq < ?3 AND t.account = ?4
             AND (?5 IS NULL OR d.state = ?5)
             AND (?6 IS NULL OR d.host = ?6 OR substr(d.host, 1, length(?6) + 1) = ?6 || ':')
         ORDER BY t.seq DESC LIMIT ?7"
    ))?;
    let (from, until) = task_blocks::seqs(block);
    let params = params![
        from,
        until,
        before,
        account.to_i64(),
        filter.stage.map(stage_number),
        filter.host,
        i64::try_from(count).unwrap_or(i64::MAX),
        i64::try_from(LISTED_RESPONSE_BYTES_MAX).unwrap_or(i64::MAX),
    ];
    statement.query_and_then(params, |row| Ok((row.get(0)?, listed(row)?)))?.collect()
}

fn listed(row: &Row<'_>) -> Result<ListedDelivery, StoreError> {
    const ATTEMPT_AT: usize = 9;
    let any = row.get::<_, Option<u32>>(ATTEMPT_AT)?.is_some();
    Ok(ListedDelivery {
        task: task_rows::id(row, 1)?,
        endpoint: task_rows::endpoint(row, 2)?,
        url: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
        booked_at: Timestamp::from_millis(row.get(4)?),
        stage: stage(row, 5)?,
        state: delivery_rows::state(row, 6)?,
        last: any.then(|| delivery_rows::attempt_at(row, ATTEMPT_AT)).transpose()?,
    })
}

/// Where the deliveries of these tasks stand.
pub(super) fn states(
    connection: &Connection,
    account: AccountId,
    tasks: &[TaskId],
) -> Result<Vec<Option<(DeliveryStage, DeliveryState)>>, StoreError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT d.state, ",
        delivery_state_columns!(),
        " FROM tasks t CROSS JOIN deliveries d ON d.end_seq = t.end_seq WHERE t.id = ?1 AND t.account = ?2"
    ))?;
    let mut states = Vec::with_capacity(tasks.len());
    for task in tasks {
        let state = |row: &Row<'_>| Ok((stage(row, 0)?, delivery_rows::state(row, 1)?));
        states.push(first(&mut statement, (task.as_bytes(), account.to_i64()), state)?);
    }
    Ok(states)
}

/// Deliveries that were given up and whose task ended at `since` or later, as far as `most`.
pub(super) fn count_failed(
    connection: &Connection,
    account: AccountId,
    since: Timestamp,
    most: u32,
) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM deliveries
         WHERE account = ?1 AND booked_at >= ?2 AND state = 4 LIMIT ?3)",
    )?;
    let params = (account.to_i64(), since.millis(), most);
    let count: Option<i64> = first(&mut statement, params, |row| Ok(row.get(0)?))?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
}
