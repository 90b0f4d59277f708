//! Request bodies: JSON in, a [`Question`] or its faults out (contract section 4).
//!
//! There are two readings. The strict one gives the documented 400s. The lenient one takes what clients in
//! the field send: no country means `US`, a country may be lower-case, unknown fields are dropped, `pages`
//! may have a fraction. In both, null is a wrong type, not an absent field.

mod faults;
mod field;
mod read;
mod task;
#[cfg(test)]
mod tests;
mod url_mode;

use std::borrow::Cow;

use serde::Deserializer;

pub(crate) use self::faults::Faults;
pub(crate) use self::field::{Field, Kind, devices, of as fields, takes_gl};
pub use self::field::{PAGES_MAX, PROMPT_UNITS_MAX};
use self::read::Given;
pub(crate) use self::read::{Members, body as members_of};
pub use self::task::{TaskRequest, batch, task};
use self::url_mode::SearchPage;
use crate::country::{self, Served};
use crate::endpoint::Endpoint;
use crate::problem::FieldFault;
use crate::question::{Device, Include, Question};
use crate::state;

/// The question in `body`, or all that is wrong with it. `strict` gives the documented 400s where the
/// lenient reading has a default, and refuses unknown fields (design D5, D6).
///
/// # Errors
/// At least one fault, in the order of the documented fields; exactly one, with an empty field, if the body
/// is no JSON object.
///
/// Source: docs/requests.md#fields
pub fn question(endpoint: Endpoint, body: &[u8], strict: bool) -> Result<Question, Vec<FieldFault>> {
    Check::new(endpoint, "", strict).run(read::body(body, fields(endpoint)))
}

/// The same for a part of another document, such as the `payload` of a task: every fault's field begins
/// with `path`. Takes a `&Value` or a `&RawValue`.
///
/// # Errors
/// As [`question`]; the field is `path` itself if the part is no object.
pub fn part<'de, D>(
    endpoint: Endpoint,
    from: D,
    path: &str,
    strict: bool,
) -> Result<Question, Vec<FieldFault>>
where
    D: Deserializer<'de, Error = serde_json::Error>,
{
    Check::new(endpoint, path, strict).run(read::members(from, fields(endpoint)))
}

/// The flags that `include` of this endpoint may have, in the documented order.
///
/// Source: docs/requests.md#fields
pub fn include_flags(endpoint: Endpoint) -> impl Iterator<Item = &'static str> {
    let include = fields(endpoint).iter().find(|field| field.name == "include");
    include.and_then(|field| field.kind.members()).unwrap_or_default().iter().map(|flag| flag.name)
}

/// What is wrong with a body that is not the JSON it should be, and where. Repeats nothing of the body.
pub fn malformed(error: &serde_json::Error, expected: &str) -> String {
    use serde_json::error::Category;

    let what = match error.classify() {
        Category::Data => format!("must be {expected}"),
        // The texts of the other categories are fixed, and end with the place.
        Category::Io | Category::Syntax | Category::Eof => return format!("is not JSON: {error}"),
    };
    match (error.line(), error.column()) {
        (0, _) => what,
        (line, column) => format!("{what}, at line {line} column {column}"),
    }
}

/// One body being checked: collects every fault instead of stopping at the first.
struct Check<'p> {
    endpoint: Endpoint,
    strict: bool,
    faults: Faults<'p>,
}

impl<'p> Check<'p> {
    const fn new(endpoint: Endpoint, path: &'p str, strict: bool) -> Self {
        Self { endpoint, strict, faults: Faults::at(path, strict) }
    }

    fn run(mut self, members: serde_json::Result<Members<'_>>) -> Result<Question, Vec<FieldFault>> {
        let question = match members {
            Ok(members) => self.question(members),
            Err(error) => {
                self.faults.add("", malformed(&error, "a JSON object"));
                None
            }
        };
        self.faults.none_or(question)
    }

    /// The whole question; of use only if no fault was found.
    fn question(&mut self, mut members: Members<'_>) -> Option<Question> {
        let members = &mut members;
        let url = self.url(members);
        let page = url.as_ref().and_then(|page| page.as_ref().ok());
        let prompt = self.prompt(members, url.as_ref());
        let country = self.country(members, url.as_ref());
        let hl = self.language(members, page);
        let state = self.state(members, country);
        let (location, uule) = self.place(members, page);
        let device = self.device(members);
        let pages = self.pages(members, page);
        let include = self.include(members);
        let legacy = self.faults.flag(members, "legacy", "");
        let disable_web_search = self.faults.flag(members, "disableWebSearch", "");
        self.faults.unknown(members, "");
        Some(Question {
            endpoint: self.endpoint,
            prompt: prompt?,
            country: country?.to_owned(),
            state: state.map(str::to_owned),
            hl,
            location,
            uule,
            device,
            pages,
            start: page.map_or(0, |page| page.start),
            tbs: page.and_then(|page| page.tbs.clone()),
            safe: page.and_then(|page| page.safe.clone()),
            include,
            legacy,
            disable_web_search,
        })
    }

