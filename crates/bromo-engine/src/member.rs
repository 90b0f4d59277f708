//! Members of accounts: signing up, inviting, joining, and what may be changed of them.

use std::time::Duration;

use bromo_admission::AdmissionError;
use bromo_rules::account::{Account, ChangeError};
use bromo_rules::id::{AccountId, MemberId};
use bromo_rules::member::{Act, Email, EmailError, Member, PasswordError, Role, check_password};
use bromo_rules::time::Timestamp;
use bromo_rules::token::{Token, TokenHash};
use bromo_store::{Invitation, PlanRequest, StoreError};

use crate::Engine;
use crate::account::{AccountError, NAME_MAX};
use crate::guard::Wait;
use crate::password::HashError;
use crate::random::{self, RandomError};

/// How long an invitation is good.
pub const INVITATION_LASTS: Duration = Duration::from_secs(72 * 60 * 60);
/// Invitations that an account may have open.
pub const INVITATIONS_MAX: usize = 100;

/// Why nothing was changed, in a sentence for whoever asked. Each names the field it is about, if it is about one.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// Of the account's name: it is none.
    #[error("a name has 1 to {NAME_MAX} characters, none of them a control character")]
    BadAccountName,
    /// Of the account's name: another has it.
    #[error("another account has this name")]
    AccountNameTaken,
    /// Of the address: it is none.
    #[error(transparent)]
    BadEmail(#[from] EmailError),
    /// Of the address: it is a member's already.
    #[error("this address belongs to a member already")]
    EmailTaken,
    /// Of the password, or the new one: it cannot be one.
    #[error(transparent)]
    BadPassword(#[from] PasswordError),
    /// Of the present password: it is another.
    #[error("this is not the present password")]
    WrongPassword,
    /// Of the present password: it was guessed at too often lately.
    #[error("too many attempts have failed: try again in {seconds} s")]
    Wait {
        /// Whole seconds, at least one.
        seconds: u64,
    },
    /// There is no plan of that name.
    #[error("no plan `{0}`")]
    NoPlan(String),
    /// Members and open invitations take all seats.
    #[error("all seats of the plan are taken")]
    NoSeat,
    /// As many invitations are open as may be.
    #[error("{INVITATIONS_MAX} invitations are open: withdraw one, or wait until one is accepted")]
    TooManyInvitations,
    /// The invitation is not good, or no longer.
    #[error("this invitation was used, withdrawn, or is too old: ask for a new one")]
    NoInvitation,
    /// The account would have nobody to manage it.
    #[error("the last owner stays an owner: make somebody else one first")]
    LastOwner,
    /// The account has no such member.
    #[error("the account has no such member")]
    NoMember,
    /// The role of whoever asks does not reach so far.
    #[error("only owners can do this")]
    NotAllowed,
    /// Too many passwords are checked at this moment.
    #[error("too many are signing in at this moment: try again")]
    Busy,
    /// The store did not do it.
    #[error(transparent)]
    Store(StoreError),
    /// The change is stored, and not yet in force.
    #[error("stored, not yet in force: {0}")]
    NotInForce(#[from] AdmissionError),
    /// The program ends; whether the change was made shows when it is up again.
    #[error("cut off by the end of the program")]
    CutOff,
    /// Nothing random can be made.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl From<StoreError> for MemberError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { what: "account name" } => Self::AccountNameTaken,
            StoreError::Conflict { what: "e-mail address" } => Self::EmailTaken,
            StoreError::Missing { what: "invitation" } => Self::NoInvitation,
            StoreError::Missing { what: "member" } => Self::NoMember,
            StoreError::Refused(ChangeError::NoSeat) => Self::NoSeat,
            StoreError::Refused(ChangeError::LastOwner) => Self::LastOwner,
            error => Self::Store(error),
        }
    }
}

impl From<AccountError> for MemberError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NoPlan(plan) => Self::NoPlan(plan),
            // No key is made on the way of members.
            AccountError::BadName | AccountError::TooManyKeys => Self::BadAccountName,
            AccountError::Store(error) => error.into(),
            AccountError::NotInForce(error) => Self::NotInForce(error),
            AccountError::CutOff => Self::CutOff,
            AccountError::Random(error) => Self::Random(error),
        }
    }
}

