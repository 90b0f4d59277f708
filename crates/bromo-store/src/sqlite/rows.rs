//! Rows to words and back. A number or a word that cannot have been written by us is corruption.

use bromo_rules::account::{Account, Entry, EntryKind, Key};
use bromo_rules::credit::{Balance, Credits, Cycle};
use bromo_rules::id::{AccountId, KeyId, MemberId, RequestId};
use bromo_rules::key::{KeyHash, KeyKind};
use bromo_rules::member::{Email, Member, Role};
use bromo_rules::time::Timestamp;
use rusqlite::{CachedStatement, Params, Row};

use crate::error::StoreError;

/// Columns of [`account`], of a table named `a`.
macro_rules! account_columns {
    () => {
        "a.id, a.name, a.plan, a.next_plan, a.balance_plan, a.balance_granted, a.allocated, \
         a.cycle_anchor, a.cycle_starts_at, a.cycle_ends_at, a.version, a.ledger_seq, a.created_at, \
         a.keep_texts"
    };
}
pub(super) use account_columns;

/// Columns of [`key`], of a table named `k`.
macro_rules! key_columns {
    () => {
        "k.id, k.account, k.kind, k.name, k.hash, k.last4, k.created_at, k.revoked_at"
    };
}
pub(super) use key_columns;

/// How many columns [`key_columns`] has: where a joined account begins.
pub(super) const KEY_COLUMNS: usize = 8;

/// Columns of [`member`], of a table named `m`.
macro_rules! member_columns {
    () => {
        "m.id, m.account, m.email, m.role, m.created_at, m.seen_at"
    };
}
pub(super) use member_columns;

/// How many columns [`member_columns`] has: where what is joined begins.
pub(super) const MEMBER_COLUMNS: usize = 6;

const ENTRY_KINDS: [EntryKind; 5] =
    [EntryKind::Opening, EntryKind::Charge, EntryKind::Grant, EntryKind::Upgrade, EntryKind::Cycle];

/// The first row, if there is one.
pub(super) fn first<T>(
    statement: &mut CachedStatement<'_>,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    statement.query_and_then(params, read)?.next().transpose()
}

/// An account, its columns from number `at` on.
pub(super) fn account(row: &Row<'_>, at: usize) -> Result<Account, StoreError> {
    Ok(Account {
        id: AccountId::from_i64(row.get(at)?),
        name: row.get(at + 1)?,
        plan: row.get(at + 2)?,
        next_plan: row.get(at + 3)?,
        balance: Balance { plan: Credits::new(row.get(at + 4)?), granted: Credits::new(row.get(at + 5)?) },
        allocated: Credits::new(row.get(at + 6)?),
        cycle: Cycle {
            anchor: Timestamp::from_millis(row.get(at + 7)?),
            starts_at: Timestamp::from_millis(row.get(at + 8)?),
            ends_at: Timestamp::from_millis(row.get(at + 9)?),
        },
        keep_texts: row.get(at + 13)?,
        version: count(row, at + 10)?,
        ledger_seq: count(row, at + 11)?,
        created_at: Timestamp::from_millis(row.get(at + 12)?),
    })
}

/// A key, its columns first in the row.
pub(super) fn key(row: &Row<'_>) -> Result<Key, StoreError> {
    let word: String = row.get(2)?;
    let kind = [KeyKind::Live, KeyKind::Test].into_iter().find(|kind| kind.word() == word);
    Ok(Key {
        id: KeyId::from_i64(row.get(0)?),
        account: AccountId::from_i64(row.get(1)?),
        kind: kind.ok_or_else(|| corrupt("kind of key", &word))?,
        name: row.get(3)?,
        hash: KeyHash(row.get(4)?),
        last4: row.get(5)?,
        created_at: Timestamp::from_millis(row.get(6)?),
        revoked_at: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_millis),
    })
}

/// A ledger entry: account, seq, kind, amount, balance, request, at.
pub(super) fn entry(row: &Row<'_>) -> Result<Entry, StoreError> {
    let word: String = row.get(2)?;
    let kind = ENTRY_KINDS.into_iter().find(|kind| kind.word() == word);
    Ok(Entry {
        account: AccountId::from_i64(row.get(0)?),
        seq: count(row, 1)?,
        kind: kind.ok_or_else(|| corrupt("kind of entry", &word))?,
        amount: Credits::new(row.get(3)?),
        balance: Credits::new(row.get(4)?),
        request: row.get::<_, Option<[u8; 16]>>(5)?.map(RequestId::from_bytes),
        at: Timestamp::from_millis(row.get(6)?),
    })
}

/// A member, its columns from number `at` on.
pub(super) fn member(row: &Row<'_>, at: usize) -> Result<Member, StoreError> {
    Ok(Member {
        id: MemberId::from_i64(row.get(at)?),
        account: AccountId::from_i64(row.get(at + 1)?),
        email: email(row, at + 2)?,
        role: role(row, at + 3)?,
        created_at: Timestamp::from_millis(row.get(at + 4)?),
        seen_at: row.get::<_, Option<i64>>(at + 5)?.map(Timestamp::from_millis),
    })
}

/// An e-mail address.
pub(super) fn email(row: &Row<'_>, at: usize) -> Result<Email, StoreError> {
    let text: String = row.get(at)?;
    text.parse().map_err(|_| corrupt("e-mail address", &text))
}

/// A member's role.
pub(super) fn role(row: &Row<'_>, at: usize) -> Result<Role, StoreError> {
    let word: String = row.get(at)?;
    word.parse().map_err(|_| corrupt("role", &word))
}

/// A number that is never negative.
pub(super) fn count(row: &Row<'_>, at: usize) -> Result<u64, StoreError> {
    let number: i64 = row.get(at)?;
    u64::try_from(number).map_err(|_| corrupt("count", &number))
}

/// A count as a column keeps it. None of ours comes near the end.
pub(super) fn column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What cannot have been written by us.
pub(super) fn corrupt(what: &str, found: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt { reason: format!("{what} `{found}`") }
}
