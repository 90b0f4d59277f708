//! The `url` of a Google request: the address of a search page instead of a query (contract section 4.3).
//! It is taken apart and never fetched.

use url::{Host, Url, form_urlencoded};

use super::field::PAGES_MAX;

/// Results on one page.
const PAGE_RESULTS: u64 = 10;

/// What the address of a search page asks for. Parameters that are not here are dropped; of one that stands
/// twice, the first counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SearchPage {
    pub(super) q: String,
    pub(super) gl: Option<String>,
    pub(super) hl: Option<String>,
    pub(super) uule: Option<String>,
    pub(super) pages: u8,
    pub(super) start: u32,
    pub(super) tbs: Option<String>,
    pub(super) safe: Option<String>,
}

/// Takes the address apart.
///
/// # Errors
/// What is wrong with it.
///
/// Source: docs/google.md#url-mode
pub(super) fn parse(text: &str) -> Result<SearchPage, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be an absolute http or https URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must be an absolute http or https URL");
    }
    if !matches!(url.host(), Some(Host::Domain(host)) if is_google(host)) {
        return Err("must be on google.<tld> or www.google.<tld>");
    }
    if url.path() != "/search" {
        return Err("must have the path /search");
    }
    let query = url.query().unwrap_or_default();
    // Place codes contain plus signs that mean themselves: shield them from being read as spaces.
    let uule = first(&query.replace('+', "%2B"), "uule");
    let first = |name| first(query, name);
    if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "tbm") {
        return Err("must not have the parameter tbm; news have their own endpoint, google/news");
    }
    let Some(q) = first("q") else { return Err("must have the parameter q") };
    Ok(SearchPage {
        q,
        gl: first("gl"),
        hl: first("hl"),
        uule,
        pages: pages(first("num").as_deref()),
        start: first("start").and_then(|start| start.parse().ok()).unwrap_or(0),
        tbs: first("tbs"),
        safe: first("safe"),
    })
}

/// Whether the host is `google.` or `www.google.` and one or more labels of two or three letters.
fn is_google(host: &str) -> bool {
    let host = host.strip_prefix("www.").unwrap_or(host);
    host.strip_prefix("google.").is_some_and(|tld| {
        tld.split('.')
            .all(|label| matches!(label.len(), 2 | 3) && label.bytes().all(|b| b.is_ascii_lowercase()))
    })
}

/// The first parameter of this name; none if it is empty.
fn first(query: &str, name: &str) -> Option<String> {
    let (_, value) = form_urlencoded::parse(query.as_bytes()).find(|(found, _)| found == name)?;
    (!value.is_empty()).then(|| value.into_owned())
}

/// `num` is a depth in results: one page for each ten begun. Missing, negative or junk is ten results.
fn pages(num: Option<&str>) -> u8 {
    let results = num
        .filter(|num| num.bytes().all(|b| b.is_ascii_digit()))
        .map_or(PAGE_RESULTS, |num| num.parse().unwrap_or(u64::MAX));
    u8::try_from(results.div_ceil(PAGE_RESULTS)).map_or(PAGES_MAX, |pages| pages.clamp(1, PAGES_MAX))
}
