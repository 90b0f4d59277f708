//! What a customer calls.

use std::fmt;
use std::str::FromStr;

/// An endpoint that answers questions under a slot (contract section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Endpoint {
    /// `/v1/monitor/chatgpt`
    Chatgpt,
    /// `/v1/monitor/gemini`
    Gemini,
    /// `/v1/monitor/copilot`
    Copilot,
    /// `/v1/monitor/perplexity`
    Perplexity,
    /// `/v1/monitor/grok`
    Grok,
    /// `/v1/monitor/aimode`
    Aimode,
    /// `/v1/monitor/google`
    Google,
    /// `/v1/monitor/google/news`
    GoogleNews,
}

/// A name that is no endpoint's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no endpoint `{0}`")]
pub struct UnknownEndpoint(pub String);

impl Endpoint {
    /// All of them, in the contract's order.
    pub const ALL: [Self; 8] = [
        Self::Chatgpt,
        Self::Gemini,
        Self::Copilot,
        Self::Perplexity,
        Self::Grok,
        Self::Aimode,
        Self::Google,
        Self::GoogleNews,
    ];

    /// The name in configuration, prices, metrics and logs; `/v1/monitor/` + name is its path.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chatgpt => "chatgpt",
            Self::Gemini => "gemini",
            Self::Copilot => "copilot",
            Self::Perplexity => "perplexity",
            Self::Grok => "grok",
            Self::Aimode => "aimode",
            Self::Google => "google",
            Self::GoogleNews => "google/news",
        }
    }

    /// Its route: the path without `/v1/`. The name of its requests and attempts in the log.
    pub const fn route(self) -> &'static str {
        match self {
            Self::Chatgpt => "monitor/chatgpt",
            Self::Gemini => "monitor/gemini",
            Self::Copilot => "monitor/copilot",
            Self::Perplexity => "monitor/perplexity",
            Self::Grok => "monitor/grok",
            Self::Aimode => "monitor/aimode",
            Self::Google => "monitor/google",
            Self::GoogleNews => "monitor/google/news",
        }
    }

    /// The `taskType` of a task (contract section 6.1).
    pub const fn task_type(self) -> &'static str {
        match self {
            Self::Chatgpt => "CHATGPT",
            Self::Gemini => "GEMINI",
            Self::Copilot => "COPILOT",
            Self::Perplexity => "PERPLEXITY",
            Self::Grok => "GROK",
            Self::Aimode => "AIMODE",
            Self::Google => "GOOGLE",
            Self::GoogleNews => "GOOGLE_NEWS",
        }
    }

    /// Whether it takes a prompt, and so can be answered by a model alone.
    pub const fn takes_prompt(self) -> bool {
        !matches!(self, Self::Google | Self::GoogleNews)
    }

    /// A dense index below `ALL.len()`.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Endpoint {
    type Err = UnknownEndpoint;

    fn from_str(name: &str) -> Result<Self, UnknownEndpoint> {
        Self::ALL.into_iter().find(|e| e.name() == name).ok_or_else(|| UnknownEndpoint(name.to_owned()))
    }
}
