//! Members in PostgreSQL; what signs them in is in [`sign_ins`].
//!
//! Whatever depends on an account's other members locks its row first, so that nobody else changes them meanwhile.

use async_trait::async_trait;
use bromo_rules::account::{Account, ChangeError};
use bromo_rules::id::{AccountId, MemberId};
use bromo_rules::member::{Act, Email, Member, Role};
use bromo_rules::time::Timestamp;
use bromo_rules::token::TokenHash;

use super::rows::member_columns;
use super::tx::Tx;
use super::{PostgresStore, accounts, plan_requests, rows, sign_ins};
use crate::error::StoreError;
use crate::members::{Invitation, Members, PlanRequest, Session};

const BY_ID: &str = concat!("SELECT ", member_columns!(), " FROM members m WHERE m.id = $1");
const TOUCH: &str = "UPDATE members SET seen_at = $2 WHERE id = $1 AND (seen_at IS NULL OR seen_at < $2)";

#[async_trait]
impl Members for PostgresStore {
    async fn create_member(
        &self,
        member: &Member,
        password: Option<&str>,
        invitation: Option<TokenHash>,
        seats: Option<u32>,
    ) -> Result<(), StoreError> {
        let (member, password) = (member.clone(), password.map(str::to_owned));
        let work = async move |tx: &Tx<'_>| create(tx, &member, password.as_deref(), invitation, seats).await;
        self.parts.others.run(work).await
    }

    async fn lookup_member(&self, id: MemberId) -> Result<Option<Member>, StoreError> {
        let found = self.parts.shared.first(BY_ID, &[&id.to_i64()]).await?;
        found.map(|row| rows::member(&row, 0)).transpose()
    }

    async fn lookup_member_by_email(
        &self,
        email: &Email,
    ) -> Result<Option<(Member, Option<String>)>, StoreError> {
        let sql = concat!("SELECT ", member_columns!(), ", m.password FROM members m WHERE m.email = $1");
        let found = self.parts.shared.first(sql, &[&email.as_str()]).await?;
        found.map(|row| Ok((rows::member(&row, 0)?, rows::get(&row, rows::MEMBER_COLUMNS)?))).transpose()
    }

    async fn list_members(&self, account: AccountId) -> Result<Vec<Member>, StoreError> {
        let sql = concat!(
            "SELECT ",
            member_columns!(),
            " FROM members m WHERE m.account = $1 ORDER BY m.created_at, m.id"
        );
        let found = self.parts.shared.query(sql, &[&account.to_i64()]).await?;
        found.iter().map(|row| rows::member(row, 0)).collect()
    }

    async fn set_role(&self, account: AccountId, id: MemberId, role: Role) -> Result<(), StoreError> {
        self.parts.others.run(async move |tx: &Tx<'_>| set_role(tx, account, id, role).await).await
    }

    async fn remove_member(&self, account: AccountId, id: MemberId) -> Result<(), StoreError> {
        self.parts.others.run(async move |tx: &Tx<'_>| remove(tx, account, id).await).await
    }

    async fn set_password(
        &self,
        id: MemberId,
        password: &str,
        keep: Option<TokenHash>,
    ) -> Result<(), StoreError> {
        let password = password.to_owned();
        let work = async move |tx: &Tx<'_>| {
            let sql = "UPDATE members SET password = $2 WHERE id = $1";
            if tx.execute(sql, &[&id.to_i64(), &password]).await? == 0 {
                return Err(StoreError::Missing { what: "member" });
            }
            sign_ins::end_all(tx, id, keep).await
        };
        self.parts.others.run(work).await
    }

    async fn create_session(&self, session: &Session, replaces: Option<TokenHash>) -> Result<(), StoreError> {
        let session = session.clone();
        let work = async move |tx: &Tx<'_>| {
            sign_ins::create_session(tx, &session, replaces).await?;
            tx.execute(TOUCH, &[&session.member.to_i64(), &session.created_at.millis()]).await?;
            Ok(())
        };
        self.parts.others.run(work).await
    }

    async fn lookup_session(
        &self,
        token: TokenHash,
        now: Timestamp,
    ) -> Result<Option<(Session, Member, Account)>, StoreError> {
        sign_ins::lookup_session(&self.parts.shared, token, now).await
    }

