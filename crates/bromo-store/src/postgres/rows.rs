//! Rows to words and back. A number or a word that cannot have been written by us is corruption.

use bromo_rules::account::{Account, Entry, EntryKind, Key};
use bromo_rules::credit::{Balance, Credits, Cycle};
use bromo_rules::id::{AccountId, KeyId, MemberId, RequestId};
use bromo_rules::key::{KeyHash, KeyKind};
use bromo_rules::member::{Email, Member, Role};
use bromo_rules::time::Timestamp;
use bromo_rules::token::TokenHash;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

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

/// A column.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, StoreError> {
    row.try_get(at).map_err(|error| StoreError::Corrupt { reason: super::error::text(&error) })
}

/// An account, its columns from number `at` on.
pub(super) fn account(row: &Row, at: usize) -> Result<Account, StoreError> {
    Ok(Account {
        id: AccountId::from_i64(get(row, at)?),
        name: get(row, at + 1)?,
        plan: get(row, at + 2)?,
        next_plan: get(row, at + 3)?,
        balance: Balance { plan: credits(row, at + 4)?, granted: credits(row, at + 5)? },
        allocated: credits(row, at + 6)?,
        cycle: Cycle {
            anchor: instant(row, at + 7)?,
            starts_at: instant(row, at + 8)?,
            ends_at: instant(row, at + 9)?,
        },
        keep_texts: get(row, at + 13)?,
        version: count(row, at + 10)?,
        ledger_seq: count(row, at + 11)?,
        created_at: instant(row, at + 12)?,
    })
}

/// A key, its columns first in the row.
pub(super) fn key(row: &Row) -> Result<Key, StoreError> {
    let word: &str = get(row, 2)?;
    let kind = [KeyKind::Live, KeyKind::Test].into_iter().find(|kind| kind.word() == word);
    Ok(Key {
        id: KeyId::from_i64(get(row, 0)?),
        account: AccountId::from_i64(get(row, 1)?),
        kind: kind.ok_or_else(|| corrupt("kind of key", &word))?,
        name: get(row, 3)?,
        hash: KeyHash(hash(row, 4)?),
        last4: get(row, 5)?,
        created_at: instant(row, 6)?,
        revoked_at: instant_if_any(row, 7)?,
    })
}

/// A ledger entry: account, seq, kind, amount, balance, request, at.
pub(super) fn entry(row: &Row) -> Result<Entry, StoreError> {
    let word: &str = get(row, 2)?;
    let kind = ENTRY_KINDS.into_iter().find(|kind| kind.word() == word);
    Ok(Entry {
        account: AccountId::from_i64(get(row, 0)?),
        seq: count(row, 1)?,
        kind: kind.ok_or_else(|| corrupt("kind of entry", &word))?,
        amount: credits(row, 3)?,
        balance: credits(row, 4)?,
        request: get::<Option<Uuid>>(row, 5)?.map(|id| RequestId::from_bytes(id.into_bytes())),
        at: instant(row, 6)?,
    })
}

/// A member, its columns from number `at` on.
pub(super) fn member(row: &Row, at: usize) -> Result<Member, StoreError> {
    Ok(Member {
        id: MemberId::from_i64(get(row, at)?),
        account: AccountId::from_i64(get(row, at + 1)?),
        email: email(row, at + 2)?,
        role: role(row, at + 3)?,
        created_at: instant(row, at + 4)?,
        seen_at: instant_if_any(row, at + 5)?,
    })
}

/// An e-mail address.
pub(super) fn email(row: &Row, at: usize) -> Result<Email, StoreError> {
    let text: &str = get(row, at)?;
    text.parse().map_err(|_| corrupt("e-mail address", &text))
}

/// A member's role.
pub(super) fn role(row: &Row, at: usize) -> Result<Role, StoreError> {
    let word: &str = get(row, at)?;
    word.parse().map_err(|_| corrupt("role", &word))
}

/// A token's hash.
pub(super) fn token(row: &Row, at: usize) -> Result<TokenHash, StoreError> {
    hash(row, at).map(TokenHash)
}

fn hash(row: &Row, at: usize) -> Result<[u8; 32], StoreError> {
    let bytes: &[u8] = get(row, at)?;
    bytes.try_into().map_err(|_| corrupt("hash of so many bytes:", &bytes.len()))
}

/// Credits.
pub(super) fn credits(row: &Row, at: usize) -> Result<Credits, StoreError> {
    get(row, at).map(Credits::new)
}

/// An instant.
pub(super) fn instant(row: &Row, at: usize) -> Result<Timestamp, StoreError> {
    get(row, at).map(Timestamp::from_millis)
}

/// An instant, or none.
pub(super) fn instant_if_any(row: &Row, at: usize) -> Result<Option<Timestamp>, StoreError> {
    Ok(get::<Option<i64>>(row, at)?.map(Timestamp::from_millis))
}

/// A number that is never negative.
pub(super) fn count(row: &Row, at: usize) -> Result<u64, StoreError> {
    let number: i64 = get(row, at)?;
    u64::try_from(number).map_err(|_| corrupt("count", &number))
}

/// A count as a column keeps it. None of ours comes near the end.
pub(super) fn column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A request's or a task's id as a column keeps it.
pub(super) fn uuid(id: &RequestId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

/// What cannot have been written by us.
pub(super) fn corrupt(what: &str, found: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt { reason: format!("{what} `{found}`") }
}
