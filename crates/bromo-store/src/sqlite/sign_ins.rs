//! What signs members in: sessions, links, and the invitations of those who are no members yet.

use bromo_rules::account::Account;
use bromo_rules::id::{AccountId, MemberId};
use bromo_rules::member::{Email, Member};
use bromo_rules::time::Timestamp;
use bromo_rules::token::TokenHash;
use rusqlite::{Connection, Row, params};

use super::rows;
use super::rows::{account_columns, first, member_columns};
use crate::error::StoreError;
use crate::members::{Invitation, Session};

const MISSING: StoreError = StoreError::Missing { what: "member" };

/// Writes a session of a member who is there; `replaces` ends.
pub(super) fn create_session(
    connection: &Connection,
    session: &Session,
    replaces: Option<TokenHash>,
) -> Result<(), StoreError> {
    if let Some(replaced) = replaces.filter(|replaced| *replaced != session.token) {
        end_session(connection, replaced)?;
    }
    let mut statement = connection.prepare_cached("SELECT member FROM sessions WHERE token = ?1")?;
    match first(&mut statement, [session.token.0], |row| Ok(MemberId::from_i64(row.get(0)?)))? {
        Some(member) if member == session.member => return Ok(()),
        Some(_) => return Err(StoreError::Conflict { what: "session" }),
        None => {}
    }
    let written = connection
        .prepare_cached(
            "INSERT INTO sessions (token, member, created_at, expires_at)
             SELECT ?1, id, ?3, ?4 FROM members WHERE id = ?2",
        )?
        .execute(params![
            session.token.0,
            session.member.to_i64(),
            session.created_at.millis(),
            session.expires_at.millis()
        ])?;
    if written == 0 { Err(MISSING) } else { Ok(()) }
}

/// The session, if it is good at `now`, with its member and account.
pub(super) fn lookup_session(
    connection: &Connection,
    token: TokenHash,
    now: Timestamp,
) -> Result<Option<(Session, Member, Account)>, StoreError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT s.created_at, s.expires_at, ",
        member_columns!(),
        ", ",
        account_columns!(),
        " FROM sessions s JOIN members m ON m.id = s.member JOIN accounts a ON a.id = m.account
          WHERE s.token = ?1 AND s.expires_at > ?2"
    ))?;
    first(&mut statement, (token.0, now.millis()), |row| {
        let member = rows::member(row, 2)?;
        let session = Session {
            token,
            member: member.id,
            created_at: Timestamp::from_millis(row.get(0)?),
            expires_at: Timestamp::from_millis(row.get(1)?),
        };
        Ok((session, member, rows::account(row, 2 + rows::MEMBER_COLUMNS)?))
    })
}

/// Ends a session, if there is one.
pub(super) fn end_session(connection: &Connection, token: TokenHash) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM sessions WHERE token = ?1")?.execute([token.0])?;
    Ok(())
}

/// Ends the member's links and every session but `keep`.
pub(super) fn end_all(
    connection: &Connection,
    member: MemberId,
    keep: Option<TokenHash>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM sessions WHERE member = ?1 AND token IS NOT ?2")?
        .execute((member.to_i64(), keep.map(|keep| keep.0)))?;
    connection.prepare_cached("DELETE FROM links WHERE member = ?1")?.execute([member.to_i64()])?;
    Ok(())
}

/// Writes an invitation in place of one to the same account and address.
pub(super) fn create_invitation(connection: &Connection, invitation: &Invitation) -> Result<(), StoreError> {
    delete_invitation(connection, invitation.account, &invitation.email)?;
    let written = connection
        .prepare_cached(
            "INSERT INTO invitations (token, account, email, role, invited_by, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (token) DO NOTHING",
        )?
        .execute(params![
            invitation.token.0,
            invitation.account.to_i64(),
            invitation.email.as_str(),
            invitation.role.word(),
            invitation.by.to_i64(),
            invitation.created_at.millis(),
            invitation.expires_at.millis(),
        ])?;
    if written == 0 { Err(StoreError::Conflict { what: "invitation" }) } else { Ok(()) }
}

/// Columns of [`invitation`].
macro_rules! invitation_columns {
    () => {
        "token, account, email, role, invited_by, created_at, expires_at"
    };
}

