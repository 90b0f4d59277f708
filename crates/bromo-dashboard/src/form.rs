//! What came with a form or an address: names and values, repeated ones too.

use url::form_urlencoded;

/// Names and values in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `a=1&b=2`.
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// The first value of this name, trimmed; empty if there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The first value of this name as it was typed.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// All values of this name that are not empty.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(found, value)| found == name && !value.trim().is_empty())
            .map(|(_, value)| value.trim())
    }

    /// Whether a box of this name is ticked.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    /// The query without these names, with others added: for links that change one thing.
    pub(crate) fn with(&self, without: &[&str], added: &[(&str, &str)]) -> String {
        let kept =
            self.0.iter().filter(|(name, value)| !without.contains(&name.as_str()) && !value.is_empty());
        let kept = kept.map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs = kept.chain(added.iter().copied());
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    /// All names and values.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}
