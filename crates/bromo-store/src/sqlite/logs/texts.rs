//! Kept questions and answers, packed one by one: each is read alone.

use bromo_rules::id::{AccountId, RequestId};
use bromo_rules::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::StoreError;
use crate::logs::text::{self, TEXT_BYTES_MAX};
use crate::logs::{KeptText, LogKeep};
use crate::sqlite::rows::{column, count};

/// Texts deleted in one transaction.
const STEP_TEXTS_MAX: u32 = 256;

/// Writes texts; the caller's savepoint makes it all or nothing. Of one request the last is kept.
pub(super) fn append(connection: &Connection, texts: &[KeptText]) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO texts (request, account, at, question_bytes, plain_bytes, data)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut grown = 0;
    for text in texts.iter().filter(|text| text.bytes() <= TEXT_BYTES_MAX) {
        grown -= delete(connection, &text.request)?;
        let data = text.pack();
        insert.execute(params![
            text.request.as_bytes(),
            text.account.to_i64(),
            text.at.millis(),
            column(text.question.len() as u64),
            column(text.bytes() as u64),
            data,
        ])?;
        grown += column(data.len() as u64);
    }
    grow(connection, grown)
}

/// A request's text, if it is this account's.
pub(super) fn lookup(
    connection: &Connection,
    account: AccountId,
    request: RequestId,
) -> Result<Option<KeptText>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT at, question_bytes, plain_bytes, data FROM texts WHERE request = ?1 AND account = ?2",
    )?;
    let mut rows = statement.query((request.as_bytes(), account.to_i64()))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let data = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
    let (question, answer) = text::unpack(data, count(row, 1)?, count(row, 2)?)?;
    Ok(Some(KeptText { request, account, at: Timestamp::from_millis(row.get(0)?), question, answer }))
}

/// What all texts take.
pub(super) fn bytes(connection: &Connection) -> Result<u64, StoreError> {
    connection.prepare_cached("SELECT bytes FROM text_bytes")?.query_row([], |row| Ok(count(row, 0)))?
}

/// Deletes texts that are too old or too much, the oldest first; says whether there may be more of them.
pub(super) fn trim(connection: &Connection, keep: &LogKeep) -> Result<bool, StoreError> {
    for _ in 0..STEP_TEXTS_MAX {
        let oldest: Option<(RequestId, i64)> = connection
            .prepare_cached("SELECT request, at FROM texts ORDER BY at LIMIT 1")?
            .query_row([], |row| Ok((RequestId::from_bytes(row.get(0)?), row.get(1)?)))
            .optional()?;
        let Some((request, at)) = oldest else { return Ok(false) };
        if at >= keep.from.millis() && bytes(connection)? <= keep.text_bytes_max {
            return Ok(false);
        }
        let gone = delete(connection, &request)?;
        grow(connection, -gone)?;
    }
    Ok(true)
}

/// Deletes a request's text; says how much it took.
fn delete(connection: &Connection, request: &RequestId) -> Result<i64, StoreError> {
    let bytes = connection
        .prepare_cached("DELETE FROM texts WHERE request = ?1 RETURNING length(data)")?
        .query_row([request.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(bytes.unwrap_or(0))
}

fn grow(connection: &Connection, bytes: i64) -> Result<(), StoreError> {
    connection.prepare_cached("UPDATE text_bytes SET bytes = bytes + ?1")?.execute([bytes])?;
    Ok(())
}
