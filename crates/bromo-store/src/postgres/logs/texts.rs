//! Kept questions and answers, packed one by one: each is read alone.

use std::collections::BTreeMap;

use bromo_rules::id::{AccountId, RequestId};
use uuid::Uuid;

use super::super::shared::Shared;
use crate::error::StoreError;
use crate::logs::text::{self, TEXT_BYTES_MAX};
use crate::logs::{KeptText, LogKeep};
use crate::postgres::link::call;
use crate::postgres::rows::{self, column};
use crate::postgres::tx::Tx;

/// Texts deleted in one transaction.
const STEP_TEXTS_MAX: i64 = 256;

/// Writes texts; of one request the last is kept.
pub(super) async fn append(tx: &Tx<'_>, texts: &[KeptText]) -> Result<(), StoreError> {
    // In the order of their ids, so that no two nodes wait for each other.
    let kept: BTreeMap<Uuid, &KeptText> = texts
        .iter()
        .filter(|text| text.bytes() <= TEXT_BYTES_MAX)
        .map(|text| (rows::uuid(&text.request), text))
        .collect();
    if kept.is_empty() {
        return Ok(());
    }
    let requests: Vec<Uuid> = kept.keys().copied().collect();
    let kept = || kept.values();
    let accounts: Vec<i64> = kept().map(|text| text.account.to_i64()).collect();
    let ats: Vec<i64> = kept().map(|text| text.at.millis()).collect();
    let questions: Vec<i64> = kept().map(|text| column(text.question.len() as u64)).collect();
    let plains: Vec<i64> = kept().map(|text| column(text.bytes() as u64)).collect();
    let datas: Vec<Vec<u8>> = kept().map(|text| text.pack()).collect();
    let bytes: i64 = datas.iter().map(|data| column(data.len() as u64)).sum();
    let delete = "DELETE FROM texts WHERE request = ANY($1) RETURNING octet_length(data)";
    let mut gone = 0;
    for row in tx.query(delete, &[&requests]).await? {
        gone += i64::from(rows::get::<i32>(&row, 0)?);
    }
    tx.commit([
        call(
            "INSERT INTO texts (request, account, at, question_bytes, plain_bytes, data)
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])",
            &[&requests, &accounts, &ats, &questions, &plains, &datas],
        ),
        call("UPDATE text_bytes SET bytes = bytes + $1", &[&(bytes - gone)]),
    ])
    .await?;
    Ok(())
}

/// A request's text, if it is this account's.
pub(super) async fn lookup(
    shared: &Shared,
    account: AccountId,
    request: RequestId,
) -> Result<Option<KeptText>, StoreError> {
    let sql = "SELECT at, question_bytes, plain_bytes, data FROM texts WHERE request = $1 AND account = $2";
    let found = shared.first(sql, &[&rows::uuid(&request), &account.to_i64()]).await?;
    let Some(row) = found else { return Ok(None) };
    let (question, answer) = text::unpack(rows::get(&row, 3)?, rows::count(&row, 1)?, rows::count(&row, 2)?)?;
    Ok(Some(KeptText { request, account, at: rows::instant(&row, 0)?, question, answer }))
}

/// Deletes texts that are too old or too much, the oldest first; says whether there may be more of them.
pub(super) async fn trim(tx: &Tx<'_>, keep: &LogKeep) -> Result<bool, StoreError> {
    // Locked, so that two nodes do not both make room.
    let row = tx.first("SELECT bytes FROM text_bytes FOR UPDATE", &[]).await?;
    let mut bytes: i64 = row.map_or(Ok(0), |row| rows::get(&row, 0))?;
    let oldest = tx
        .query("SELECT request, at, octet_length(data) FROM texts ORDER BY at LIMIT $1", &[&STEP_TEXTS_MAX])
        .await?;
    let (mut requests, mut gone) = (Vec::new(), 0);
    for row in &oldest {
        let at: i64 = rows::get(row, 1)?;
        if at >= keep.from.millis() && bytes <= column(keep.text_bytes_max) {
            break;
        }
        let size = i64::from(rows::get::<i32>(row, 2)?);
        requests.push(rows::get::<Uuid>(row, 0)?);
        bytes -= size;
        gone += size;
    }
    if requests.is_empty() {
        return Ok(false);
    }
    tx.read([
        call("DELETE FROM texts WHERE request = ANY($1)", &[&requests]),
        call("UPDATE text_bytes SET bytes = bytes - $1", &[&gone]),
    ])
    .await?;
    Ok(column(requests.len() as u64) == STEP_TEXTS_MAX)
}
