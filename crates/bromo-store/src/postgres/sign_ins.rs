//! What signs members in: sessions, links, and the invitations of those who are no members yet.

use bromo_rules::account::Account;
use bromo_rules::id::{AccountId, MemberId};
use bromo_rules::member::Member;
use bromo_rules::time::Timestamp;
use bromo_rules::token::TokenHash;
use tokio_postgres::Row;

use super::rows::{self, account_columns, member_columns};
use super::shared::Shared;
use super::tx::Tx;
use crate::error::StoreError;
use crate::members::{Invitation, Session};

const MISSING: StoreError = StoreError::Missing { what: "member" };

/// Ends a session, if there is one.
pub(super) const END_SESSION: &str = "DELETE FROM sessions WHERE token = $1";

/// Withdraws an invitation, if there is one.
pub(super) const DELETE_INVITATION: &str = "DELETE FROM invitations WHERE account = $1 AND email = $2";

/// Columns of [`invitation`].
macro_rules! invitation_columns {
    () => {
        "token, account, email, role, invited_by, created_at, expires_at"
    };
}

/// The invitation, if it is good then.
pub(super) const INVITATION: &str =
    concat!("SELECT ", invitation_columns!(), " FROM invitations WHERE token = $1 AND expires_at + 0 > $2");

/// Writes a session of a member who is there; `replaces` ends.
pub(super) async fn create_session(
    tx: &Tx<'_>,
    session: &Session,
    replaces: Option<TokenHash>,
) -> Result<(), StoreError> {
    if let Some(replaced) = replaces.filter(|replaced| *replaced != session.token) {
        tx.execute(END_SESSION, &[&replaced.0.as_slice()]).await?;
    }
    let (token, member) = (session.token.0.as_slice(), session.member.to_i64());
    if let Some(row) = tx.first("SELECT member FROM sessions WHERE token = $1", &[&token]).await? {
        let same = rows::get::<i64>(&row, 0)? == member;
        return if same { Ok(()) } else { Err(StoreError::Conflict { what: "session" }) };
    }
    // Locked, so that the member is not removed meanwhile.
    let sql = "INSERT INTO sessions (token, member, created_at, expires_at)
               SELECT $1, id, $3, $4 FROM members WHERE id = $2 FOR KEY SHARE";
    let params = (session.created_at.millis(), session.expires_at.millis());
    let written = tx.execute(sql, &[&token, &member, &params.0, &params.1]).await?;
    if written == 0 { Err(MISSING) } else { Ok(()) }
}

/// The session, if it is good at `now`, with its member and account.
pub(super) async fn lookup_session(
    shared: &Shared,
    token: TokenHash,
    now: Timestamp,
) -> Result<Option<(Session, Member, Account)>, StoreError> {
    let sql = concat!(
        "SELECT s.created_at, s.expires_at, ",
        member_columns!(),
        ", ",
        account_columns!(),
        " FROM sessions s CROSS JOIN LATERAL (SELECT * FROM members WHERE id = s.member OFFSET 0) m
              CROSS JOIN LATERAL (SELECT * FROM accounts WHERE id = m.account OFFSET 0) a
          WHERE s.token = $1 AND s.expires_at + 0 > $2"
    );
    let found = shared.first(sql, &[&token.0.as_slice(), &now.millis()]).await?;
    let read = |row: Row| {
        let member = rows::member(&row, 2)?;
        let session = Session {
            token,
            member: member.id,
            created_at: rows::instant(&row, 0)?,
            expires_at: rows::instant(&row, 1)?,
        };
        Ok((session, member, rows::account(&row, 2 + rows::MEMBER_COLUMNS)?))
    };
    found.map(read).transpose()
}

/// Ends the member's links and every session but `keep`.
pub(super) async fn end_all(
    tx: &Tx<'_>,
    member: MemberId,
    keep: Option<TokenHash>,
) -> Result<(), StoreError> {
    let (member, keep) = (member.to_i64(), keep.map(|keep| keep.0.to_vec()));
    let sql = "DELETE FROM sessions WHERE member = $1 AND token IS DISTINCT FROM $2";
    tx.execute(sql, &[&member, &keep]).await?;
    tx.execute("DELETE FROM links WHERE member = $1", &[&member]).await?;
    Ok(())
}

