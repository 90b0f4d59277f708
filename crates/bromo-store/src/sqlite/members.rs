//! Members in SQLite; what signs them in is in [`sign_ins`].

use async_trait::async_trait;
use bromo_rules::account::{Account, ChangeError};
use bromo_rules::id::{AccountId, MemberId};
use bromo_rules::member::{Act, Email, Member, Role};
use bromo_rules::time::Timestamp;
use bromo_rules::token::TokenHash;
use rusqlite::{Connection, params};

use super::rows::{first, member_columns};
use super::{SqliteStore, accounts, plan_requests, rows, sign_ins};
use crate::error::StoreError;
use crate::members::{Invitation, Members, PlanRequest, Session};

#[async_trait]
impl Members for SqliteStore {
    async fn create_member(
        &self,
        member: &Member,
        password: Option<&str>,
        invitation: Option<TokenHash>,
        seats: Option<u32>,
    ) -> Result<(), StoreError> {
        let (member, password) = (member.clone(), password.map(str::to_owned));
        self.parts
            .writer
            .run(move |connection| create(connection, &member, password.as_deref(), invitation, seats))
            .await
    }

    async fn lookup_member(&self, id: MemberId) -> Result<Option<Member>, StoreError> {
        self.parts.readers.run(move |connection| lookup(connection, id)).await
    }

    async fn lookup_member_by_email(
        &self,
        email: &Email,
    ) -> Result<Option<(Member, Option<String>)>, StoreError> {
        let email = email.clone();
        self.parts
            .readers
            .run(move |connection| {
                let mut statement = connection.prepare_cached(concat!(
                    "SELECT ",
                    member_columns!(),
                    ", m.password FROM members m WHERE m.email = ?1"
                ))?;
                first(&mut statement, [email.as_str()], |row| {
                    Ok((rows::member(row, 0)?, row.get(rows::MEMBER_COLUMNS)?))
                })
            })
            .await
    }

    async fn list_members(&self, account: AccountId) -> Result<Vec<Member>, StoreError> {
        self.parts
            .readers
            .run(move |connection| {
                let mut statement = connection.prepare_cached(concat!(
                    "SELECT ",
                    member_columns!(),
                    " FROM members m WHERE m.account = ?1 ORDER BY m.created_at, m.id"
                ))?;
                statement.query_and_then([account.to_i64()], |row| rows::member(row, 0))?.collect()
            })
            .await
    }

    async fn set_role(&self, account: AccountId, id: MemberId, role: Role) -> Result<(), StoreError> {
        self.parts.writer.run(move |connection| set_role(connection, account, id, role)).await
    }

    async fn remove_member(&self, account: AccountId, id: MemberId) -> Result<(), StoreError> {
        self.parts.writer.run(move |connection| remove(connection, account, id)).await
    }

    async fn set_password(
        &self,
        id: MemberId,
        password: &str,
        keep: Option<TokenHash>,
    ) -> Result<(), StoreError> {
        let password = password.to_owned();
        self.parts
            .writer
            .run(move |connection| {
                let set = connection
                    .prepare_cached("UPDATE members SET password = ?2 WHERE id = ?1")?
                    .execute((id.to_i64(), password))?;
                if set == 0 {
                    return Err(StoreError::Missing { what: "member" });
                }
                sign_ins::end_all(connection, id, keep)
            })
            .await
    }

    async fn create_session(&self, session: &Session, replaces: Option<TokenHash>) -> Result<(), StoreError> {
        let session = session.clone();
        self.parts
            .writer
            .run(move |connection| {
                sign_ins::create_session(connection, &session, replaces)?;
                touch(connection, session.member, session.created_at)
            })
            .await
    }

    async fn lookup_session(
        &self,
        token: TokenHash,
        now: Timestamp,
    ) -> Result<Option<(Session, Member, Account)>, StoreError> {
        self.parts.readers.run(move |connection| sign_ins::lookup_session(connection, token, now)).await
    }

