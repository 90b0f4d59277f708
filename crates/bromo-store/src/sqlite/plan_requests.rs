//! Changes of plan that wait for an operator, in SQLite.

use bromo_rules::id::{AccountId, MemberId};
use bromo_rules::time::Timestamp;
use rusqlite::{Connection, Row};

use super::accounts;
use super::rows::first;
use crate::error::StoreError;
use crate::members::PlanRequest;

/// Replaces what the account asks for; none takes it back.
pub(super) fn put(
    connection: &Connection,
    account: AccountId,
    request: Option<&PlanRequest>,
) -> Result<(), StoreError> {
    accounts::get(connection, account)?;
    let Some(PlanRequest { plan, by, at, .. }) = request else {
        connection
            .prepare_cached("DELETE FROM plan_requests WHERE account = ?1")?
            .execute([account.to_i64()])?;
        return Ok(());
    };
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO plan_requests (account, plan, requested_by, requested_at)
             VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((account.to_i64(), plan, by.to_i64(), at.millis()))?;
    Ok(())
}

/// What the account asks for.
pub(super) fn lookup(connection: &Connection, account: AccountId) -> Result<Option<PlanRequest>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT account, plan, requested_by, requested_at FROM plan_requests WHERE account = ?1",
    )?;
    first(&mut statement, [account.to_i64()], request)
}

/// What accounts ask for, oldest first.
pub(super) fn list(connection: &Connection, count: u32) -> Result<Vec<PlanRequest>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT account, plan, requested_by, requested_at FROM plan_requests
         ORDER BY requested_at, account LIMIT ?1",
    )?;
    statement.query_and_then([count], request)?.collect()
}

fn request(row: &Row<'_>) -> Result<PlanRequest, StoreError> {
    Ok(PlanRequest {
        account: AccountId::from_i64(row.get(0)?),
        plan: row.get(1)?,
        by: MemberId::from_i64(row.get(2)?),
        at: Timestamp::from_millis(row.get(3)?),
    })
}