    /// The search page of url mode; `Err` if there is one, but a faulty one.
    fn url(&mut self, members: &mut Members<'_>) -> Option<Result<SearchPage, ()>> {
        let text = self.faults.text(members, "url")?;
        let page = url_mode::parse(&text).map_err(str::to_owned);
        let page = page.and_then(|page| match prompt_fault(&page.q) {
            None => Ok(page),
            Some(message) => Err(format!("has a parameter q that {message}")),
        });
        Some(page.map_err(|message| self.faults.add("url", message)))
    }

    fn prompt(&mut self, members: &mut Members<'_>, url: Option<&Result<SearchPage, ()>>) -> Option<String> {
        let name = if self.endpoint.takes_prompt() { "prompt" } else { "query" };
        let before = self.faults.count();
        let text = self.faults.text(members, name);
        if let Some(message) = text.as_deref().and_then(prompt_fault) {
            self.faults.add(name, message);
        }
        let text = text.map(trimmed);
        match (text, url) {
            (Some(text), Some(Ok(page))) if text != page.q.trim() => {
                self.faults.add(name, "must not be given with a url that asks for another query");
                None
            }
            (None, Some(Ok(page))) => Some(page.q.trim().to_owned()),
            (None, None) if self.faults.count() == before => {
                let google = self.endpoint == Endpoint::Google;
                self.faults.add(name, if google { "is required, or url" } else { "is required" });
                None
            }
            (text, _) => text,
        }
    }

