//! What a reader of the log may ask for.

use bromo_rules::credit::Way;
use bromo_rules::id::{AccountId, KeyId, RequestId};
use bromo_rules::time::Timestamp;

/// Which lines a reader wants. Newest first. An empty list lets all pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Only this account's.
    pub account: Option<AccountId>,
    /// Only of these requests.
    pub request: Option<RequestMatch>,
    /// Only lines at or after this instant.
    pub from: Option<Timestamp>,
    /// Only lines before this instant.
    pub until: Option<Timestamp>,
    /// Only lines whose cursor is above this: what came since a reader last looked.
    pub after: Option<u64>,
    /// Only these statuses.
    pub statuses: Vec<StatusMatch>,
    /// Only these codes; the empty one is that of an answer.
    pub codes: Vec<String>,
    /// Only these routes.
    pub routes: Vec<String>,
    /// Only with these keys.
    pub keys: Vec<KeyId>,
    /// Only this way.
    pub way: Option<Way>,
    /// Only what took at least so long, in microseconds.
    pub took_min_us: Option<u64>,
    /// Only what cost credits.
    pub charged: bool,
}

/// Which statuses a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusMatch {
    /// This one.
    Exact(u16),
    /// All of a class: 2 for 200 to 299, and so on.
    Class(u8),
}

impl StatusMatch {
    /// Whether it is one of them.
    pub const fn is(self, status: u16) -> bool {
        match self {
            Self::Exact(wanted) => status == wanted,
            Self::Class(class) => status / 100 == class as u16,
        }
    }
}

/// Which requests a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestMatch {
    /// This one.
    Exact(RequestId),
    /// Those whose id begins so.
    Prefix(RequestPrefix),
}

impl RequestMatch {
    /// What a text asks for: a whole id, or how its text begins, from [`RequestPrefix::DIGITS_MIN`] digits on.
    /// Hyphens stand where an id has them, or nowhere. None of anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let prefix = RequestPrefix::parse(text)?;
        let whole = usize::from(prefix.digits) == RequestPrefix::DIGITS;
        Some(if whole { Self::Exact(RequestId::from_bytes(prefix.low)) } else { Self::Prefix(prefix) })
    }

    /// Whether it is one of them.
    pub fn is(&self, request: &RequestId) -> bool {
        let (low, high) = self.ends();
        (low..=high).contains(request)
    }

    /// The lowest id that it matches, and the highest; it matches all between.
    pub fn ends(&self) -> (RequestId, RequestId) {
        match self {
            Self::Exact(request) => (*request, *request),
            Self::Prefix(prefix) => (RequestId::from_bytes(prefix.low), RequestId::from_bytes(prefix.high())),
        }
    }
}

/// How the text of an id begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestPrefix {
    /// The digits, then zeros.
    low: [u8; 16],
    digits: u8,
}

impl RequestPrefix {
    /// Digits of a prefix at least: fewer match what somebody else looks for.
    pub const DIGITS_MIN: usize = 4;
    /// Digits of a whole id.
    const DIGITS: usize = 32;
    /// Where the text of an id has its hyphens.
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];

    fn parse(text: &str) -> Option<Self> {
        let hyphenated = text.contains('-');
        let (mut low, mut digits) = ([0; 16], 0_usize);
        for (place, character) in text.chars().enumerate() {
            if hyphenated && Self::HYPHENS.contains(&place) {
                if character != '-' {
                    return None;
                }
                continue;
            }
            let digit = u8::try_from(character.to_digit(16)?).ok()?;
            *low.get_mut(digits / 2)? |= if digits.is_multiple_of(2) { digit << 4 } else { digit };
            digits += 1;
        }
        (digits >= Self::DIGITS_MIN).then_some(Self { low, digits: u8::try_from(digits).ok()? })
    }

    fn high(&self) -> [u8; 16] {
        let mut high = self.low;
        for digit in usize::from(self.digits)..Self::DIGITS {
            high[digit / 2] |= if digit.is_multiple_of(2) { 0xf0 } else { 0x0f };
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_prefix_matches_what_begins_so(id in any::<[u8; 16]>(), other in any::<[u8; 16]>(), take in 0..40_usize) {
            let (id, other) = (RequestId::from_bytes(id), RequestId::from_bytes(other));
            for text in [id.to_string(), id.to_string().replace('-', ""), id.to_string().to_uppercase()] {
                let text: String = text.chars().take(take).collect();
                let digits = text.chars().filter(|c| *c != '-').count();
                let Some(wanted) = RequestMatch::parse(&text) else {
                    prop_assert!(digits < RequestPrefix::DIGITS_MIN);
                    continue;
                };
                prop_assert_eq!(matches!(wanted, RequestMatch::Exact(_)), digits == 32);
                prop_assert!(digits >= RequestPrefix::DIGITS_MIN && wanted.is(&id));
                let plain = |id: RequestId| id.to_string().replace('-', "");
                let begins = plain(other).starts_with(&text.replace('-', "").to_lowercase());
                prop_assert_eq!(wanted.is(&other), begins);
            }
        }
    }

    #[test]
    fn what_begins_no_id_is_no_prefix() {
        for text in ["", "019", "019x", "0192-abc", "01934b2c7-e5a", "01934b2c-7e5a7", "-1934", "ä1934b2c"] {
            assert_eq!(RequestMatch::parse(text), None, "{text}");
        }
        assert_eq!(RequestMatch::parse(&"0".repeat(33)), None);
        assert!(RequestMatch::parse("01934b2c-").is_some());
    }
}
