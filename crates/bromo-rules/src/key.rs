//! API keys: their form, and what is kept of them.

use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Answered by the configured providers, or by the sandbox at price 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// `sk_live_`: real answers, real credits.
    Live,
    /// `sk_test_`: sandbox answers, price 0; rate and slots apply.
    Test,
}

impl KeyKind {
    /// What a key of this kind begins with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Live => "sk_live_",
            Self::Test => "sk_test_",
        }
    }

    /// The word used in JSON and in stores.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

/// A whole API key. It prints as its kind and last four characters only.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

/// A text that is not a key: not `sk_live_` or `sk_test_` and 32 characters `[0-9a-f]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an API key")]
pub struct KeyFormatError;

impl ApiKey {
    /// Characters of a key, prefix included.
    pub const LENGTH: usize = 8 + 32;

    /// A new key from random bytes.
    pub fn new(kind: KeyKind, random: [u8; 16]) -> Self {
        Self(format!("{}{:032x}", kind.prefix(), u128::from_be_bytes(random)))
    }

    /// The whole key, for the one answer that shows it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What a store keeps of this key.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }

    /// The last four characters, kept to recognise the key by.
    pub fn last4(&self) -> &str {
        &self.0[Self::LENGTH - 4..]
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}…{})", &self.0[..8], self.last4())
    }
}

/// SHA-256 of a key. Keys carry 128 random bits, so a plain hash cannot be reversed by guessing.
///
/// Look-ups go by this hash: what time they take tells of the hash, never of the key.
#[derive(Clone, Copy, Eq)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The hash of a presented key, if it has the form of one.
    ///
    /// # Errors
    /// [`KeyFormatError`], contract section 3 `INVALID_API_KEY_FORMAT`.
    pub fn of_presented(text: &[u8]) -> Result<(KeyKind, Self), KeyFormatError> {
        let kind = match text.get(..8) {
            Some(b"sk_live_") => KeyKind::Live,
            Some(b"sk_test_") => KeyKind::Test,
            _ => return Err(KeyFormatError),
        };
        let hex = &text[8..];
        if hex.len() != 32 || !hex.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(KeyFormatError);
        }
        Ok((kind, Self(Sha256::digest(text).into())))
    }

    fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

/// Takes equally long for every pair.
impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_recognised_by_its_hash() {
        let key = ApiKey::new(KeyKind::Test, [7; 16]);
        assert_eq!(key.reveal().len(), ApiKey::LENGTH);
        let (kind, hash) = KeyHash::of_presented(key.reveal().as_bytes()).unwrap();
        assert!(kind == KeyKind::Test && hash == key.hash());
    }

    #[test]
    fn anything_but_the_exact_form_is_refused() {
        let good = "sk_live_0123456789abcdef0123456789abcdef";
        assert!(KeyHash::of_presented(good.as_bytes()).is_ok());
        for bad in
            [&good[..39], "sk_live_", "", "sk_prod_0123456789abcdef0123456789abcdef", &good.to_uppercase()]
        {
            assert_eq!(KeyHash::of_presented(bad.as_bytes()), Err(KeyFormatError), "{bad}");
        }
        assert_eq!(KeyHash::of_presented(format!("{good}0").as_bytes()), Err(KeyFormatError));
    }

    #[test]
    fn debug_output_hides_the_key() {
        let key = ApiKey::new(KeyKind::Live, [0xab; 16]);
        assert_eq!(format!("{key:?}"), "ApiKey(sk_live_…abab)");
    }
}
