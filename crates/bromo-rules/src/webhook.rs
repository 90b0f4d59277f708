//! Webhooks: how a delivery is signed, what a receiver's status means, when the next attempt is made.

mod schedule;
mod secret;
mod sign;

pub use schedule::{RETRY_AFTER_MAX, Receipt, Schedule};
pub use secret::{SecretFormatError, WebhookSecret};
pub use sign::{
    CLORO_ID, CLORO_SIGNATURE, CLORO_TIMESTAMP, ROTATION_OVERLAP, STANDARD_ID, STANDARD_SIGNATURE,
    STANDARD_TIMESTAMP, Secrets, SignedHeaders,
};