    async fn touch_member(&self, id: MemberId, now: Timestamp) -> Result<(), StoreError> {
        self.parts.shared.execute(TOUCH, &[&id.to_i64(), &now.millis()]).await?;
        Ok(())
    }

    async fn end_session(&self, token: TokenHash) -> Result<(), StoreError> {
        self.parts.shared.execute(sign_ins::END_SESSION, &[&token.0.as_slice()]).await?;
        Ok(())
    }

    async fn create_invitation(&self, invitation: &Invitation) -> Result<(), StoreError> {
        let invitation = invitation.clone();
        let work = async move |tx: &Tx<'_>| {
            let missing = StoreError::Missing { what: "member" };
            accounts::lock(tx, invitation.account).await.map_err(|error| match error {
                StoreError::Missing { .. } => missing,
                error => error,
            })?;
            let by = get(tx, invitation.account, invitation.by).await?;
            if !by.role.may(Act::Manage) {
                return Err(StoreError::Missing { what: "member" });
            }
            if has_email(tx, &invitation.email).await? {
                return Err(EMAIL_TAKEN);
            }
            sign_ins::create_invitation(tx, &invitation).await
        };
        self.parts.others.run(work).await
    }

    async fn lookup_invitation(
        &self,
        token: TokenHash,
        now: Timestamp,
    ) -> Result<Option<Invitation>, StoreError> {
        let found =
            self.parts.shared.first(sign_ins::INVITATION, &[&token.0.as_slice(), &now.millis()]).await?;
        found.as_ref().map(sign_ins::invitation).transpose()
    }

    async fn list_invitations(
        &self,
        account: AccountId,
        now: Timestamp,
    ) -> Result<Vec<Invitation>, StoreError> {
        sign_ins::list_invitations(&self.parts.shared, account, now).await
    }

    async fn delete_invitation(&self, account: AccountId, email: &Email) -> Result<(), StoreError> {
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&account.to_i64(), &email.as_str()];
        self.parts.shared.execute(sign_ins::DELETE_INVITATION, &params).await?;
        Ok(())
    }

    async fn create_link(
        &self,
        token: TokenHash,
        member: MemberId,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let work = async move |tx: &Tx<'_>| sign_ins::create_link(tx, token, member, expires_at).await;
        self.parts.others.run(work).await
    }

    async fn use_link(&self, token: TokenHash, now: Timestamp) -> Result<Option<Member>, StoreError> {
        let work = async move |tx: &Tx<'_>| match sign_ins::take_link(tx, token, now).await? {
            Some(member) => lookup(tx, member).await,
            None => Ok(None),
        };
        self.parts.others.run(work).await
    }

    async fn expire_sign_ins(&self, now: Timestamp, count: u32) -> Result<u32, StoreError> {
        sign_ins::expire(&self.parts.shared, now, count).await
    }

    async fn put_plan_request(
        &self,
        account: AccountId,
        request: Option<&PlanRequest>,
    ) -> Result<(), StoreError> {
        let request = request.cloned();
        let work = async move |tx: &Tx<'_>| plan_requests::put(tx, account, request.as_ref()).await;
        self.parts.others.run(work).await
    }

    async fn lookup_plan_request(&self, account: AccountId) -> Result<Option<PlanRequest>, StoreError> {
        plan_requests::lookup(&self.parts.shared, account).await
    }

    async fn list_plan_requests(&self, count: u32) -> Result<Vec<PlanRequest>, StoreError> {
        plan_requests::list(&self.parts.shared, count).await
    }
}

const EMAIL_TAKEN: StoreError = StoreError::Conflict { what: "e-mail address" };

async fn create(
    tx: &Tx<'_>,
    member: &Member,
    password: Option<&str>,
    invitation: Option<TokenHash>,
    seats: Option<u32>,
) -> Result<(), StoreError> {
    if is_there(tx, member).await? {
        return Ok(());
    }
    accounts::lock(tx, member.account).await?;
    if let Some(token) = invitation {
        let used = sign_ins::take_invitation(tx, token, member.created_at).await?;
        let same = |one: &Invitation| {
            one.account == member.account && one.email == member.email && one.role == member.role
        };
        used.filter(same).ok_or(StoreError::Missing { what: "invitation" })?;
    }
    let members = count(tx, member.account, None).await?;
    if seats.is_some_and(|seats| members >= i64::from(seats)) {
        return Err(ChangeError::NoSeat.into());
    }
    insert(tx, member, password).await?;
    // Whoever signs up or joins needs no invitation to this account any more.
    tx.execute(sign_ins::DELETE_INVITATION, &[&member.account.to_i64(), &member.email.as_str()]).await?;
    Ok(())
}