impl From<HashError> for MemberError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Random(error) => Self::Random(error),
        }
    }
}

impl Engine {
    /// Makes an account with an owner and no key. What its deliveries are signed with is made too and shown to nobody;
    /// [`Engine::rotate_webhook_secret`] shows the one it makes.
    ///
    /// # Errors
    /// [`MemberError`]; nothing was made.
    pub async fn sign_up(
        &self,
        account_name: &str,
        email: &str,
        password: &str,
        plan: &str,
    ) -> Result<(Account, Member), MemberError> {
        let opening = self.open_account(account_name, plan)?;
        let email = email.parse()?;
        check_password(password)?;
        let password = self.passwords.hash(password).await?;
        let account = opening.account;
        let owner = Self::new_member(account.id, email, Role::Owner, account.created_at)?;
        let (entry, sealed) = (&opening.entry, &opening.sealed);
        let with_owner = Some((&owner, Some(password.as_str())));
        self.parts.store.create_account(&account, entry, None, Some(sealed), with_owner).await?;
        self.parts.admission.open(self.parts.facts(&account)).await?;
        Ok((account, owner))
    }

    /// The account's oldest owner. Where there is no member yet, as in an account that an operator made, this address
    /// becomes the owner; only a link signs it in ([`Engine::make_link`]) until it has set a password.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn owner_or_new(&self, account: AccountId, email: &str) -> Result<Member, MemberError> {
        let members = self.parts.store.list_members(account).await?;
        if let Some(owner) = members.into_iter().find(|member| member.role == Role::Owner) {
            return Ok(owner);
        }
        let owner = Self::new_member(account, email.parse()?, Role::Owner, self.clock().now())?;
        self.parts.store.create_member(&owner, None, None, None).await?;
        Ok(owner)
    }

    /// Invites an address to the account of `by`; this is the invitation's token. An older one to the same address is
    /// good no longer. Members and open invitations together have no more than the plan's seats.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn invite(&self, by: &Member, email: &str, role: Role) -> Result<Token, MemberError> {
        allow(by)?;
        let (store, now) = (&self.parts.store, self.clock().now());
        let email = email.parse::<Email>()?;
        let open = store.list_invitations(by.account, now).await?;
        let open = open.iter().filter(|other| other.email != email).count();
        if open >= INVITATIONS_MAX {
            return Err(MemberError::TooManyInvitations);
        }
        let members = store.list_members(by.account).await?.len();
        let seats = self.seats(by.account).await?;
        if seats.is_some_and(|seats| members + open >= usize::try_from(seats).unwrap_or(usize::MAX)) {
            return Err(MemberError::NoSeat);
        }
        let token = Token::new(random::secret()?);
        let invitation = Invitation {
            token: token.hash(),
            account: by.account,
            email,
            role,
            by: by.id,
            created_at: now,
            expires_at: now.plus(INVITATION_LASTS),
        };
        store.create_invitation(&invitation).await?;
        Ok(token)
    }

    /// The invitation of this token, if it is good, and the account it leads to.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn invitation(&self, token: &str) -> Result<Option<(Invitation, Account)>, StoreError> {
        let store = &self.parts.store;
        let found = store.lookup_invitation(TokenHash::of(token), self.clock().now()).await?;
        let Some(invitation) = found else { return Ok(None) };
        let account = store.lookup_account(invitation.account).await?;
        Ok(account.map(|account| (invitation, account)))
    }

    /// Makes a member of whoever was invited, and uses the invitation up.
    ///
    /// # Errors
    /// [`MemberError`]; the invitation is as good as before.
    pub async fn accept_invitation(&self, token: &str, password: &str) -> Result<Member, MemberError> {
        let (invitation, account) = self.invitation(token).await?.ok_or(MemberError::NoInvitation)?;
        check_password(password)?;
        let password = self.passwords.hash(password).await?;
        let now = self.clock().now();
        let member = Self::new_member(account.id, invitation.email, invitation.role, now)?;
        let seats = self.seats(account.id).await?;
        self.parts.store.create_member(&member, Some(&password), Some(invitation.token), seats).await?;
        Ok(member)
    }

    /// Withdraws the invitation of an address, if there is one.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn withdraw_invitation(&self, by: &Member, email: &Email) -> Result<(), MemberError> {
        allow(by)?;
        Ok(self.parts.store.delete_invitation(by.account, email).await?)
    }

    /// Gives a member of the same account another role, from its next request on.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn set_role(&self, by: &Member, id: MemberId, role: Role) -> Result<(), MemberError> {
        allow(by)?;
        Ok(self.parts.store.set_role(by.account, id, role).await?)
    }

    /// Removes a member of the same account, and signs it out everywhere. Everybody may leave.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn remove_member(&self, by: &Member, id: MemberId) -> Result<(), MemberError> {
        if by.id != id {
            allow(by)?;
        }
        Ok(self.parts.store.remove_member(by.account, id).await?)
    }

    /// Replaces the password of a member and signs it out everywhere but in the session of the token `keep`. A member
    /// who has no password yet is asked for none.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn change_password(
        &self,
        member: &Member,
        old: &str,
        new: &str,
        keep: Option<&str>,
    ) -> Result<(), MemberError> {
        check_password(new)?;
        let store = &self.parts.store;
        let found = store.lookup_member_by_email(&member.email).await?;
        let (_, present) = found.filter(|(found, _)| found.id == member.id).ok_or(MemberError::NoMember)?;
        if let Some(present) = present {
            self.check_present(member, old, &present).await?;
        }
        let new = self.passwords.hash(new).await?;
        Ok(store.set_password(member.id, &new, keep.map(TokenHash::of)).await?)
    }

    /// Asks the operator for a plan, in place of one asked for before.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn request_plan(&self, by: &Member, plan: &str) -> Result<(), MemberError> {
        allow(by)?;
        let plan = self.plans().lookup(plan).ok_or_else(|| MemberError::NoPlan(plan.to_owned()))?;
        let at = self.clock().now();
        let request = PlanRequest { account: by.account, plan: plan.name.clone(), by: by.id, at };
        Ok(self.parts.store.put_plan_request(by.account, Some(&request)).await?)
    }

    /// Asks for no plan any more.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn withdraw_plan_request(&self, by: &Member) -> Result<(), MemberError> {
        allow(by)?;
        Ok(self.parts.store.put_plan_request(by.account, None).await?)
    }

    /// Guesses count as failed attempts to sign in: a session that was left open is no place to guess.
    async fn check_present(&self, member: &Member, old: &str, present: &str) -> Result<(), MemberError> {
        self.guard
            .begin(Some(&member.email), None, self.clock().now())
            .map_err(|Wait { seconds }| MemberError::Wait { seconds })?;
        match self.passwords.matches(old, Some(present)).await {
            Ok(true) => self.guard.succeeded(&member.email, None),
            Ok(false) => return Err(MemberError::WrongPassword),
            Err(error) => {
                self.guard.take_back(Some(&member.email), None);
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// How many members the account may have. A plan that is in the table no longer has no seat.
    async fn seats(&self, account: AccountId) -> Result<Option<u32>, StoreError> {
        let account = self.parts.store.lookup_account(account).await?;
        let account = account.ok_or(StoreError::Missing { what: "account" })?;
        Ok(self.plans().lookup(&account.plan).map_or(Some(0), |plan| plan.seats))
    }

    fn new_member(
        account: AccountId,
        email: Email,
        role: Role,
        now: Timestamp,
    ) -> Result<Member, RandomError> {
        let id = MemberId::from_random(u64::from_le_bytes(random::secret()?));
        Ok(Member { id, account, email, role, created_at: now, seen_at: None })
    }
}

fn allow(by: &Member) -> Result<(), MemberError> {
    if by.role.may(Act::Manage) { Ok(()) } else { Err(MemberError::NotAllowed) }
}
