//! The secret that an account's deliveries are signed with.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// A text that is not a secret: not `whsec_` and standard base64 of at least one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a webhook secret")]
pub struct SecretFormatError;

/// A signing secret: `whsec_` and standard base64. It never prints.
///
/// One text, two keys: cloro's scheme takes the whole text as it stands, Standard Webhooks the bytes that its
/// second part encodes.
///
/// Source: docs/webhooks.md#secrets
#[derive(Clone)]
pub struct WebhookSecret {
    text: Box<str>,
    cloro: Hmac<Sha256>,
    standard: Hmac<Sha256>,
}

impl WebhookSecret {
    /// What every secret begins with.
    pub const PREFIX: &'static str = "whsec_";
    /// Random bytes of a new one.
    pub const RANDOM_BYTES: usize = 24;

    /// A new secret from random bytes.
    pub fn new(random: [u8; Self::RANDOM_BYTES]) -> Self {
        Self::from_parts(format!("{}{}", Self::PREFIX, STANDARD.encode(random)).into(), &random)
    }

    /// The secret that was stored, or that comes from another installation.
    ///
    /// # Errors
    /// [`SecretFormatError`]; the text is not repeated.
    pub fn from_text(text: &str) -> Result<Self, SecretFormatError> {
        let encoded = text.strip_prefix(Self::PREFIX).ok_or(SecretFormatError)?;
        let key = STANDARD.decode(encoded).map_err(|_| SecretFormatError)?;
        if key.is_empty() {
            return Err(SecretFormatError);
        }
        Ok(Self::from_parts(text.into(), &key))
    }

    fn from_parts(text: Box<str>, key: &[u8]) -> Self {
        let keyed = |key| Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
        Self { cloro: keyed(text.as_bytes()), standard: keyed(key), text }
    }

    /// The whole secret, for the one answer that shows it and for sealing.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// HMAC-SHA256 over the parts, one after the other, keyed with the whole text.
    pub(super) fn cloro_mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        mac(&self.cloro, parts)
    }

    /// HMAC-SHA256 over the parts, one after the other, keyed with the decoded bytes.
    pub(super) fn standard_mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        mac(&self.standard, parts)
    }
}

fn mac(keyed: &Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Takes equally long for every pair of one length.
impl PartialEq for WebhookSecret {
    fn eq(&self, other: &Self) -> bool {
        self.text.as_bytes().ct_eq(other.text.as_bytes()).into()
    }
}

impl Eq for WebhookSecret {}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_what_it_reveals() {
        let secret = WebhookSecret::new([0xfb; 24]);
        assert_eq!(secret.reveal(), "whsec_+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7");
        let read = WebhookSecret::from_text(secret.reveal()).unwrap();
        assert_eq!(read, secret);
        assert_eq!(read.standard_mac(&[b"x"]), secret.standard_mac(&[b"x"]));
        assert_ne!(secret, WebhookSecret::new([0xfa; 24]));
    }

    #[test]
    fn a_text_of_another_form_is_no_secret() {
        for text in
            ["", "whsec_", "AAAA", "WHSEC_AAAA", "whsec_AAA", "whsec_-_-_", "whsec_AAAA ", "sk_live_AAAA"]
        {
            assert_eq!(WebhookSecret::from_text(text), Err(SecretFormatError), "{text}");
        }
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let secret = WebhookSecret::from_text("whsec_AAAA").unwrap();
        assert_eq!(format!("{secret:?}"), "WebhookSecret(hidden)");
    }
}
