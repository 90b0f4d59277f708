//! Signing in to the dashboard and out of it: sessions, and links that start one.

use std::net::IpAddr;
use std::time::Duration;

use bromo_rules::account::Account;
use bromo_rules::member::{Email, Member};
use bromo_rules::token::{Token, TokenHash};
use bromo_store::{Session, StoreError};

use crate::Engine;
use crate::guard::Wait;
use crate::password::HashError;
use crate::random::{self, RandomError};

/// How long a session lasts.
pub const SESSION_LASTS: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// How long a link is good.
pub const LINK_LASTS: Duration = Duration::from_secs(60 * 60);
/// That a member was seen is written so often at most.
const SEEN_EVERY: Duration = Duration::from_secs(60);

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Which of the two it is, nobody is told.
    #[error("no member has this address and password")]
    Wrong,
    /// The link is not good, or no longer.
    #[error("this link was used, or is too old: ask for a new one")]
    Link,
    /// The address, or the network, has failed too often lately.
    #[error("too many attempts have failed: try again in {seconds} s")]
    Wait {
        /// Whole seconds, at least one.
        seconds: u64,
    },
    /// Too many sign in at once.
    #[error("too many are signing in at this moment: try again")]
    Busy,
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No token can be made.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl From<HashError> for SignInError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Random(error) => Self::Random(error),
        }
    }
}

/// Who is signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The session.
    pub session: Session,
    /// Who.
    pub member: Member,
    /// The member's account.
    pub account: Account,
}

impl Engine {
    /// Signs a member in: the token to present with each request, and who it is. `peer` is where the attempt comes
    /// from; `replaces`, the token presented so far, is good no longer.
    ///
    /// An address that no member has takes as long and ends the same as a wrong password.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn sign_in(
        &self,
        email: &str,
        password: &str,
        peer: Option<IpAddr>,
        replaces: Option<&str>,
    ) -> Result<(Token, Member), SignInError> {
        // What is no address is nobody's, as anybody can tell: it is not worth the work of a hash.
        let email = Some(email.parse::<Email>().map_err(|_| SignInError::Wrong)?);
        self.guard
            .begin(email.as_ref(), peer, self.clock().now())
            .map_err(|Wait { seconds }| SignInError::Wait { seconds })?;
        let (found, hash) = match self.member_of(email.as_ref(), password).await {
            Ok(found) => found.ok_or(SignInError::Wrong)?,
            Err(error) => {
                self.guard.take_back(email.as_ref(), peer);
                return Err(error);
            }
        };
        self.guard.succeeded(&found.email, peer);
        Ok((self.begin_compared(&found, &hash, replaces).await?, found))
    }

    /// Starts a session of a member whose password was compared with this hash. A change of the password in between
    /// has ended no session that begins after it, so that is looked for.
    pub(crate) async fn begin_compared(
        &self,
        member: &Member,
        hash: &str,
        replaces: Option<&str>,
    ) -> Result<Token, SignInError> {
        let token = self.begin_session(member, replaces).await?;
        let found = self.parts.store.lookup_member_by_email(&member.email).await?;
        if found.and_then(|(_, hash)| hash).as_deref() == Some(hash) {
            return Ok(token);
        }
        self.sign_out(token.reveal()).await?;
        Err(SignInError::Wrong)
    }

    /// Signs in whom the link is for, and uses it up.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn sign_in_by_link(
        &self,
        link: &str,
        replaces: Option<&str>,
    ) -> Result<(Token, Member), SignInError> {
        let member = self.parts.store.use_link(TokenHash::of(link), self.clock().now()).await?;
        let member = member.ok_or(SignInError::Link)?;
        Ok((self.begin_session(&member, replaces).await?, member))
    }

    /// Starts a session of a member who needs to show nothing more: one who has just joined.
    ///
    /// # Errors
    /// [`SignInError`]; `replaces` may be good still.
    pub async fn begin_session(&self, member: &Member, replaces: Option<&str>) -> Result<Token, SignInError> {
        let (token, now) = (Token::new(random::secret()?), self.clock().now());
        let session = Session {
            token: token.hash(),
            member: member.id,
            created_at: now,
            expires_at: now.plus(SESSION_LASTS),
        };
        match self.parts.store.create_session(&session, replaces.map(TokenHash::of)).await {
            Ok(()) => Ok(token),
            // Removed a moment ago.
            Err(StoreError::Missing { .. }) => Err(SignInError::Wrong),
            Err(error) => Err(error.into()),
        }
    }

    /// Who presents this token, if it is good.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn session(&self, token: &str) -> Result<Option<SignedIn>, StoreError> {
        let now = self.clock().now();
        let found = self.parts.store.lookup_session(TokenHash::of(token), now).await?;
        let Some((session, member, account)) = found else { return Ok(None) };
        if member.seen_at.is_none_or(|seen| now.since(seen) >= SEEN_EVERY)
            && let Err(error) = self.parts.store.touch_member(member.id, now).await
        {
            // A page can be read all the same.
            tracing::warn!(%error, "cannot write that a member was seen");
        }
        Ok(Some(SignedIn { session, member, account }))
    }

    /// Ends the session of this token, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn sign_out(&self, token: &str) -> Result<(), StoreError> {
        self.parts.store.end_session(TokenHash::of(token)).await
    }

    /// Makes a link that signs the member in once, within the hour; this is its token.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn make_link(&self, member: &Member) -> Result<Token, SignInError> {
        let token = Token::new(random::secret()?);
        let expires_at = self.clock().now().plus(LINK_LASTS);
        self.parts.store.create_link(token.hash(), member.id, expires_at).await?;
        Ok(token)
    }

    /// Who has this address and password, and the hash that it was compared with.
    async fn member_of(
        &self,
        email: Option<&Email>,
        password: &str,
    ) -> Result<Option<(Member, String)>, SignInError> {
        let found = match email {
            Some(email) => self.parts.store.lookup_member_by_email(email).await?,
            None => None,
        };
        let known = found.and_then(|(member, hash)| Some((member, hash?)));
        let hash = known.as_ref().map(|(_, hash)| hash.as_str());
        let matches = self.passwords.matches(password, hash).await?;
        Ok(known.filter(|_| matches))
    }
}
