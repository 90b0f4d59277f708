//! Partitions of what grows: one a day, made ahead, dropped whole when no task of that day is left.
//!
//! Tasks, their results, deliveries and attempts lie by the task's id, which begins with the time. Ids of no day that
//! has partitions go to the rest; a day whose ids are there already gets none.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::error::text;
use super::link::Link;
use super::rows::get;
use crate::error::StoreError;

/// Those with a partition a day, the one that decides first.
const TABLES: [&str; 4] = ["tasks", "results", "deliveries", "delivery_attempts"];
const DAY_MS: i64 = 86_400_000;
/// From today on.
const DAYS_AHEAD: i64 = 2;
/// No partition is dropped that ends later than so long ago: a clock may be wrong.
const DAYS_KEPT: i64 = 2;
/// Held while partitions are made and dropped.
const LOCK: i64 = 0x6272_6f6d_6f20_7074;

/// Makes those of the next days, and drops those that are empty.
pub(super) async fn keep(link: &Link) -> Result<(), StoreError> {
    let found = link.client.query_one(
        "SELECT pg_try_advisory_lock($1), (extract(epoch FROM now()) * 1000)::bigint / $2",
        &[&LOCK, &DAY_MS],
    );
    let row = found.await?;
    if !get::<bool>(&row, 0)? {
        return Ok(());
    }
    let kept = keep_locked(link, get(&row, 1)?).await;
    link.client.query_one("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    kept
}

async fn keep_locked(link: &Link, today: i64) -> Result<(), StoreError> {
    let days = days(link).await?;
    for day in today..=today + DAYS_AHEAD {
        if days.contains(&day) {
            continue;
        }
        if let Err(error) = make_if_none_lie_with_the_rest(link, day).await {
            tracing::warn!(day, error = text(&error), "cannot make partitions");
        }
    }
    for day in days.into_iter().filter(|day| *day < today - DAYS_KEPT) {
        let tasks = name("tasks", day);
        let left = link.client.query_one(&format!("SELECT EXISTS (SELECT FROM {tasks})"), &[]).await?;
        if !get::<bool>(&left, 0)?
            && let Err(error) = run(link, &drop_if_empty(day)).await
        {
            tracing::debug!(day, error = text(&error), "cannot drop partitions");
        }
    }
    Ok(())
}

/// Days that have partitions.
async fn days(link: &Link) -> Result<Vec<i64>, StoreError> {
    let sql = "SELECT substr(c.relname, 7)::bigint FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               WHERE i.inhparent = 'tasks'::regclass AND c.relname ~ '^tasks_[0-9]+$' ORDER BY 1";
    link.client.query(sql, &[]).await?.iter().map(|row| get(row, 0)).collect()
}

fn name(table: &str, day: i64) -> String {
    format!("{table}_{day}")
}

/// The least id of a day.
fn least(day: i64) -> String {
    format!("{:012x}{}", (day * DAY_MS).max(0), "0".repeat(20))
}

/// Makes those of a day, unless tasks of it lie with the rest already, where they are as well off.
pub(super) async fn make_if_none_lie_with_the_rest(link: &Link, day: i64) -> Result<(), Error> {
    match run(link, &make(day)).await {
        Err(error) if error.code() == Some(&SqlState::CHECK_VIOLATION) => {
            tracing::debug!(day, "tasks of this day lie with the rest already");
            Ok(())
        }
        made => made,
    }
}

/// Attached rather than made in place, which would lock out all readers.
pub(super) fn make(day: i64) -> String {
    let (from, until) = (least(day), least(day + 1));
    let each = TABLES.map(|table| {
        let name = name(table, day);
        format!(
            "CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
             ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{from}') TO ('{until}');"
        )
    });
    each.concat()
}

fn drop_if_empty(day: i64) -> String {
    let (tasks, names) = (name("tasks", day), TABLES.map(|table| name(table, day)).join(", "));
    format!(
        "LOCK TABLE {tasks} IN ACCESS EXCLUSIVE MODE;
         DO $$ BEGIN
             IF NOT EXISTS (SELECT FROM {tasks}) THEN DROP TABLE {names}; END IF;
         END $$;"
    )
}

/// In a transaction that does not wait long for anybody: others wait behind it.
async fn run(link: &Link, sql: &str) -> Result<(), Error> {
    let sql = format!("BEGIN; SET LOCAL lock_timeout = 500; {sql} COMMIT");
    if let Err(error) = link.client.batch_execute(&sql).await {
        link.client.batch_execute("ROLLBACK").await?;
        return Err(error);
    }
    Ok(())
}
