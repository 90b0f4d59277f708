//! Random texts that open something for whoever presents them: a session's cookie, an invitation, a link.

use std::fmt;
use std::hash::{Hash, Hasher};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A whole token. It never prints.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Characters of a token.
    pub const LENGTH: usize = 43;

    /// A token of random bytes.
    pub fn new(random: [u8; 32]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(random))
    }

    /// The whole text, for the one answer that hands it out. It needs no escaping in addresses and cookies.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What a store keeps of this token.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// SHA-256 of a token. Tokens carry 256 random bits, so a plain hash cannot be reversed by guessing.
///
/// Look-ups go by this hash: what time they take tells of the hash, never of the token.
#[derive(Clone, Copy, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// The hash of a presented text, whatever it is.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

/// Takes equally long for every pair.
impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presented_token_is_recognised_by_its_hash() {
        let token = Token::new([0xfb; 32]);
        assert_eq!(token.reveal().len(), Token::LENGTH);
        assert!(token.reveal().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(TokenHash::of(token.reveal()), token.hash());
        assert_ne!(TokenHash::of(&token.reveal()[1..]), token.hash());
    }

    #[test]
    fn neither_a_token_nor_its_hash_prints() {
        let token = Token::new([7; 32]);
        assert_eq!(format!("{token:?} {:?}", token.hash()), "Token(…) TokenHash(…)");
    }
}
