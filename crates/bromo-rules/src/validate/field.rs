//! The fields a request body may have, by endpoint (contract sections 4.1 and 4.2). Validation reads them
//! from here and the published schema is printed from here, so the two cannot drift.

use crate::endpoint::Endpoint;
use crate::question::Device;

/// Longest prompt or query, in UTF-16 units before trimming; the shortest has 1.
///
/// Source: docs/requests.md#prompt
pub const PROMPT_UNITS_MAX: usize = 10_000;

/// Most result pages.
///
/// Source: docs/requests.md#pages
pub const PAGES_MAX: u8 = 10;

/// One member of a request body, or of an object in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// Its name on the wire.
    pub(crate) name: &'static str,
    /// What it may hold.
    pub(crate) kind: Kind,
}

/// What a field may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// An object of these.
    Object(&'static [Field]),
    /// True, false, or an object of these, whose presence means true.
    FlagOrObject(&'static [Field]),
}

impl Kind {
    /// What a fault says of any other type.
    pub(crate) const fn expectation(self) -> &'static str {
        match self {
            Self::Text => "must be a string",
            Self::Number => "must be a number",
            Self::Flag => "must be true or false",
            Self::Object(_) => "must be an object",
            Self::FlagOrObject(_) => "must be true, false or an object",
        }
    }

    /// The members of the object it may be.
    pub(crate) const fn members(self) -> Option<&'static [Field]> {
        match self {
            Self::Object(members) | Self::FlagOrObject(members) => Some(members),
            Self::Text | Self::Number | Self::Flag => None,
        }
    }
}

const fn text(name: &'static str) -> Field {
    Field { name, kind: Kind::Text }
}

const fn flag(name: &'static str) -> Field {
    Field { name, kind: Kind::Flag }
}

const fn include(flags: &'static [Field]) -> Field {
    Field { name: "include", kind: Kind::Object(flags) }
}

const PAGES: Field = Field { name: "pages", kind: Kind::Number };

const CHATGPT: &[Field] = &[
    text("prompt"),
    text("country"),
    text("state"),
    include(&[
        flag("markdown"),
        flag("html"),
        flag("rawResponse"),
        flag("searchQueries"),
        flag("ads"),
        flag("shopping"),
    ]),
    flag("legacy"),
    flag("disableWebSearch"),
];

const PROMPTED: &[Field] = &[
    text("prompt"),
    text("country"),
    text("state"),
    include(&[flag("markdown"), flag("html"), flag("rawResponse")]),
];

// `googleGoto` is accepted and ignored: bromo's links need no resolving.
const AIMODE: &[Field] = &[
    text("prompt"),
    text("country"),
    text("gl"),
    text("hl"),
    text("location"),
    text("uule"),
    text("device"),
    include(&[flag("markdown"), flag("html"), flag("expandProducts"), flag("googleGoto")]),
];

const GOOGLE: &[Field] = &[
    text("query"),
    text("url"),
    text("country"),
    text("gl"),
    text("hl"),
    text("location"),
    text("uule"),
    text("device"),
    PAGES,
    include(&[
        flag("html"),
        Field { name: "aioverview", kind: Kind::FlagOrObject(&[flag("markdown")]) },
        flag("paaAioverview"),
        flag("googleGoto"),
    ]),
];

const GOOGLE_NEWS: &[Field] = &[
    text("query"),
    text("country"),
    text("gl"),
    text("hl"),
    text("device"),
    PAGES,
    include(&[flag("html")]),
];

/// The fields of `endpoint`'s request body.
///
/// Source: docs/requests.md#fields
pub(crate) const fn of(endpoint: Endpoint) -> &'static [Field] {
    match endpoint {
        Endpoint::Chatgpt => CHATGPT,
        Endpoint::Gemini | Endpoint::Copilot | Endpoint::Perplexity | Endpoint::Grok => PROMPTED,
        Endpoint::Aimode => AIMODE,
        Endpoint::Google => GOOGLE,
        Endpoint::GoogleNews => GOOGLE_NEWS,
    }
}

/// The devices `endpoint` knows, the default first; none where `device` is not among its fields.
///
/// Source: docs/requests.md#device
pub(crate) const fn devices(endpoint: Endpoint) -> &'static [(&'static str, Device)] {
    const ALL: &[(&str, Device)] = &[
        ("desktop", Device::Desktop),
        ("mobile", Device::Mobile),
        ("ios", Device::Ios),
        ("android", Device::Android),
    ];
    match endpoint {
        Endpoint::Google | Endpoint::GoogleNews => ALL,
        Endpoint::Aimode => ALL.split_at(2).0,
        _ => &[],
    }
}

/// Whether `endpoint` is of the Google family: its country may be given as `gl`.
pub(crate) const fn takes_gl(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::Aimode | Endpoint::Google | Endpoint::GoogleNews)
}