/// Writes an invitation in place of one to the same account and address.
pub(super) async fn create_invitation(tx: &Tx<'_>, invitation: &Invitation) -> Result<(), StoreError> {
    let (account, email) = (invitation.account.to_i64(), invitation.email.as_str());
    tx.execute(DELETE_INVITATION, &[&account, &email]).await?;
    let written = tx
        .execute(
            "INSERT INTO invitations (token, account, email, role, invited_by, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (token) DO NOTHING",
            &[
                &invitation.token.0.as_slice(),
                &account,
                &email,
                &invitation.role.word(),
                &invitation.by.to_i64(),
                &invitation.created_at.millis(),
                &invitation.expires_at.millis(),
            ],
        )
        .await?;
    if written == 0 { Err(StoreError::Conflict { what: "invitation" }) } else { Ok(()) }
}

/// The invitation, if it is good at `now`; it is deleted in any case.
pub(super) async fn take_invitation(
    tx: &Tx<'_>,
    token: TokenHash,
    now: Timestamp,
) -> Result<Option<Invitation>, StoreError> {
    let token = token.0.as_slice();
    let found = tx.first(INVITATION, &[&token, &now.millis()]).await?;
    let deleted = tx.execute("DELETE FROM invitations WHERE token = $1", &[&token]).await?;
    // Somebody else may have used it up in between.
    found.filter(|_| deleted == 1).as_ref().map(invitation).transpose()
}

/// The account's invitations that are good at `now`, oldest first.
pub(super) async fn list_invitations(
    shared: &Shared,
    account: AccountId,
    now: Timestamp,
) -> Result<Vec<Invitation>, StoreError> {
    let sql = concat!(
        "SELECT ",
        invitation_columns!(),
        " FROM invitations WHERE account = $1 AND expires_at + 0 > $2 ORDER BY created_at, email COLLATE \"C\""
    );
    let found = shared.query(sql, &[&account.to_i64(), &now.millis()]).await?;
    found.iter().map(invitation).collect()
}

/// Withdraws what the member invited to.
pub(super) async fn withdraw_invitations_of(tx: &Tx<'_>, member: MemberId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM invitations WHERE invited_by = $1", &[&member.to_i64()]).await?;
    Ok(())
}

/// Writes a link of a member who is there.
pub(super) async fn create_link(
    tx: &Tx<'_>,
    token: TokenHash,
    member: MemberId,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let member = member.to_i64();
    if tx.first("SELECT FROM members WHERE id = $1 FOR KEY SHARE", &[&member]).await?.is_none() {
        return Err(MISSING);
    }
    // Written again, it is the same link; another member's is left alone.
    let sql = "INSERT INTO links (token, member, expires_at) VALUES ($1, $2, $3)
               ON CONFLICT (token) DO UPDATE SET expires_at = excluded.expires_at
               WHERE links.member = excluded.member";
    let written = tx.execute(sql, &[&token.0.as_slice(), &member, &expires_at.millis()]).await?;
    if written == 0 { Err(StoreError::Conflict { what: "link" }) } else { Ok(()) }
}

/// Uses a link up; whose it was, if it was good at `now`.
pub(super) async fn take_link(
    tx: &Tx<'_>,
    token: TokenHash,
    now: Timestamp,
) -> Result<Option<MemberId>, StoreError> {
    let sql = "DELETE FROM links WHERE token = $1 RETURNING member, expires_at > $2";
    let Some(row) = tx.first(sql, &[&token.0.as_slice(), &now.millis()]).await? else { return Ok(None) };
    let (member, good): (i64, bool) = (rows::get(&row, 0)?, rows::get(&row, 1)?);
    Ok(good.then_some(MemberId::from_i64(member)))
}

/// Deletes what is over, at most `count`; how many.
pub(super) async fn expire(shared: &Shared, now: Timestamp, count: u32) -> Result<u32, StoreError> {
    let mut deleted = 0;
    for sql in [
        "DELETE FROM sessions WHERE token = ANY(ARRAY(
             SELECT token FROM sessions WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
        "DELETE FROM invitations WHERE token = ANY(ARRAY(
             SELECT token FROM invitations WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
        "DELETE FROM links WHERE token = ANY(ARRAY(
             SELECT token FROM links WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
    ] {
        let some = shared.execute(sql, &[&now.millis(), &i64::from(count - deleted)]).await?;
        deleted += u32::try_from(some).unwrap_or(u32::MAX);
    }
    Ok(deleted)
}

/// An invitation.
pub(super) fn invitation(row: &Row) -> Result<Invitation, StoreError> {
    Ok(Invitation {
        token: rows::token(row, 0)?,
        account: AccountId::from_i64(rows::get(row, 1)?),
        email: rows::email(row, 2)?,
        role: rows::role(row, 3)?,
        by: MemberId::from_i64(rows::get(row, 4)?),
        created_at: rows::instant(row, 5)?,
        expires_at: rows::instant(row, 6)?,
    })
}
