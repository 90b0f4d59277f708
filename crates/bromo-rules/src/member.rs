//! Who signs in to an account's dashboard, and what each of them may do there.

use std::fmt;
use std::str::FromStr;

use crate::id::{AccountId, MemberId};
use crate::time::Timestamp;

/// Somebody who signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The member's id.
    pub id: MemberId,
    /// Whose member it is. There is one account to a member.
    pub account: AccountId,
    /// What the member signs in with; no other member of any account has it.
    pub email: Email,
    /// What the member may do.
    pub role: Role,
    /// When the member joined.
    pub created_at: Timestamp,
    /// When the member was last seen, about.
    pub seen_at: Option<Timestamp>,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything; an account that has members has at least one owner.
    Owner,
    /// Looks and works.
    Member,
    /// Only looks.
    Viewer,
}

/// What somebody wants to do, by what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Read any page.
    Look,
    /// Change keys, tasks and webhooks; ask questions in the playground.
    Work,
    /// Change members, the plan, and what is kept.
    Manage,
}

impl Role {
    /// All roles, the one that may do most first.
    pub const ALL: [Self; 3] = [Self::Owner, Self::Member, Self::Viewer];

    /// The word used in forms and stores.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
            Self::Viewer => "viewer",
        }
    }

    /// Whether a member of this role may do that.
    pub const fn may(self, act: Act) -> bool {
        match act {
            Act::Look => true,
            Act::Work => matches!(self, Self::Owner | Self::Member),
            Act::Manage => matches!(self, Self::Owner),
        }
    }
}

/// A text that is no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role is `owner`, `member` or `viewer`")]
pub struct RoleError;

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(word: &str) -> Result<Self, RoleError> {
        Self::ALL.into_iter().find(|role| role.word() == word).ok_or(RoleError)
    }
}

/// An e-mail address, trimmed and in lower case, so that one mailbox is one text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Email(String);

/// A text that is no e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an e-mail address has one @ with text on both sides, no spaces, and at most {} characters",
    Email::MAX
)]
pub struct EmailError;

impl Email {
    /// Bytes that an address may have.
    pub const MAX: usize = 254;

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Takes what a mail server could take: whether mail arrives, only sending some can tell.
impl FromStr for Email {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        let (name, host) = text.split_once('@').ok_or(EmailError)?;
        let plain = |c: char| !c.is_whitespace() && !c.is_control();
        let good = !name.is_empty() && !host.is_empty() && !host.contains('@') && text.chars().all(plain);
        let email = text.to_lowercase(); // May be longer than what it was made of.
        if good && email.len() <= Self::MAX { Ok(Self(email)) } else { Err(EmailError) }
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Characters that a password has at least.
pub const PASSWORD_MIN: usize = 10;
/// Characters that a password has at most: hashing takes longer with each.
pub const PASSWORD_MAX: usize = 128;

/// A text that cannot be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Fewer characters than [`PASSWORD_MIN`].
    #[error("a password has at least {PASSWORD_MIN} characters")]
    Short,
    /// More characters than [`PASSWORD_MAX`].
    #[error("a password has at most {PASSWORD_MAX} characters")]
    Long,
}

/// Whether a text may become a password. Its length counts and nothing else.
///
/// # Errors
/// [`PasswordError`].
pub fn check_password(password: &str) -> Result<(), PasswordError> {
    match password.chars().take(PASSWORD_MAX + 1).count() {
        count if count < PASSWORD_MIN => Err(PasswordError::Short),
        count if count > PASSWORD_MAX => Err(PasswordError::Long),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_the_next_may_and_more() {
        let may = |role: Role| [Act::Look, Act::Work, Act::Manage].map(|act| role.may(act));
        assert_eq!(Role::ALL.map(may), [[true, true, true], [true, true, false], [true, false, false]]);
    }

    #[test]
    fn a_role_reads_back_its_word() {
        for role in Role::ALL {
            assert_eq!(role.word().parse(), Ok(role));
        }
        assert_eq!("admin".parse::<Role>(), Err(RoleError));
    }

    #[test]
    fn one_mailbox_is_one_text_however_it_is_typed() {
        let typed = ["ada@example.com", " Ada@Example.COM\n", "ADA@example.com"];
        for text in typed {
            assert_eq!(
                text.parse::<Email>().map(|email| email.to_string()),
                Ok("ada@example.com".to_owned())
            );
        }
        assert!("a@b".parse::<Email>().is_ok() && "you@localhost".parse::<Email>().is_ok());
    }

    #[test]
    fn an_address_has_one_at_sign_with_text_on_both_sides_and_no_spaces() {
        let long = format!("{}@example.com", "a".repeat(243));
        let bad = ["", "@", "a@", "@b", "ada", "a@b@c", "a b@c", "a@b\u{0}c", "a@b\u{2003}c", long.as_str()];
        for text in bad {
            assert_eq!(text.parse::<Email>(), Err(EmailError), "{text:?}");
        }
        assert!(long[1..].parse::<Email>().is_ok());
        // The dotted capital I is one byte shorter than it is in lower case.
        let growing = format!("{}@b", "İ".repeat(126));
        assert!(growing.len() == 254 && growing.parse::<Email>().is_err());
    }

    #[test]
    fn a_password_is_judged_by_its_characters_alone() {
        let of = |count| check_password(&"ä".repeat(count));
        assert_eq!((of(9), of(10)), (Err(PasswordError::Short), Ok(())));
        assert_eq!((of(128), of(129)), (Ok(()), Err(PasswordError::Long)));
    }
}
