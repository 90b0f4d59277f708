//! Reading what was counted: the steps' rows, and the lines that wait to be counted, in one snapshot.

use std::collections::BTreeMap;
use std::time::Duration;

use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::time::Timestamp;

use super::roll::{behind, column_of};
use crate::error::StoreError;
use crate::logs::cells::{Counter, Span, Steps, beginning, millis};
use crate::logs::wide::Wide;
use crate::logs::{KeyUse, Level, Rollup};
use crate::postgres::rows::{self, column};
use crate::postgres::tx::Tx;

/// Steps read with one statement.
const STEPS_AT_ONCE: i64 = 512;

/// What [`Logs::rollups`](crate::Logs::rollups) says.
pub(super) async fn rollups(
    tx: &Tx<'_>,
    account: AccountId,
    level: Level,
    step: Duration,
    (from, until): (Timestamp, Timestamp),
) -> Result<Vec<Rollup>, StoreError> {
    let level_step = millis(level.step());
    let span = Span { level, from: beginning(from.millis(), level_step), until: until.millis() };
    let width = (millis(step) / level_step).max(1).saturating_mul(level_step);
    let mut counter = Counter::new(span);
    behind(tx, account, &mut counter).await?;
    let mut waiting = counter.steps();
    let mut wide = Wide::new(span.from, width);
    let (account, level) = (account.to_i64(), column_of(level));
    // Compared as rows, they are found by the account: `rollups_by_start` would find those of all accounts.
    let sql = "SELECT start, data FROM rollups
               WHERE (account, level, start) >= ($1, $2, $3) AND (account, level, start) < ($1, $2, $4)
               ORDER BY account DESC, level DESC, start DESC LIMIT $5";
    let mut before = span.until;
    loop {
        let found = tx.query(sql, &[&account, &level, &span.from, &before, &STEPS_AT_ONCE]).await?;
        for row in &found {
            let start = rows::get(row, 0)?;
            if !take_after(&mut waiting, start, &mut wide) || wide.is_full_before(start) {
                return Ok(wide.finish());
            }
            wide.step(start).merge_encoded(rows::get(row, 1)?)?;
            if let Some(cells) = waiting.remove(&start) {
                wide.step(start).merge(cells);
            }
            before = start;
        }
        if column(found.len() as u64) < STEPS_AT_ONCE {
            break;
        }
    }
    take_after(&mut waiting, i64::MIN, &mut wide);
    Ok(wide.finish())
}

/// Moves steps that begin after this one, the newest first; false once there are enough rows.
fn take_after(waiting: &mut Steps, start: i64, wide: &mut Wide) -> bool {
    while let Some((newest, cells)) = waiting.pop_last() {
        if newest <= start && start > i64::MIN {
            waiting.insert(newest, cells);
            break;
        }
        if wide.is_full_before(newest) {
            return false;
        }
        wide.step(newest).merge(cells);
    }
    true
}

/// What [`Logs::key_uses`](crate::Logs::key_uses) says.
pub(super) async fn key_uses(tx: &Tx<'_>, account: AccountId) -> Result<Vec<KeyUse>, StoreError> {
    let mut counter = Counter::new(Span::NONE);
    behind(tx, account, &mut counter).await?;
    let mut uses: BTreeMap<i64, i64> = counter.key_uses();
    for row in tx.query("SELECT key, last_at FROM key_uses WHERE account = $1", &[&account.to_i64()]).await? {
        let (key, at): (i64, i64) = (rows::get(&row, 0)?, rows::get(&row, 1)?);
        let last_at = uses.entry(key).or_insert(at);
        *last_at = at.max(*last_at);
    }
    let key_use = |(key, at)| KeyUse { key: KeyId::from_i64(key), last_at: Timestamp::from_millis(at) };
    Ok(uses.into_iter().map(key_use).collect())
}
