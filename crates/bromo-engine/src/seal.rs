//! Secrets at rest: sealed with a key that stands in a file of its own, so that a copy of the database alone gives
//! none of them away (design section 4).

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

use crate::random::{self, RandomError};

/// The key that seals. Made of 32 random bytes.
pub struct Seal {
    key: LessSafeKey,
    fingerprint: [u8; 32],
}

/// What was sealed cannot be opened: another key, or damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed secret cannot be opened: is the seal key file the one it was sealed with?")]
pub struct SealError;

impl Seal {
    /// Bytes of a key.
    pub const KEY_BYTES: usize = 32;

    /// A seal of this key.
    ///
    /// # Panics
    /// Never: the length is the cipher's.
    pub fn new(key: &[u8; Self::KEY_BYTES]) -> Self {
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"bromo seal key");
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(mac.as_ref());
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("the key is as long as the cipher asks");
        Self { key: LessSafeKey::new(key), fingerprint }
    }

    /// Equal where the keys are equal, and says nothing of them: nodes compare it.
    pub const fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// Seals a secret of `owner`; what is sealed for one owner cannot be opened for another.
    ///
    /// # Errors
    /// [`RandomError`].
    pub(crate) fn seal(&self, owner: &str, secret: &str) -> Result<Vec<u8>, RandomError> {
        let nonce: [u8; NONCE_LEN] = random::secret()?;
        let mut sealed = secret.as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(owner), &mut sealed)
            .expect("a secret is shorter than the cipher's bound");
        sealed.splice(..0, nonce);
        Ok(sealed)
    }

    /// What was sealed.
    ///
    /// # Errors
    /// [`SealError`].
    pub(crate) fn open(&self, owner: &str, sealed: &[u8]) -> Result<String, SealError> {
        let (nonce, secret) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError)?;
        let mut secret = secret.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(owner), &mut secret).map_err(|_| SealError)?;
        String::from_utf8(opened.to_vec()).map_err(|_| SealError)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_with_its_key_for_its_owner_alone() {
        let (seal, other) = (Seal::new(&[1; 32]), Seal::new(&[2; 32]));
        let sealed = seal.seal("acc_1", "whsec_abc").unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"whsec"));
        assert_eq!(seal.open("acc_1", &sealed).as_deref(), Ok("whsec_abc"));
        assert_eq!(other.open("acc_1", &sealed), Err(SealError));
        assert_eq!(seal.open("acc_2", &sealed), Err(SealError));
        let mut damaged = sealed;
        damaged[15] ^= 1;
        assert_eq!(seal.open("acc_1", &damaged), Err(SealError));
        assert_eq!(seal.open("acc_1", b"short"), Err(SealError));
    }
}
