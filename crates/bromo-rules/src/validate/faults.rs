//! Faults in the making: every one is collected, none ends the check.

use std::borrow::Cow;

use super::field::Kind;
use super::read::{Given, Members};
use crate::problem::FieldFault;

/// The faults of one document, or of the part of it that stands at `path`.
pub(crate) struct Faults<'p> {
    path: &'p str,
    strict: bool,
    list: Vec<FieldFault>,
}

impl<'p> Faults<'p> {
    /// None yet. `strict` makes unknown members faults.
    pub(crate) const fn at(path: &'p str, strict: bool) -> Self {
        Self { path, strict, list: Vec::new() }
    }

    /// How many there are.
    pub(crate) const fn count(&self) -> usize {
        self.list.len()
    }

    /// `value` if no fault was found.
    pub(crate) fn none_or<T>(self, value: Option<T>) -> Result<T, Vec<FieldFault>> {
        value.filter(|_| self.list.is_empty()).ok_or(self.list)
    }

    /// One more. `field` is its dotted path below this document's own, or empty for the whole.
    pub(crate) fn add(&mut self, field: &str, message: impl Into<String>) {
        let dot = if self.path.is_empty() || field.is_empty() { "" } else { "." };
        self.list.push(FieldFault { field: format!("{}{dot}{field}", self.path), message: message.into() });
    }

    /// The text in a member; another type is a fault.
    pub(crate) fn text<'de>(&mut self, members: &mut Members<'de>, name: &str) -> Option<Cow<'de, str>> {
        match members.take(name)? {
            Given::Text(text) => Some(text),
            _ => {
                self.add(name, Kind::Text.expectation());
                None
            }
        }
    }

    /// The flag in a member below `parent`, which is empty or ends with a dot; another type is a fault.
    pub(crate) fn flag(&mut self, members: &mut Members<'_>, name: &str, parent: &str) -> bool {
        match members.take(name) {
            None => false,
            Some(Given::Flag(flag)) => flag,
            Some(_) => {
                self.add(&format!("{parent}{name}"), Kind::Flag.expectation());
                false
            }
        }
    }

    /// The unknown members below `parent`: faults when strict.
    pub(crate) fn unknown(&mut self, members: &Members<'_>, parent: &str) {
        if !self.strict {
            return;
        }
        for name in &members.unknown {
            self.add(&format!("{parent}{name}"), "is not a field of this request");
        }
        if members.unknown_more > 0 {
            let message = format!("has {} more unknown fields", members.unknown_more);
            self.add(parent.trim_end_matches('.'), message);
        }
    }
}