/// Whether this very member was written before: a call made again.
pub(super) async fn is_there(tx: &Tx<'_>, member: &Member) -> Result<bool, StoreError> {
    let other = lookup(tx, member.id).await?;
    Ok(other.is_some_and(|other| other.account == member.account && other.email == member.email))
}

/// Writes a member whose account is there.
pub(super) async fn insert(tx: &Tx<'_>, member: &Member, password: Option<&str>) -> Result<(), StoreError> {
    if has_email(tx, &member.email).await? {
        return Err(EMAIL_TAKEN);
    }
    if lookup(tx, member.id).await?.is_some() {
        return Err(StoreError::Conflict { what: "member" });
    }
    tx.execute(
        "INSERT INTO members (id, account, email, role, password, created_at, seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[
            &member.id.to_i64(),
            &member.account.to_i64(),
            &member.email.as_str(),
            &member.role.word(),
            &password,
            &member.created_at.millis(),
            &member.seen_at.map(Timestamp::millis),
        ],
    )
    .await?;
    Ok(())
}

async fn set_role(tx: &Tx<'_>, account: AccountId, id: MemberId, role: Role) -> Result<(), StoreError> {
    let member = get_locked(tx, account, id).await?;
    if role != Role::Owner {
        leave_an_owner(tx, &member).await?;
    }
    tx.execute("UPDATE members SET role = $2 WHERE id = $1", &[&id.to_i64(), &role.word()]).await?;
    if !role.may(Act::Manage) {
        sign_ins::withdraw_invitations_of(tx, id).await?;
    }
    Ok(())
}

async fn remove(tx: &Tx<'_>, account: AccountId, id: MemberId) -> Result<(), StoreError> {
    let member = get_locked(tx, account, id).await?;
    leave_an_owner(tx, &member).await?;
    // No session or link is made meanwhile: they name the member.
    tx.first("SELECT FROM members WHERE id = $1 FOR UPDATE", &[&id.to_i64()]).await?;
    sign_ins::end_all(tx, id, None).await?;
    sign_ins::withdraw_invitations_of(tx, id).await?;
    tx.execute("DELETE FROM members WHERE id = $1", &[&id.to_i64()]).await?;
    Ok(())
}

/// Refuses what would leave the account without an owner, were this member one no longer.
async fn leave_an_owner(tx: &Tx<'_>, member: &Member) -> Result<(), StoreError> {
    if member.role == Role::Owner && count(tx, member.account, Some(Role::Owner)).await? <= 1 {
        return Err(ChangeError::LastOwner.into());
    }
    Ok(())
}

async fn lookup(tx: &Tx<'_>, id: MemberId) -> Result<Option<Member>, StoreError> {
    tx.first(BY_ID, &[&id.to_i64()]).await?.map(|row| rows::member(&row, 0)).transpose()
}

/// The member, which must be there.
async fn get(tx: &Tx<'_>, account: AccountId, id: MemberId) -> Result<Member, StoreError> {
    let found = lookup(tx, id).await?.filter(|member| member.account == account);
    found.ok_or(StoreError::Missing { what: "member" })
}

/// The same; nobody else changes the account's members until the end of the transaction.
async fn get_locked(tx: &Tx<'_>, account: AccountId, id: MemberId) -> Result<Member, StoreError> {
    get(tx, account, id).await?;
    accounts::lock(tx, account).await?;
    get(tx, account, id).await
}

async fn has_email(tx: &Tx<'_>, email: &Email) -> Result<bool, StoreError> {
    Ok(tx.first("SELECT FROM members WHERE email = $1", &[&email.as_str()]).await?.is_some())
}

/// Members of the account, of that role if one is given.
async fn count(tx: &Tx<'_>, account: AccountId, role: Option<Role>) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM members WHERE account = $1 AND role = coalesce($2, role)";
    let counted = tx.first(sql, &[&account.to_i64(), &role.map(Role::word)]).await?;
    counted.map_or(Ok(0), |row| rows::get(&row, 0))
}
