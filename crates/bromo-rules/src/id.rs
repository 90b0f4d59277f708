//! Identifiers: newtypes with a prefix, parsing and display. Randomness is the caller's.

use std::fmt;
use std::str::FromStr;

use crate::time::Timestamp;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}0123456789abcdef")]
pub struct IdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u64);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// An id from random bits; the top bit is cleared so that it fits a signed 64-bit column.
            pub const fn from_random(bits: u64) -> Self {
                Self(bits & (u64::MAX >> 1))
            }

            /// The number a store keeps, never negative.
            #[expect(clippy::cast_possible_wrap, reason = "the top bit is always clear")]
            pub const fn to_i64(self) -> i64 {
                self.0 as i64
            }

            /// The id a store kept; a negative number loses its sign bit.
            #[expect(clippy::cast_sign_loss, reason = "the top bit is cleared")]
            pub const fn from_i64(number: i64) -> Self {
                Self::from_random(number as u64)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{:016x}", Self::PREFIX, self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = IdError { prefix: Self::PREFIX };
                let hex = text.strip_prefix(Self::PREFIX).ok_or(error.clone())?;
                let digits = hex.len() == 16 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                let number = u64::from_str_radix(hex, 16).ok().filter(|n| digits && n >> 63 == 0);
                number.map(Self).ok_or(error)
            }
        }
    };
}

prefixed_id!(
    /// Who pays. The wire says organization.
    AccountId,
    "acc_"
);
prefixed_id!(
    /// One credential of an account.
    KeyId,
    "key_"
);
prefixed_id!(
    /// Somebody who signs in to an account's dashboard.
    MemberId,
    "mem_"
);
prefixed_id!(
    /// One process that serves: another at each start, so it says which node and which of its lives.
    NodeId,
    "node_"
);

/// Names one request; also the key of its charge, so that a charge can be repeated without doubling.
/// A UUID of version 7: its order is the order of arrival, which keeps indexes append-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(uuid::Uuid);

impl RequestId {
    /// An id for a request that arrived at `now`.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// The sixteen bytes a store keeps.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id a store kept.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes))
    }

    /// The hyphenated lower-case text, without allocation.
    pub fn encode<'a>(&self, buffer: &'a mut [u8; 36]) -> &'a str {
        self.0.hyphenated().encode_lower(buffer)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for RequestId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        uuid::Uuid::try_parse(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_prints() {
        for bits in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let id = AccountId::from_random(bits);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(AccountId::from_i64(id.to_i64()), id);
        }
    }

    #[test]
    fn another_kind_of_id_or_a_sloppy_one_is_refused() {
        for text in ["key_0000000000000000", "acc_", "acc_00", "acc_FFFFFFFFFFFFFFFF", "acc_ffffffffffffffff"]
        {
            assert!(text.parse::<AccountId>().is_err(), "{text}");
        }
    }
}