/// The invitation, if it is good at `now`.
pub(super) fn lookup_invitation(
    connection: &Connection,
    token: TokenHash,
    now: Timestamp,
) -> Result<Option<Invitation>, StoreError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        invitation_columns!(),
        " FROM invitations WHERE token = ?1 AND expires_at > ?2"
    ))?;
    first(&mut statement, (token.0, now.millis()), invitation)
}

/// The same, and deletes it.
pub(super) fn take_invitation(
    connection: &Connection,
    token: TokenHash,
    now: Timestamp,
) -> Result<Option<Invitation>, StoreError> {
    let found = lookup_invitation(connection, token, now)?;
    connection.prepare_cached("DELETE FROM invitations WHERE token = ?1")?.execute([token.0])?;
    Ok(found)
}

/// The account's invitations that are good at `now`, oldest first.
pub(super) fn list_invitations(
    connection: &Connection,
    account: AccountId,
    now: Timestamp,
) -> Result<Vec<Invitation>, StoreError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        invitation_columns!(),
        " FROM invitations WHERE account = ?1 AND expires_at > ?2 ORDER BY created_at, email"
    ))?;
    statement.query_and_then((account.to_i64(), now.millis()), invitation)?.collect()
}

/// Withdraws an invitation, if there is one.
pub(super) fn delete_invitation(
    connection: &Connection,
    account: AccountId,
    email: &Email,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM invitations WHERE account = ?1 AND email = ?2")?
        .execute((account.to_i64(), email.as_str()))?;
    Ok(())
}

/// Withdraws what the member invited to.
pub(super) fn withdraw_invitations_of(connection: &Connection, member: MemberId) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM invitations WHERE invited_by = ?1")?.execute([member.to_i64()])?;
    Ok(())
}

/// Writes a link of a member who is there.
pub(super) fn create_link(
    connection: &Connection,
    token: TokenHash,
    member: MemberId,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    if !connection.prepare_cached("SELECT 1 FROM members WHERE id = ?1")?.exists([member.to_i64()])? {
        return Err(MISSING);
    }
    let mut statement = connection.prepare_cached(
        // Written again, it is the same link; another member's is left alone.
        "INSERT INTO links (token, member, expires_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (token) DO UPDATE SET expires_at = excluded.expires_at WHERE member = excluded.member",
    )?;
    let written = statement.execute((token.0, member.to_i64(), expires_at.millis()))?;
    if written == 0 { Err(StoreError::Conflict { what: "link" }) } else { Ok(()) }
}

/// Uses a link up; whose it was, if it was good at `now`.
pub(super) fn take_link(
    connection: &Connection,
    token: TokenHash,
    now: Timestamp,
) -> Result<Option<MemberId>, StoreError> {
    let mut statement =
        connection.prepare_cached("DELETE FROM links WHERE token = ?1 RETURNING member, expires_at > ?2")?;
    let used = first(&mut statement, (token.0, now.millis()), |row| {
        Ok(row.get::<_, bool>(1)?.then_some(MemberId::from_i64(row.get(0)?)))
    })?;
    Ok(used.flatten())
}

/// Deletes what is over, at most `count`; how many.
pub(super) fn expire(connection: &Connection, now: Timestamp, count: u32) -> Result<u32, StoreError> {
    let mut deleted = 0;
    for sql in [
        "DELETE FROM sessions WHERE token IN (SELECT token FROM sessions WHERE expires_at <= ?1 LIMIT ?2)",
        "DELETE FROM invitations WHERE token IN (SELECT token FROM invitations WHERE expires_at <= ?1 LIMIT ?2)",
        "DELETE FROM links WHERE token IN (SELECT token FROM links WHERE expires_at <= ?1 LIMIT ?2)",
    ] {
        let some = connection.prepare_cached(sql)?.execute((now.millis(), count - deleted))?;
        deleted += u32::try_from(some).unwrap_or(u32::MAX);
    }
    Ok(deleted)
}

fn invitation(row: &Row<'_>) -> Result<Invitation, StoreError> {
    Ok(Invitation {
        token: TokenHash(row.get(0)?),
        account: AccountId::from_i64(row.get(1)?),
        email: rows::email(row, 2)?,
        role: rows::role(row, 3)?,
        by: MemberId::from_i64(row.get(4)?),
        created_at: Timestamp::from_millis(row.get(5)?),
        expires_at: Timestamp::from_millis(row.get(6)?),
    })
}
