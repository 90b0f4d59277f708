//! An answer: what came back from a provider, in bromo's words.

use serde_json::value::RawValue;

/// What a provider answered.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The raw answer, markdown as the model wrote it. May be empty.
    pub markdown: String,
    /// Web pages the answer names, in the provider's order.
    pub sources: Vec<Source>,
    /// The model that really answered, as its provider names it.
    pub model: Option<String>,
    /// The kind of provider that really answered: `embedded`, `openai-chat`, `sandbox`, …
    pub provider: &'static str,
    /// Searches that the model made.
    pub search_queries: Vec<String>,
    /// The provider's events, kept only when the question asks for them.
    pub events: Vec<Box<RawValue>>,
    /// Fields of the endpoint's result object beyond the common ones (contract section 5), for providers
    /// that know them: `organicResults`, `productResults`, `places`, …
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// One page an answer names. Its position is its place in the list, from 1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// Its address.
    pub url: String,
    /// Its title.
    pub label: String,
    /// A line about it; may be empty.
    pub description: String,
}