    /// From `country`, `gl` and the url: at least one when strict, and all that are there agree.
    fn country(
        &mut self,
        members: &mut Members<'_>,
        url: Option<&Result<SearchPage, ()>>,
    ) -> Option<&'static str> {
        let before = self.faults.count();
        let country =
            self.faults.text(members, "country").and_then(|code| self.code("country", &code, self.strict));
        let gl = self.faults.text(members, "gl").and_then(|code| self.code("gl", &code, false));
        let in_url = url.and_then(|page| page.as_ref().ok()?.gl.clone());
        let in_url = in_url.and_then(|code| self.code("url", &code, false));
        if self.faults.count() > before || matches!(url, Some(Err(()))) {
            return None;
        }
        let mut agreed = None;
        for (name, code) in [("country", country), ("gl", gl), ("url", in_url)] {
            if code.is_some() && agreed.is_some_and(|agreed| Some(agreed) != code) {
                self.faults.add(name, "names another country than the fields before it");
                return None;
            }
            agreed = agreed.or(code);
        }
        if agreed.is_none() && self.strict {
            if takes_gl(self.endpoint) {
                self.faults.add("gl", "is required, or country, its older name");
            } else {
                self.faults.add("country", "is required");
            }
            return None;
        }
        Some(agreed.unwrap_or(COUNTRY_DEFAULT))
    }

    /// A country code that this endpoint serves, upper-case. `exact` accepts no other case.
    fn code(&mut self, name: &str, given: &str, exact: bool) -> Option<&'static str> {
        let code = country::lookup(given)
            .or_else(|| if exact { None } else { country::lookup(&given.to_ascii_uppercase()) });
        match code.map(|code| (code, country::served(self.endpoint, code))) {
            Some((code, Served::Yes)) => return Some(code),
            Some((code, Served::Blocked)) => {
                self.faults.add(name, format!("{code} is not served by {}", self.endpoint));
            }
            Some((_, Served::Unknown)) | None => {
                self.faults.add(name, "unsupported country: must be an upper-case ISO 3166-1 alpha-2 code");
            }
        }
        None
    }

    fn language(&mut self, members: &mut Members<'_>, page: Option<&SearchPage>) -> Option<String> {
        let normal = |hl: &str| Some(hl.trim().to_lowercase()).filter(|hl| !hl.is_empty());
        let given = self.faults.text(members, "hl").and_then(|hl| normal(&hl));
        let in_url = page.and_then(|page| normal(page.hl.as_deref()?));
        if given.is_some() && in_url.is_some() && given != in_url {
            self.faults.add("hl", "names another language than the url");
        }
        given.or(in_url)
    }

    fn state(&mut self, members: &mut Members<'_>, country: Option<&str>) -> Option<&'static str> {
        let given = self.faults.text(members, "state")?;
        if country.is_some_and(|country| country != state::COUNTRY) {
            self.faults.add("state", "is supported with country US alone");
        }
        let state = state::lookup(&given.to_ascii_uppercase());
        if state.is_none() {
            self.faults.add("state", "must be the two-letter code of a state of the US, or DC");
        }
        state.map(|state| state.code)
    }

    /// The location and the place code: at most one of them, and in url mode only the url's own code.
    fn place(
        &mut self,
        members: &mut Members<'_>,
        page: Option<&SearchPage>,
    ) -> (Option<String>, Option<String>) {
        let location = self.faults.text(members, "location");
        let uule = self.faults.text(members, "uule");
        // Lenient: forms send empty strings for what was left out.
        let strict = self.strict;
        let stands = |text: &Option<Cow<'_, str>>| text.as_deref().is_some_and(|t| strict || !t.is_empty());
        if stands(&location) && stands(&uule) {
            self.faults.add("uule", "must not be given together with location");
        }
        if let Some(page) = page {
            if stands(&location) {
                self.faults.add("location", "must not be given together with url");
            }
            if stands(&uule) && uule.as_deref() != page.uule.as_deref() {
                self.faults.add("uule", "must not be given with a url that has another one");
            }
        }
        let kept = |text: Option<Cow<'_, str>>| text.filter(|t| !t.is_empty()).map(Cow::into_owned);
        (kept(location), kept(uule).or_else(|| page.and_then(|page| page.uule.clone())))
    }

    fn device(&mut self, members: &mut Members<'_>) -> Device {
        let Some(given) = self.faults.text(members, "device") else { return Device::default() };
        let known = devices(self.endpoint);
        if let Some((_, device)) = known.iter().find(|(name, _)| *name == given) {
            return *device;
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        self.faults.add("device", format!("must be one of {}", names.join(" ")));
        Device::default()
    }

    /// Pages to fetch. Lenient: part of a page is a page, so 2.5 is 3.
    fn pages(&mut self, members: &mut Members<'_>, page: Option<&SearchPage>) -> u8 {
        let in_url = page.map(|page| page.pages);
        let given = match members.take("pages") {
            None => return in_url.unwrap_or(1),
            Some(Given::Number(given)) => given,
            Some(_) => {
                self.faults.add("pages", Kind::Number.expectation());
                return 1;
            }
        };
        let whole = given.ceil();
        let fits = given > 0.0 && given <= f64::from(PAGES_MAX) && (whole == given || !self.strict);
        if !fits {
            self.faults.add("pages", format!("must be a whole number from 1 to {PAGES_MAX}"));
            return 1;
        }
        // Exact: a whole number from 1 to PAGES_MAX.
        let pages = whole as u8;
        if in_url.is_some_and(|in_url| in_url != pages) {
            self.faults.add("pages", "must not be given with a url that asks for another depth");
        }
        pages
    }

    fn include(&mut self, members: &mut Members<'_>) -> Include {
        let mut flags = match members.take("include") {
            None => return Include::default(),
            Some(Given::Object(flags)) => flags,
            Some(_) => {
                self.faults.add("include", Kind::Object(&[]).expectation());
                return Include::default();
            }
        };
        let flags = &mut flags;
        let mut include = Include {
            markdown: self.faults.flag(flags, "markdown", "include."),
            html: self.faults.flag(flags, "html", "include."),
            raw_response: self.faults.flag(flags, "rawResponse", "include."),
            search_queries: self.faults.flag(flags, "searchQueries", "include."),
            ads: self.faults.flag(flags, "ads", "include."),
            shopping: self.faults.flag(flags, "shopping", "include."),
            expand_products: self.faults.flag(flags, "expandProducts", "include."),
            paa_ai_overview: self.faults.flag(flags, "paaAioverview", "include."),
            ai_overview: false,
            ai_overview_markdown: false,
        };
        self.faults.flag(flags, "googleGoto", "include.");
        match flags.take("aioverview") {
            None => {}
            Some(Given::Flag(wanted)) => include.ai_overview = wanted,
            // `{}` and `{"markdown":false}` ask for it too (contract section 4.2).
            Some(Given::Object(mut parts)) => {
                include.ai_overview = true;
                include.ai_overview_markdown =
                    self.faults.flag(&mut parts, "markdown", "include.aioverview.");
                self.faults.unknown(&parts, "include.aioverview.");
            }
            Some(_) => self.faults.add("include.aioverview", Kind::FlagOrObject(&[]).expectation()),
        }
        self.faults.unknown(flags, "include.");
        include
    }
}

/// The country of a lenient request that names none.
const COUNTRY_DEFAULT: &str = "US";

/// What is wrong with a prompt's length, counted in UTF-16 units before trimming.
fn prompt_fault(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("must not be empty".to_owned());
    }
    // No text has more units than bytes, so most need no count.
    let fits = text.len() <= PROMPT_UNITS_MAX || utf16_units(text) <= PROMPT_UNITS_MAX;
    (!fits).then(|| format!("must have at most {PROMPT_UNITS_MAX} characters"))
}

/// Counts UTF-16 units: one for each character, and one more for those of four bytes. Many times faster than
/// encoding them.
fn utf16_units(text: &str) -> usize {
    text.bytes().map(|byte| usize::from(byte & 0xc0 != 0x80) + usize::from(byte >= 0xf0)).sum()
}

fn trimmed(text: Cow<'_, str>) -> String {
    match text {
        Cow::Owned(text) if text.trim().len() == text.len() => text,
        text => text.trim().to_owned(),
    }
}
