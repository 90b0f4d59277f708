//! The headers that prove where a delivery comes from, in two schemes: cloro's (contract section 7.2) and that of
//! Standard Webhooks.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::secret::WebhookSecret;
use crate::task::TaskId;
use crate::time::Timestamp;

/// Unix seconds at signing.
pub const CLORO_TIMESTAMP: &str = "x-cloro-timestamp";
/// `v1=` and 64 lower-case hex digits.
pub const CLORO_SIGNATURE: &str = "x-cloro-signature";
/// Task id and attempt: another one with every attempt.
pub const CLORO_ID: &str = "x-cloro-webhook-id";
/// `msg_` and the task id: the same with every attempt.
pub const STANDARD_ID: &str = "webhook-id";
/// Unix seconds at signing.
pub const STANDARD_TIMESTAMP: &str = "webhook-timestamp";
/// `v1,` and base64, once for each secret in force, separated by a space.
pub const STANDARD_SIGNATURE: &str = "webhook-signature";

/// How long a replaced secret goes on signing.
///
/// Source: docs/webhooks.md#secrets
pub const ROTATION_OVERLAP: Duration = Duration::from_hours(24);

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

/// Name and value of every header that an attempt is signed with, names in lower case.
pub type SignedHeaders = [(&'static str, String); 6];

/// What an account signs with. An account without secrets sends none of the headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The one in force.
    pub current: WebhookSecret,
    /// The one before, and the instant from which it signs no more.
    pub previous: Option<(WebhookSecret, Timestamp)>,
}

impl From<WebhookSecret> for Secrets {
    fn from(current: WebhookSecret) -> Self {
        Self { current, previous: None }
    }
}

impl Secrets {
    /// Puts a new secret in force; the present one signs for [`ROTATION_OVERLAP`] more, and one before that no more.
    ///
    /// Source: docs/webhooks.md#secrets
    #[must_use]
    pub fn rotated(self, new: WebhookSecret, now: Timestamp) -> Self {
        Self { current: new, previous: Some((self.current, now.plus(ROTATION_OVERLAP))) }
    }

    /// Signs one attempt. `attempt` counts from 1, over all rounds of the delivery; each attempt is signed anew,
    /// since receivers refuse a timestamp that is more than five minutes old.
    ///
    /// While two secrets are in force, Standard Webhooks' header carries a signature of each, the new one's first.
    /// cloro's header has room for one, and verifiers compare the whole of it: the new secret makes it on attempts
    /// 1, 3, 5, … and the old one on 2, 4, 6, …, so that a receiver that knows only one of them accepts the first
    /// or the second attempt.
    ///
    /// Source: docs/webhooks.md#signatures
    pub fn sign(&self, task: TaskId, attempt: u32, now: Timestamp, body: &[u8]) -> SignedHeaders {
        let previous = self.previous.as_ref().filter(|(_, until)| now < *until).map(|(secret, _)| secret);
        let mut buffer = [0; 36];
        let task = task.encode(&mut buffer);
        // Before 1970 there were no webhooks; verifiers want plain digits.
        let timestamp = now.seconds().max(0).to_string();
        let id = format!("msg_{task}");

        let cloro = if attempt.is_multiple_of(2) { previous } else { None }.unwrap_or(&self.current);
        let mut standard = standard_signature(&self.current, &id, &timestamp, body);
        if let Some(previous) = previous {
            standard.push(' ');
            standard.push_str(&standard_signature(previous, &id, &timestamp, body));
        }
        [
            (CLORO_SIGNATURE, cloro_signature(cloro, &timestamp, body)),
            (CLORO_ID, format!("{task}-{attempt}")),
            (STANDARD_SIGNATURE, standard),
            (STANDARD_ID, id),
            (STANDARD_TIMESTAMP, timestamp.clone()),
            (CLORO_TIMESTAMP, timestamp),
        ]
    }
}

impl WebhookSecret {
    /// Whether a `x-cloro-signature` was made with this secret for this `x-cloro-timestamp` and body. How old the
    /// timestamp may be is the receiver's to say.
    ///
    /// Source: docs/webhooks.md#signatures
    pub fn verifies_cloro(&self, timestamp: &str, signature: &str, body: &[u8]) -> bool {
        cloro_signature(self, timestamp, body).as_bytes().ct_eq(signature.as_bytes()).into()
    }

    /// Whether one of the signatures in a `webhook-signature` was made with this secret for this `webhook-id`,
    /// `webhook-timestamp` and body. How old the timestamp may be is the receiver's to say.
    ///
    /// Source: docs/webhooks.md#signatures
    pub fn verifies_standard(&self, id: &str, timestamp: &str, signatures: &str, body: &[u8]) -> bool {
        let right = standard_signature(self, id, timestamp, body);
        signatures.split(' ').any(|signature| right.as_bytes().ct_eq(signature.as_bytes()).into())
    }
}

fn cloro_signature(secret: &WebhookSecret, timestamp: &str, body: &[u8]) -> String {
    let mac = secret.cloro_mac(&[timestamp.as_bytes(), b".", body]);
    let mut signature = String::with_capacity(3 + 64);
    signature.push_str("v1=");
    for byte in mac {
        signature.push(HEX[usize::from(byte >> 4)]);
        signature.push(HEX[usize::from(byte & 15)]);
    }
    signature
}

fn standard_signature(secret: &WebhookSecret, id: &str, timestamp: &str, body: &[u8]) -> String {
    let mac = secret.standard_mac(&[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
    let mut signature = String::with_capacity(3 + 44);
    signature.push_str("v1,");
    STANDARD.encode_string(mac, &mut signature);
    signature
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_760_000_000_999);
    const TASK: &str = "0e9d3c52-6a41-4a55-9d0e-5b1a2f3c4d5e";
    const BODY: &str = r#"{"task":{"id":"0e9d3c52-6a41-4a55-9d0e-5b1a2f3c4d5e","status":"COMPLETED"},"response":{"text":"hé"}}"#;

    fn task() -> TaskId {
        TASK.parse().unwrap()
    }

    fn secret(byte: u8) -> WebhookSecret {
        WebhookSecret::new([byte; 24])
    }

    #[track_caller]
    fn value<'a>(headers: &'a SignedHeaders, name: &str) -> &'a str {
        &headers.iter().find(|(found, _)| *found == name).unwrap().1
    }

    #[test]
    fn the_contracts_vector_is_reproduced_to_the_byte() {
        let secrets = Secrets::from(WebhookSecret::from_text("whsec_5f1e0c2ad94b47c8b7d3").unwrap());
        assert_eq!(BODY.len(), 101);
        let headers = secrets.sign(task(), 1, NOW, BODY.as_bytes());
        assert_eq!(value(&headers, "x-cloro-timestamp"), "1760000000");
        assert_eq!(
            value(&headers, "x-cloro-signature"),
            "v1=e433094d9e392f29160676dc7d3c699187c14510651e324f1b8ab123f5a3f1ba"
        );
        let headers = secrets.sign(task(), 1, NOW, b"");
        assert_eq!(
            value(&headers, "x-cloro-signature"),
            "v1=d679e93bd4be234a69c5dbb6dbd0608c9d3264cbd56939dc2841506dc0e4f957"
        );
    }

    #[test]
    fn the_vector_of_standard_webhooks_is_reproduced_to_the_byte() {
        let secret = WebhookSecret::from_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, timestamp, body) =
            ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(standard_signature(&secret, id, timestamp, body), signature);
        assert!(secret.verifies_standard(id, timestamp, &format!("v1a,x v1,AAAA {signature}"), body));
    }

    #[test]
    fn ids_tell_attempts_apart_in_one_scheme_and_join_them_in_the_other() {
        for attempt in [1, 2, 15] {
            let headers = Secrets::from(secret(1)).sign(task(), attempt, NOW, b"{}");
            assert_eq!(value(&headers, "x-cloro-webhook-id"), format!("{TASK}-{attempt}"));
            assert_eq!(value(&headers, "webhook-id"), format!("msg_{TASK}"));
            assert_eq!(value(&headers, "webhook-timestamp"), "1760000000");
        }
    }

    #[test]
    fn a_replaced_secret_signs_for_a_day_and_no_longer() {
        let (old, new) = (secret(1), secret(2));
        let secrets = Secrets::from(secret(0)).rotated(old.clone(), NOW).rotated(new.clone(), NOW);
        let verifies = |secret: &WebhookSecret, attempt, now| {
            let headers = secrets.sign(task(), attempt, now, b"{}");
            let value = |name| value(&headers, name);
            (
                secret.verifies_cloro(value(CLORO_TIMESTAMP), value(CLORO_SIGNATURE), b"{}"),
                secret.verifies_standard(
                    value(STANDARD_ID),
                    value(STANDARD_TIMESTAMP),
                    value(STANDARD_SIGNATURE),
                    b"{}",
                ),
            )
        };
        let last = NOW.plus(ROTATION_OVERLAP - Duration::from_millis(1));
        for now in [NOW, last] {
            assert_eq!(verifies(&new, 1, now), (true, true));
            assert_eq!(verifies(&old, 1, now), (false, true));
            assert_eq!(verifies(&new, 2, now), (false, true));
            assert_eq!(verifies(&old, 2, now), (true, true));
            assert_eq!(verifies(&secret(0), 1, now), (false, false), "the one before the last");
        }
        for attempt in [1, 2] {
            let after = NOW.plus(ROTATION_OVERLAP);
            assert_eq!(verifies(&new, attempt, after), (true, true));
            assert_eq!(verifies(&old, attempt, after), (false, false));
        }
        let headers = secrets.sign(task(), 1, NOW, b"{}");
        let of_new = Secrets::from(new).sign(task(), 1, NOW, b"{}");
        assert!(
            value(&headers, STANDARD_SIGNATURE)
                .starts_with(&format!("{} v1,", value(&of_new, STANDARD_SIGNATURE)))
        );
    }

    #[test]
    fn only_the_exact_text_of_a_signature_verifies() {
        let secret = secret(1);
        let good = cloro_signature(&secret, "5", b"x");
        assert!(secret.verifies_cloro("5", &good, b"x"));
        for bad in [&good.to_uppercase(), &good[..66], &good[3..], &format!("{good} "), ""] {
            assert!(!secret.verifies_cloro("5", bad, b"x"), "{bad}");
        }
        assert!(!secret.verifies_cloro("05", &good, b"x"));
        assert!(!secret.verifies_cloro("5", &good, b"y"));
    }

    #[test]
    fn a_clock_before_1970_signs_with_plain_digits() {
        let headers = Secrets::from(secret(1)).sign(task(), 1, Timestamp::from_millis(-1), b"");
        assert_eq!(value(&headers, CLORO_TIMESTAMP), "0");
    }

    proptest! {
        #[test]
        fn what_is_signed_verifies_and_nothing_else_does(
            random in any::<[u8; 24]>(),
            seconds in 0_i64..i64::from(u32::MAX),
            attempt in 1_u32..100,
            body in proptest::collection::vec(any::<u8>(), 0..300),
            flip in any::<proptest::sample::Index>(),
        ) {
            let secret = WebhookSecret::new(random);
            let now = Timestamp::from_millis(seconds * 1000);
            let headers = Secrets::from(secret.clone()).sign(task(), attempt, now, &body);
            let value = |name| value(&headers, name);
            let verify = |body: &[u8]| (
                secret.verifies_cloro(value(CLORO_TIMESTAMP), value(CLORO_SIGNATURE), body),
                secret.verifies_standard(
                    value(STANDARD_ID), value(STANDARD_TIMESTAMP), value(STANDARD_SIGNATURE), body,
                ),
            );
            prop_assert_eq!(verify(&body), (true, true));
            let mut other = body.clone();
            if other.is_empty() {
                other.push(0);
            } else {
                let at = flip.index(other.len());
                other[at] ^= 1;
            }
            prop_assert_eq!(verify(&other), (false, false));
        }
    }
}
