//! Tasks as their owner looks at them.

use bromo_rules::id::AccountId;
use bromo_rules::task::{Task, TaskId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::delivery_rows::{self, delivery_state_columns, delivery_tables};
use super::rows::get;
use super::shared::Shared;
use super::submit::key_hash;
use super::task_rows::{self, TASK_COLUMNS, task_columns, task_tables};
use crate::error::StoreError;
use crate::numbers;
use crate::tasks::{TaskFilter, TaskName, TaskSeq, WholeTask};

const BY_ID: &str = concat!(
    "SELECT ",
    task_columns!(),
    ", t.seq, r.response, ",
    delivery_state_columns!(),
    " FROM tasks t",
    task_tables!(),
    delivery_tables!(),
    " WHERE t.account = $1 AND t.id = $2"
);

const BY_KEY: &str = concat!(
    "SELECT ",
    task_columns!(),
    ", t.seq, r.response, ",
    delivery_state_columns!(),
    " FROM tasks t",
    task_tables!(),
    delivery_tables!(),
    " WHERE t.account = $1 AND t.id = (SELECT id FROM task_keys WHERE hash = $2)"
);

/// Ids ascend as tasks come.
const LIST: &str = concat!(
    "SELECT ",
    task_columns!(),
    " FROM tasks t",
    task_tables!(),
    " WHERE t.account = $1 AND t.id < $2
        AND ($3::smallint IS NULL
            OR (CASE WHEN q.seq IS NULL THEN r.state WHEN q.node IS NULL THEN 2 ELSE 3 END) = $3)
        AND ($4::smallint IS NULL OR t.endpoint = $4)
      ORDER BY t.id DESC LIMIT $5"
);

/// [`TaskName`] as the database knows it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name {
    Id(TaskId),
    Key(Uuid),
}

impl Name {
    /// A key is known by its hash.
    pub(super) fn new(account: AccountId, name: TaskName<'_>) -> Self {
        match name {
            TaskName::Id(id) => Self::Id(id),
            TaskName::Key(key) => Self::Key(key_hash(account, key)),
        }
    }
}

/// A task of this account and its short name; its place in the queue is not known here.
pub(super) async fn whole(
    shared: &Shared,
    account: AccountId,
    name: &Name,
) -> Result<Option<(TaskSeq, WholeTask)>, StoreError> {
    let account = account.to_i64();
    let found = match name {
        Name::Id(id) => shared.first(BY_ID, &[&account, &task_rows::uuid(*id)]).await?,
        Name::Key(hash) => shared.first(BY_KEY, &[&account, hash]).await?,
    };
    found.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<(TaskSeq, WholeTask), StoreError> {
    let whole = WholeTask {
        task: task_rows::task(row, 0)?,
        response: get(row, TASK_COLUMNS + 1)?,
        delivery: delivery_rows::state_if_any(row, TASK_COLUMNS + 2)?,
        ahead_max: None,
    };
    Ok((get(row, TASK_COLUMNS)?, whole))
}

/// Tasks of this account, newest first.
pub(super) async fn list(
    shared: &Shared,
    account: AccountId,
    filter: TaskFilter,
    before: Option<TaskId>,
    count: u32,
) -> Result<Vec<Task>, StoreError> {
    let before = before.map_or(Uuid::max(), task_rows::uuid);
    let state = filter.state.map(numbers::of_state);
    let endpoint = filter.endpoint.map(numbers::of_endpoint);
    let count = i64::from(count);
    let rows = shared.query(LIST, &[&account.to_i64(), &before, &state, &endpoint, &count]).await?;
    rows.iter().map(|row| task_rows::task(row, 0)).collect()
}
