//! A question: a validated request of any endpoint, in bromo's words.

use crate::endpoint::Endpoint;

/// What a customer asks. Made by [`crate::validate::question`] alone, so every field is within its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Who is asked.
    pub endpoint: Endpoint,
    /// The prompt or query, trimmed; 1 to 10,000 UTF-16 units before trimming, so it may be empty here
    /// where only white space was sent.
    pub prompt: String,
    /// Upper-case country code.
    pub country: String,
    /// US state code, only with country `US`.
    pub state: Option<String>,
    /// Interface language, lower-case.
    pub hl: Option<String>,
    /// Canonical place name; never together with `uule`.
    pub location: Option<String>,
    /// Opaque place.
    pub uule: Option<String>,
    /// The device whose results are wanted.
    pub device: Device,
    /// Result pages, 1 to 10.
    pub pages: u8,
    /// First result, from url mode.
    pub start: u32,
    /// `tbs` of url mode.
    pub tbs: Option<String>,
    /// `safe` of url mode.
    pub safe: Option<String>,
    /// What the answer shall contain.
    pub include: Include,
    /// ChatGPT: the desktop interface, best effort.
    pub legacy: bool,
    /// ChatGPT: no web search.
    pub disable_web_search: bool,
}

/// The optional parts of an answer (contract section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Include {
    /// The answer as markdown.
    pub markdown: bool,
    /// The address of a stored page.
    pub html: bool,
    /// The provider's events.
    pub raw_response: bool,
    /// The searches the model made.
    pub search_queries: bool,
    /// Advertisements.
    pub ads: bool,
    /// Shopping cards.
    pub shopping: bool,
    /// AI Mode: product clusters.
    pub expand_products: bool,
    /// Google: the AI overview.
    pub ai_overview: bool,
    /// Google: the AI overview as markdown.
    pub ai_overview_markdown: bool,
    /// Google: AI overviews of "people also ask".
    pub paa_ai_overview: bool,
}

/// The device whose results are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The default.
    #[default]
    Desktop,
    /// Any phone.
    Mobile,
    /// An iPhone; Google and Google News only.
    Ios,
    /// An Android phone; Google and Google News only.
    Android,
}

impl Question {
    /// A plain question with every option at its default; for tests and for callers inside the program.
    pub fn plain(endpoint: Endpoint, prompt: &str) -> Self {
        Self {
            endpoint,
            prompt: prompt.to_owned(),
            country: "US".to_owned(),
            state: None,
            hl: None,
            location: None,
            uule: None,
            device: Device::default(),
            pages: 1,
            start: 0,
            tbs: None,
            safe: None,
            include: Include::default(),
            legacy: false,
            disable_web_search: false,
        }
    }
}
