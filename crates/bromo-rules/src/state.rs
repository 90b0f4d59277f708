//! The states of the United States (contract section 9.2). Codes are upper-case here; who accepts another
//! case raises it first.

use serde::Serialize;

/// One state, as `GET /v1/states` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct State {
    /// Two upper-case letters.
    pub code: &'static str,
    /// Its English name.
    pub name: &'static str,
}

/// The only country that has states here.
pub const COUNTRY: &str = "US";

/// The 50 states and the District of Columbia, sorted by code.
///
/// Source: docs/countries.md#states
pub const ALL: [State; 51] = [
    State { code: "AK", name: "Alaska" },
    State { code: "AL", name: "Alabama" },
    State { code: "AR", name: "Arkansas" },
    State { code: "AZ", name: "Arizona" },
    State { code: "CA", name: "California" },
    State { code: "CO", name: "Colorado" },
    State { code: "CT", name: "Connecticut" },
    State { code: "DC", name: "District of Columbia" },
    State { code: "DE", name: "Delaware" },
    State { code: "FL", name: "Florida" },
    State { code: "GA", name: "Georgia" },
    State { code: "HI", name: "Hawaii" },
    State { code: "IA", name: "Iowa" },
    State { code: "ID", name: "Idaho" },
    State { code: "IL", name: "Illinois" },
    State { code: "IN", name: "Indiana" },
    State { code: "KS", name: "Kansas" },
    State { code: "KY", name: "Kentucky" },
    State { code: "LA", name: "Louisiana" },
    State { code: "MA", name: "Massachusetts" },
    State { code: "MD", name: "Maryland" },
    State { code: "ME", name: "Maine" },
    State { code: "MI", name: "Michigan" },
    State { code: "MN", name: "Minnesota" },
    State { code: "MO", name: "Missouri" },
    State { code: "MS", name: "Mississippi" },
    State { code: "MT", name: "Montana" },
    State { code: "NC", name: "North Carolina" },
    State { code: "ND", name: "North Dakota" },
    State { code: "NE", name: "Nebraska" },
    State { code: "NH", name: "New Hampshire" },
    State { code: "NJ", name: "New Jersey" },
    State { code: "NM", name: "New Mexico" },
    State { code: "NV", name: "Nevada" },
    State { code: "NY", name: "New York" },
    State { code: "OH", name: "Ohio" },
    State { code: "OK", name: "Oklahoma" },
    State { code: "OR", name: "Oregon" },
    State { code: "PA", name: "Pennsylvania" },
    State { code: "RI", name: "Rhode Island" },
    State { code: "SC", name: "South Carolina" },
    State { code: "SD", name: "South Dakota" },
    State { code: "TN", name: "Tennessee" },
    State { code: "TX", name: "Texas" },
    State { code: "UT", name: "Utah" },
    State { code: "VA", name: "Virginia" },
    State { code: "VT", name: "Vermont" },
    State { code: "WA", name: "Washington" },
    State { code: "WI", name: "Wisconsin" },
    State { code: "WV", name: "West Virginia" },
    State { code: "WY", name: "Wyoming" },
];

/// A text that is not two upper-case letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be two upper-case letters")]
pub struct MalformedCountry;

/// The state of this upper-case code.
pub fn lookup(code: &str) -> Option<&'static State> {
    ALL.binary_search_by(|state| state.code.cmp(code)).ok().map(|index| &ALL[index])
}

/// The states of `GET /v1/states`: none for a country other than the US. No country means the US, since the
/// official clients never send one (contract D13).
///
/// # Errors
/// [`MalformedCountry`]; two letters that are no country's have no states, and are no error.
///
/// Source: docs/countries.md#states
pub fn list(country: Option<&str>) -> Result<&'static [State], MalformedCountry> {
    match country {
        None | Some(COUNTRY) => Ok(&ALL),
        Some(code) if code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase()) => Ok(&[]),
        Some(_) => Err(MalformedCountry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_51_sorted_by_code() {
        assert!(ALL.is_sorted_by(|a, b| a.code < b.code));
        assert_eq!(lookup("DC").map(|state| state.name), Some("District of Columbia"));
        assert_eq!(lookup("PR"), None);
    }

    #[test]
    fn only_the_us_has_states() {
        assert_eq!(list(Some("US")), list(None));
        assert_eq!(list(Some("US")).map(<[State]>::len), Ok(51));
        assert_eq!(list(Some("DE")), Ok(&[][..]));
        assert_eq!(list(Some("ZZ")), Ok(&[][..]));
    }

    #[test]
    fn a_malformed_country_is_refused() {
        for bad in ["", "us", "USA", "U1", "ÄÖ"] {
            assert_eq!(list(Some(bad)), Err(MalformedCountry), "{bad}");
        }
    }

    #[test]
    fn a_state_is_listed_by_code_and_name() {
        assert_eq!(serde_json::to_string(&ALL[0]).unwrap(), r#"{"code":"AK","name":"Alaska"}"#);
    }
}
