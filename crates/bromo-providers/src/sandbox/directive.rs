//! What a prompt tells the sandbox to do: `[sandbox word=value …]` at its start.

use std::time::Duration;

/// Product clusters at most, as in the contract.
pub const PRODUCTS_MAX: u8 = 6;
/// Product clusters where no directive counts them.
const PRODUCTS: u8 = 2;

/// What to do before, or instead of, answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Directives {
    pub(super) latency: Duration,
    fail: Option<Fail>,
    /// Only this many first attempts fail.
    times: u8,
    products: u8,
}

/// How to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fail {
    Timeout,
    Refused,
    Broken,
    Busy,
    Garbage,
    Panic,
}

/// A directive that says nothing the sandbox knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DirectiveError {
    #[error("sandbox directives without their closing bracket")]
    Unclosed,
    #[error(
        "sandbox directive `{0}` is none of latency_ms=N, times=N, products=0..6, \
         fail=timeout|refused|broken|busy|garbage|panic"
    )]
    Unknown(String),
}

impl Default for Directives {
    fn default() -> Self {
        Self { latency: Duration::ZERO, fail: None, times: u8::MAX, products: PRODUCTS }
    }
}

impl Directives {
    /// How this attempt, counted from 1, fails; none: it answers.
    pub(super) fn fail_at(&self, attempt: u8) -> Option<Fail> {
        self.fail.filter(|_| attempt <= self.times)
    }

    pub(super) const fn products_for(&self, asked: bool) -> Option<u8> {
        if asked { Some(self.products) } else { None }
    }
}

/// Takes the directives off a prompt; what follows them is the question.
pub(super) fn read(prompt: &str) -> Result<(Directives, &str), DirectiveError> {
    let mut directives = Directives::default();
    let Some(rest) = prompt.strip_prefix("[sandbox").filter(|rest| rest.starts_with([' ', ']'])) else {
        return Ok((directives, prompt));
    };
    let (words, question) = rest.split_once(']').ok_or(DirectiveError::Unclosed)?;
    for word in words.split_whitespace() {
        directives.obey(word).ok_or_else(|| DirectiveError::Unknown(word.to_owned()))?;
    }
    Ok((directives, question.trim_start()))
}

impl Directives {
    fn obey(&mut self, word: &str) -> Option<()> {
        let (name, value) = word.split_once('=')?;
        match name {
            "latency_ms" => self.latency = Duration::from_millis(u64::from(value.parse::<u32>().ok()?)),
            "times" => self.times = value.parse().ok()?,
            "products" => self.products = value.parse().ok().filter(|count| *count <= PRODUCTS_MAX)?,
            "fail" => {
                self.fail = Some(match value {
                    "timeout" => Fail::Timeout,
                    "refused" => Fail::Refused,
                    "broken" => Fail::Broken,
                    "busy" => Fail::Busy,
                    "garbage" => Fail::Garbage,
                    "panic" => Fail::Panic,
                    _ => return None,
                });
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_come_in_any_number_and_order() {
        let (directives, question) = read("[sandbox times=2 fail=busy latency_ms=20]  why?").unwrap();
        assert_eq!(question, "why?");
        assert_eq!(directives.latency, Duration::from_millis(20));
        assert_eq!(directives.fail_at(2), Some(Fail::Busy));
        assert_eq!(directives.fail_at(3), None);
        assert_eq!(read("[sandbox]").unwrap(), (Directives::default(), ""));
    }

    #[test]
    fn a_prompt_that_only_looks_like_it_is_a_question() {
        for prompt in ["why?", "[sandboxed] x", "a [sandbox fail=busy]", ""] {
            assert_eq!(read(prompt).unwrap(), (Directives::default(), prompt));
        }
    }

    #[test]
    fn without_times_every_attempt_fails() {
        let (directives, _) = read("[sandbox fail=broken]").unwrap();
        assert_eq!(directives.fail_at(255), Some(Fail::Broken));
    }

    #[test]
    fn an_unknown_word_is_named() {
        for word in ["speed=9", "fail=maybe", "latency_ms=-1", "products=7", "fail"] {
            let error = read(&format!("[sandbox times=1 {word}] x")).unwrap_err();
            assert!(error.to_string().contains(&format!("`{word}`")), "{error}");
        }
        assert_eq!(read("[sandbox fail=busy").unwrap_err(), DirectiveError::Unclosed);
    }
}
