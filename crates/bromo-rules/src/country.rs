//! Countries, and which of them each engine serves (contract section 9.1). Codes are upper-case here; who
//! accepts another case raises it first.

use crate::endpoint::Endpoint;

/// The 249 codes of ISO 3166-1 alpha-2 and `XK`, sorted.
///
/// Source: docs/countries.md#codes
#[rustfmt::skip]
pub const ALL: [&str; 250] = [
    "AD", "AE", "AF", "AG", "AI", "AL", "AM", "AO", "AQ", "AR", "AS", "AT",
    "AU", "AW", "AX", "AZ", "BA", "BB", "BD", "BE", "BF", "BG", "BH", "BI",
    "BJ", "BL", "BM", "BN", "BO", "BQ", "BR", "BS", "BT", "BV", "BW", "BY",
    "BZ", "CA", "CC", "CD", "CF", "CG", "CH", "CI", "CK", "CL", "CM", "CN",
    "CO", "CR", "CU", "CV", "CW", "CX", "CY", "CZ", "DE", "DJ", "DK", "DM",
    "DO", "DZ", "EC", "EE", "EG", "EH", "ER", "ES", "ET", "FI", "FJ", "FK",
    "FM", "FO", "FR", "GA", "GB", "GD", "GE", "GF", "GG", "GH", "GI", "GL",
    "GM", "GN", "GP", "GQ", "GR", "GS", "GT", "GU", "GW", "GY", "HK", "HM",
    "HN", "HR", "HT", "HU", "ID", "IE", "IL", "IM", "IN", "IO", "IQ", "IR",
    "IS", "IT", "JE", "JM", "JO", "JP", "KE", "KG", "KH", "KI", "KM", "KN",
    "KP", "KR", "KW", "KY", "KZ", "LA", "LB", "LC", "LI", "LK", "LR", "LS",
    "LT", "LU", "LV", "LY", "MA", "MC", "MD", "ME", "MF", "MG", "MH", "MK",
    "ML", "MM", "MN", "MO", "MP", "MQ", "MR", "MS", "MT", "MU", "MV", "MW",
    "MX", "MY", "MZ", "NA", "NC", "NE", "NF", "NG", "NI", "NL", "NO", "NP",
    "NR", "NU", "NZ", "OM", "PA", "PE", "PF", "PG", "PH", "PK", "PL", "PM",
    "PN", "PR", "PS", "PT", "PW", "PY", "QA", "RE", "RO", "RS", "RU", "RW",
    "SA", "SB", "SC", "SD", "SE", "SG", "SH", "SI", "SJ", "SK", "SL", "SM",
    "SN", "SO", "SR", "SS", "ST", "SV", "SX", "SY", "SZ", "TC", "TD", "TF",
    "TG", "TH", "TJ", "TK", "TL", "TM", "TN", "TO", "TR", "TT", "TV", "TW",
    "TZ", "UA", "UG", "UM", "US", "UY", "UZ", "VA", "VC", "VE", "VG", "VI",
    "VN", "VU", "WF", "WS", "XK", "YE", "YT", "ZA", "ZM", "ZW",
];

/// An engine by the name `/v1/countries?model=` knows it by, and the codes it does not serve.
struct Model {
    name: &'static str,
    blocked: &'static [&'static str],
}

/// Source: docs/countries.md#engines
#[rustfmt::skip]
const MODELS: [Model; 8] = [
    Model { name: "aimode", blocked: &["CN", "CU", "IR", "KP"] },
    // For this list alone: a Google request that includes the overview is checked as `google`.
    Model { name: "aioverview", blocked: &[
        "BL", "BV", "CN", "CU", "ET", "GF", "GP", "IR", "IS", "LK", "MF", "MQ", "NC", "PF", "PM", "RE", "TF",
        "WF", "YT",
    ] },
    Model { name: "chatgpt", blocked: &["CN", "HK", "IR", "MO", "RU", "VE"] },
    Model { name: "copilot", blocked: &["BY", "CN", "RU", "SY", "VE"] },
    Model { name: "gemini", blocked: &["BY", "CN", "RU"] },
    Model { name: "google", blocked: &[] },
    Model { name: "grok", blocked: &["BY", "CN", "HK", "RU", "VE"] },
    Model { name: "perplexity", blocked: &["CN"] },
];

