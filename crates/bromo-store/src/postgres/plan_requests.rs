//! Changes of plan that wait for an operator.

use bromo_rules::id::{AccountId, MemberId};
use tokio_postgres::Row;

use super::shared::Shared;
use super::tx::Tx;
use super::{accounts, rows};
use crate::error::StoreError;
use crate::members::PlanRequest;

/// Replaces what the account asks for; none takes it back.
pub(super) async fn put(
    tx: &Tx<'_>,
    account: AccountId,
    request: Option<&PlanRequest>,
) -> Result<(), StoreError> {
    accounts::lock(tx, account).await?;
    let account = account.to_i64();
    let Some(PlanRequest { plan, by, at, .. }) = request else {
        tx.execute("DELETE FROM plan_requests WHERE account = $1", &[&account]).await?;
        return Ok(());
    };
    tx.execute(
        "INSERT INTO plan_requests (account, plan, requested_by, requested_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account) DO UPDATE SET plan = excluded.plan, requested_by = excluded.requested_by,
             requested_at = excluded.requested_at",
        &[&account, plan, &by.to_i64(), &at.millis()],
    )
    .await?;
    Ok(())
}

/// What the account asks for.
pub(super) async fn lookup(shared: &Shared, account: AccountId) -> Result<Option<PlanRequest>, StoreError> {
    let sql = "SELECT account, plan, requested_by, requested_at FROM plan_requests WHERE account = $1";
    shared.first(sql, &[&account.to_i64()]).await?.as_ref().map(request).transpose()
}

/// What accounts ask for, oldest first.
pub(super) async fn list(shared: &Shared, count: u32) -> Result<Vec<PlanRequest>, StoreError> {
    let sql = "SELECT account, plan, requested_by, requested_at FROM plan_requests
               ORDER BY requested_at, account LIMIT $1";
    shared.query(sql, &[&i64::from(count)]).await?.iter().map(request).collect()
}

fn request(row: &Row) -> Result<PlanRequest, StoreError> {
    Ok(PlanRequest {
        account: AccountId::from_i64(rows::get(row, 0)?),
        plan: rows::get(row, 1)?,
        by: MemberId::from_i64(rows::get(row, 2)?),
        at: rows::instant(row, 3)?,
    })
}
