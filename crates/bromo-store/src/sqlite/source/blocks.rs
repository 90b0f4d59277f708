//! Blocks of log lines with other numbers. Where counting has come to, a block is cut: the database counts whole ones.

use rusqlite::Row;

use crate::error::StoreError;
use crate::logs::bytes::Garbage;
use crate::logs::decode::{Block, Columns};
use crate::logs::encode::{Builder, Packed};
use crate::logs::line::Line;
use crate::logs::pack::put;
use crate::moving::{Cell, Days};
use crate::sqlite::rows::column;

/// Where a block's row has its columns.
const ACCOUNT: usize = 2;
const LAST_SEQ: usize = 0;
const DATA: usize = 6;

/// A block as the one or two that it becomes; `rolled` is the last line that was counted.
pub(super) fn numbered(row: &Row<'_>, days: &Days, rolled: i64) -> Result<Vec<Vec<Cell>>, StoreError> {
    let account: i64 = row.get(ACCOUNT)?;
    let data = row.get_ref(DATA)?.as_blob().map_err(rusqlite::Error::from)?;
    let Ok(blocks) = renumber(data, days, rolled.unsigned_abs()) else {
        let last_seq: i64 = row.get(LAST_SEQ)?;
        let reason =
            format!("log block {last_seq} cannot be read: set logs.db aside to move without the log");
        return Err(StoreError::Corrupt { reason });
    };
    Ok(blocks.into_iter().map(|block| cells(account, block)).collect())
}

fn renumber(data: &[u8], days: &Days, rolled: u64) -> Result<Vec<Packed>, Garbage> {
    let block = Block::unpack(data)?;
    let columns = Columns::read(&block)?;
    let mut builder = Builder::default();
    let mut blocks = Vec::new();
    let mut counted = None;
    for line in columns.lines() {
        let line = line?;
        let is_counted = line.seq <= rolled;
        if counted.replace(is_counted) == Some(!is_counted) {
            blocks.extend(builder.finish());
        }
        let seq = days.given(column(line.seq)).unsigned_abs();
        put(&mut builder, &Line { seq, ..line }, |full| blocks.push(full));
    }
    blocks.extend(builder.finish());
    Ok(blocks)
}

/// In the order of the part's columns.
fn cells(account: i64, block: Packed) -> Vec<Cell> {
    vec![
        Cell::Int8(Some(column(block.last_seq))),
        Cell::Int8(Some(column(block.first_seq))),
        Cell::Int8(Some(account)),
        Cell::Int8(Some(block.first_at)),
        Cell::Int8(Some(block.last_at)),
        Cell::Int4(i32::try_from(block.lines).ok()),
        Cell::Bytes(Some(block.data)),
    ]
}