/// Whether a code may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// It may.
    Yes,
    /// A country, but not of this engine.
    Blocked,
    /// No country.
    Unknown,
}

/// A name that is no engine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such model")]
pub struct UnknownModel;

/// Whether `endpoint` serves the upper-case code. Google News is served like Google.
///
/// Source: docs/countries.md#engines
pub fn served(endpoint: Endpoint, code: &str) -> Served {
    if lookup(code).is_none() {
        Served::Unknown
    } else if blocked(endpoint).contains(&code) {
        Served::Blocked
    } else {
        Served::Yes
    }
}

/// The code itself, if it is one.
pub fn lookup(code: &str) -> Option<&'static str> {
    ALL.binary_search(&code).ok().map(|index| ALL[index])
}

/// The codes that `endpoint` serves, sorted.
pub fn of(endpoint: Endpoint) -> Vec<&'static str> {
    without(blocked(endpoint))
}

/// The codes of `GET /v1/countries`, sorted: those `model` serves, or all.
///
/// # Errors
/// [`UnknownModel`] for a name that is not among [`models`]; names are lower-case.
///
/// Source: docs/countries.md#list
pub fn list(model: Option<&str>) -> Result<Vec<&'static str>, UnknownModel> {
    let Some(name) = model else { return Ok(ALL.to_vec()) };
    MODELS.iter().find(|model| model.name == name).map(|model| without(model.blocked)).ok_or(UnknownModel)
}

/// The names that [`list`] takes.
pub fn models() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|model| model.name)
}

fn blocked(endpoint: Endpoint) -> &'static [&'static str] {
    let name = if endpoint == Endpoint::GoogleNews { Endpoint::Google.name() } else { endpoint.name() };
    MODELS.iter().find(|model| model.name == name).map_or(&[], |model| model.blocked)
}

fn without(blocked: &[&str]) -> Vec<&'static str> {
    ALL.into_iter().filter(|code| !blocked.contains(code)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_count(model: Option<&str>, count: usize) {
        assert_eq!(list(model).unwrap().len(), count);
    }

    #[test]
    fn every_list_is_as_long_as_documented() {
        check_count(None, 250);
        check_count(Some("google"), 250);
        check_count(Some("aimode"), 246);
        check_count(Some("aioverview"), 231);
        check_count(Some("chatgpt"), 244);
        check_count(Some("copilot"), 245);
        check_count(Some("gemini"), 247);
        check_count(Some("grok"), 245);
        check_count(Some("perplexity"), 249);
    }

    #[test]
    fn codes_are_sorted_and_stand_once() {
        assert!(ALL.is_sorted_by(|a, b| a < b));
        assert!(ALL.iter().all(|code| code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase())));
    }

    #[test]
    fn every_blocked_code_is_a_country() {
        assert!(MODELS.iter().flat_map(|model| model.blocked).all(|code| ALL.contains(code)));
    }

    #[test]
    fn every_endpoint_has_its_model() {
        for endpoint in Endpoint::ALL {
            let known = models().any(|name| name == endpoint.name());
            assert!(known || endpoint == Endpoint::GoogleNews, "{endpoint}");
        }
    }

    #[test]
    fn a_blocked_code_differs_from_an_unknown_one() {
        assert_eq!(served(Endpoint::Chatgpt, "CN"), Served::Blocked);
        assert_eq!(served(Endpoint::Chatgpt, "CZ"), Served::Yes);
        assert_eq!(served(Endpoint::GoogleNews, "CN"), Served::Yes);
        for unknown in ["ZZ", "us", "", "USA"] {
            assert_eq!(served(Endpoint::Google, unknown), Served::Unknown, "{unknown}");
        }
    }

    #[test]
    fn google_news_and_an_upper_case_name_are_no_models() {
        assert_eq!(list(Some("google/news")), Err(UnknownModel));
        assert_eq!(list(Some("CHATGPT")), Err(UnknownModel));
        assert_eq!(list(Some("")), Err(UnknownModel));
    }
}