    async fn touch_member(&self, id: MemberId, now: Timestamp) -> Result<(), StoreError> {
        self.parts.writer.run(move |connection| touch(connection, id, now)).await
    }

    async fn end_session(&self, token: TokenHash) -> Result<(), StoreError> {
        self.parts.writer.run(move |connection| sign_ins::end_session(connection, token)).await
    }

    async fn create_invitation(&self, invitation: &Invitation) -> Result<(), StoreError> {
        let invitation = invitation.clone();
        self.parts
            .writer
            .run(move |connection| {
                let by = get(connection, invitation.account, invitation.by)?;
                if !by.role.may(Act::Manage) {
                    return Err(StoreError::Missing { what: "member" });
                }
                if has_email(connection, &invitation.email)? {
                    return Err(EMAIL_TAKEN);
                }
                sign_ins::create_invitation(connection, &invitation)
            })
            .await
    }

    async fn lookup_invitation(
        &self,
        token: TokenHash,
        now: Timestamp,
    ) -> Result<Option<Invitation>, StoreError> {
        self.parts.readers.run(move |connection| sign_ins::lookup_invitation(connection, token, now)).await
    }

    async fn list_invitations(
        &self,
        account: AccountId,
        now: Timestamp,
    ) -> Result<Vec<Invitation>, StoreError> {
        self.parts.readers.run(move |connection| sign_ins::list_invitations(connection, account, now)).await
    }

    async fn delete_invitation(&self, account: AccountId, email: &Email) -> Result<(), StoreError> {
        let email = email.clone();
        self.parts
            .writer
            .run(move |connection| sign_ins::delete_invitation(connection, account, &email))
            .await
    }

    async fn create_link(
        &self,
        token: TokenHash,
        member: MemberId,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.parts
            .writer
            .run(move |connection| sign_ins::create_link(connection, token, member, expires_at))
            .await
    }

    async fn use_link(&self, token: TokenHash, now: Timestamp) -> Result<Option<Member>, StoreError> {
        self.parts
            .writer
            .run(move |connection| match sign_ins::take_link(connection, token, now)? {
                Some(member) => lookup(connection, member),
                None => Ok(None),
            })
            .await
    }

    async fn expire_sign_ins(&self, now: Timestamp, count: u32) -> Result<u32, StoreError> {
        self.parts.writer.run(move |connection| sign_ins::expire(connection, now, count)).await
    }

    async fn put_plan_request(
        &self,
        account: AccountId,
        request: Option<&PlanRequest>,
    ) -> Result<(), StoreError> {
        let request = request.cloned();
        self.parts
            .writer
            .run(move |connection| plan_requests::put(connection, account, request.as_ref()))
            .await
    }

    async fn lookup_plan_request(&self, account: AccountId) -> Result<Option<PlanRequest>, StoreError> {
        self.parts.readers.run(move |connection| plan_requests::lookup(connection, account)).await
    }

    async fn list_plan_requests(&self, count: u32) -> Result<Vec<PlanRequest>, StoreError> {
        self.parts.readers.run(move |connection| plan_requests::list(connection, count)).await
    }
}

const EMAIL_TAKEN: StoreError = StoreError::Conflict { what: "e-mail address" };

fn create(
    connection: &Connection,
    member: &Member,
    password: Option<&str>,
    invitation: Option<TokenHash>,
    seats: Option<u32>,
) -> Result<(), StoreError> {
    if is_there(connection, member)? {
        return Ok(());
    }
    accounts::get(connection, member.account)?;
    if let Some(token) = invitation {
        let used = sign_ins::take_invitation(connection, token, member.created_at)?;
        let same = |one: &Invitation| {
            one.account == member.account && one.email == member.email && one.role == member.role
        };
        used.filter(same).ok_or(StoreError::Missing { what: "invitation" })?;
    }
    let members = count(connection, member.account, None)?;
    if seats.is_some_and(|seats| members >= seats) {
        return Err(ChangeError::NoSeat.into());
    }
    insert(connection, member, password)?;
    // Whoever signs up or joins needs no invitation to this account any more.
    sign_ins::delete_invitation(connection, member.account, &member.email)
}

