//! Who signs in to an account's dashboard: members, their sessions, invitations and one-time links. Whatever could
//! open an account is kept as its SHA-256 hash; no method here ever sees it whole.

use async_trait::async_trait;
use bromo_rules::account::Account;
use bromo_rules::id::{AccountId, MemberId};
use bromo_rules::member::{Email, Member, Role};
use bromo_rules::time::Timestamp;
use bromo_rules::token::TokenHash;

use crate::error::StoreError;

/// Somebody is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// What is presented with every request.
    pub token: TokenHash,
    /// Who.
    pub member: MemberId,
    /// Since when.
    pub created_at: Timestamp,
    /// The first instant at which it is good no longer.
    pub expires_at: Timestamp,
}

/// Somebody may join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// What is presented to join.
    pub token: TokenHash,
    /// The account to join.
    pub account: AccountId,
    /// The address that signs in afterwards.
    pub email: Email,
    /// What the new member may do.
    pub role: Role,
    /// Who invites.
    pub by: MemberId,
    /// Since when.
    pub created_at: Timestamp,
    /// The first instant at which it is good no longer.
    pub expires_at: Timestamp,
}

/// A change of plan that waits for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRequest {
    /// Whose.
    pub account: AccountId,
    /// The plan that is asked for.
    pub plan: String,
    /// Who asks; may be a member no longer.
    pub by: MemberId,
    /// Since when.
    pub at: Timestamp,
}

/// Who signs in to an account's dashboard.
///
/// [`Accounts::create_account`](crate::Accounts::create_account) writes the owner of a new account.
#[async_trait]
pub trait Members: Send + Sync {
    /// Writes a member of an account that has fewer than `seats`; no number means no limit. `password` is its PHC text.
    /// An invitation is used up with it: it must be for this account, address and role, and good at the member's
    /// `created_at`. The same call made again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the account is unknown or the invitation not good; [`StoreError::Conflict`] if the
    /// address is a member's of any account; [`StoreError::Refused`] if all seats are taken.
    async fn create_member(
        &self,
        member: &Member,
        password: Option<&str>,
        invitation: Option<TokenHash>,
        seats: Option<u32>,
    ) -> Result<(), StoreError>;

    /// The member of this id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn lookup_member(&self, id: MemberId) -> Result<Option<Member>, StoreError>;

    /// The member of this address and the PHC text of the password; none where only links sign in.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn lookup_member_by_email(
        &self,
        email: &Email,
    ) -> Result<Option<(Member, Option<String>)>, StoreError>;

    /// All members of an account, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list_members(&self, account: AccountId) -> Result<Vec<Member>, StoreError>;

    /// Gives the member another role. Whoever may invite no longer has its open invitations withdrawn.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the account has no such member; [`StoreError::Refused`] if no owner would be left.
    async fn set_role(&self, account: AccountId, id: MemberId, role: Role) -> Result<(), StoreError>;

    /// Deletes the member, its sessions and links, and the invitations it made.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the account has no such member; [`StoreError::Refused`] if no owner would be left.
    async fn remove_member(&self, account: AccountId, id: MemberId) -> Result<(), StoreError>;

    /// Replaces the password, given as its PHC text, and ends the member's links and every session but `keep`.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    async fn set_password(
        &self,
        id: MemberId,
        password: &str,
        keep: Option<TokenHash>,
    ) -> Result<(), StoreError>;

    /// Writes a session and that the member was seen; `replaces` ends with it. The same call made again changes
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the member is unknown; [`StoreError::Conflict`] if the token is another session's.
    async fn create_session(&self, session: &Session, replaces: Option<TokenHash>) -> Result<(), StoreError>;

    /// A session that is good at `now`, its member, and the member's account.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn lookup_session(
        &self,
        token: TokenHash,
        now: Timestamp,
    ) -> Result<Option<(Session, Member, Account)>, StoreError>;

    /// The member was seen. It never was seen earlier than before.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn touch_member(&self, id: MemberId, now: Timestamp) -> Result<(), StoreError>;

    /// Ends a session, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn end_session(&self, token: TokenHash) -> Result<(), StoreError>;

    /// Writes an invitation in place of one to the same account and address.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the account has no member of the id in `by` who may manage it;
    /// [`StoreError::Conflict`] if the address is a member's of any account, or the token another invitation's.
    async fn create_invitation(&self, invitation: &Invitation) -> Result<(), StoreError>;

    /// An invitation that is good at `now`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn lookup_invitation(
        &self,
        token: TokenHash,
        now: Timestamp,
    ) -> Result<Option<Invitation>, StoreError>;

    /// The account's invitations that are good at `now`, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list_invitations(
        &self,
        account: AccountId,
        now: Timestamp,
    ) -> Result<Vec<Invitation>, StoreError>;

    /// Withdraws an invitation, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn delete_invitation(&self, account: AccountId, email: &Email) -> Result<(), StoreError>;

    /// Writes a link that signs a member in once.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the member is unknown; [`StoreError::Conflict`] if the token is another link's.
    async fn create_link(
        &self,
        token: TokenHash,
        member: MemberId,
        expires_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Uses a link up; whose it was, if it was good at `now`. Made again, the call finds nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn use_link(&self, token: TokenHash, now: Timestamp) -> Result<Option<Member>, StoreError>;

    /// Deletes sessions, invitations and links that are over, at most `count`; how many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn expire_sign_ins(&self, now: Timestamp, count: u32) -> Result<u32, StoreError>;

    /// Writes what an account asks for in place of what it asked for before; none takes that back.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the account is unknown.
    async fn put_plan_request(
        &self,
        account: AccountId,
        request: Option<&PlanRequest>,
    ) -> Result<(), StoreError>;

    /// What the account asks for.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn lookup_plan_request(&self, account: AccountId) -> Result<Option<PlanRequest>, StoreError>;

    /// What accounts ask for, oldest first, at most `count`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list_plan_requests(&self, count: u32) -> Result<Vec<PlanRequest>, StoreError>;
}