/// Whether this very member was written before: a call made again.
pub(super) fn is_there(connection: &Connection, member: &Member) -> Result<bool, StoreError> {
    let other = lookup(connection, member.id)?;
    Ok(other.is_some_and(|other| other.account == member.account && other.email == member.email))
}

/// Writes a member whose account is there.
pub(super) fn insert(
    connection: &Connection,
    member: &Member,
    password: Option<&str>,
) -> Result<(), StoreError> {
    if has_email(connection, &member.email)? {
        return Err(EMAIL_TAKEN);
    }
    if lookup(connection, member.id)?.is_some() {
        return Err(StoreError::Conflict { what: "member" });
    }
    connection
        .prepare_cached(
            "INSERT INTO members (id, account, email, role, password, created_at, seen_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            member.id.to_i64(),
            member.account.to_i64(),
            member.email.as_str(),
            member.role.word(),
            password,
            member.created_at.millis(),
            member.seen_at.map(Timestamp::millis),
        ])?;
    Ok(())
}

fn set_role(connection: &Connection, account: AccountId, id: MemberId, role: Role) -> Result<(), StoreError> {
    let member = get(connection, account, id)?;
    if role != Role::Owner {
        leave_an_owner(connection, &member)?;
    }
    connection
        .prepare_cached("UPDATE members SET role = ?2 WHERE id = ?1")?
        .execute((id.to_i64(), role.word()))?;
    if !role.may(Act::Manage) {
        sign_ins::withdraw_invitations_of(connection, id)?;
    }
    Ok(())
}

fn remove(connection: &Connection, account: AccountId, id: MemberId) -> Result<(), StoreError> {
    let member = get(connection, account, id)?;
    leave_an_owner(connection, &member)?;
    sign_ins::end_all(connection, id, None)?;
    sign_ins::withdraw_invitations_of(connection, id)?;
    connection.prepare_cached("DELETE FROM members WHERE id = ?1")?.execute([id.to_i64()])?;
    Ok(())
}

/// Refuses what would leave the account without an owner, were this member one no longer.
fn leave_an_owner(connection: &Connection, member: &Member) -> Result<(), StoreError> {
    if member.role == Role::Owner && count(connection, member.account, Some(Role::Owner))? <= 1 {
        return Err(ChangeError::LastOwner.into());
    }
    Ok(())
}

fn lookup(connection: &Connection, id: MemberId) -> Result<Option<Member>, StoreError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        member_columns!(),
        " FROM members m WHERE m.id = ?1"
    ))?;
    first(&mut statement, [id.to_i64()], |row| rows::member(row, 0))
}

/// The member, which must be there.
fn get(connection: &Connection, account: AccountId, id: MemberId) -> Result<Member, StoreError> {
    let found = lookup(connection, id)?.filter(|member| member.account == account);
    found.ok_or(StoreError::Missing { what: "member" })
}

fn has_email(connection: &Connection, email: &Email) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM members WHERE email = ?1")?.exists([email.as_str()])?)
}

/// Members of the account, of that role if one is given.
fn count(connection: &Connection, account: AccountId, role: Option<Role>) -> Result<u32, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT count(*) FROM members WHERE account = ?1 AND role = coalesce(?2, role)")?;
    Ok(statement.query_row((account.to_i64(), role.map(Role::word)), |row| row.get(0))?)
}

fn touch(connection: &Connection, id: MemberId, now: Timestamp) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE members SET seen_at = ?2 WHERE id = ?1 AND coalesce(seen_at, ?2 - 1) < ?2")?
        .execute((id.to_i64(), now.millis()))?;
    Ok(())
}
