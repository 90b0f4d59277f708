//! One Google redirect and where it leads (contract section 5, `google/goto`). What stands in the address is
//! read here; nothing is fetched.

use url::{Host, Url, form_urlencoded};

use crate::problem::FieldFault;
use crate::validate::{self, Faults, Field, Kind};

/// The fields of the request body.
pub(crate) const FIELDS: &[Field] = &[Field { name: "url", kind: Kind::Text }];

/// The paths of a redirect.
pub(crate) const PATHS: [&str; 2] = ["/goto", "/url"];

/// The hosts of a redirect.
pub(crate) const HOSTS: [&str; 2] = ["google.com", "www.google.com"];

/// The address of a Google redirect: on one of its hosts, with one of its paths, without a port or a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect(Url);

impl Redirect {
    /// The address to ask, if [`Redirect::target`] has no answer.
    pub const fn url(&self) -> &Url {
        &self.0
    }

    /// Where it leads, if that stands in the address: the first http or https URL in its parameters `url`
    /// and `q`.
    ///
    /// Source: docs/google.md#goto
    pub fn target(&self) -> Option<Url> {
        ["url", "q"].into_iter().find_map(|name| {
            let mut parameters = form_urlencoded::parse(self.0.query()?.as_bytes());
            let (_, target) = parameters.find(|(found, _)| found == name)?;
            Url::parse(&target).ok().filter(is_web)
        })
    }
}

/// The redirect in a request body, or what is wrong with the body. `strict` refuses unknown fields.
///
/// # Errors
/// At least one fault.
///
/// Source: docs/google.md#goto
pub fn redirect(body: &[u8], strict: bool) -> Result<Redirect, Vec<FieldFault>> {
    let mut faults = Faults::at("", strict);
    let mut members = match validate::members_of(body, FIELDS) {
        Ok(members) => members,
        Err(error) => {
            faults.add("", validate::malformed(&error, "a JSON object"));
            return faults.none_or(None);
        }
    };
    let before = faults.count();
    let text = faults.text(&mut members, "url");
    let redirect = text.as_deref().and_then(parse);
    if faults.count() == before && redirect.is_none() {
        let message = if text.is_some() {
            "must be on google.com or www.google.com and have the path /goto or /url"
        } else {
            "is required"
        };
        faults.add("url", message);
    }
    faults.unknown(&members, "");
    faults.none_or(redirect)
}

fn parse(text: &str) -> Option<Redirect> {
    let url = Url::parse(text).ok()?;
    let on_google = matches!(url.host(), Some(Host::Domain(host)) if HOSTS.contains(&host));
    let plain = url.port().is_none() && url.username().is_empty() && url.password().is_none();
    (is_web(&url) && on_google && plain && PATHS.contains(&url.path())).then_some(Redirect(url))
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(url: &str, target: Option<&str>) {
        let redirect = redirect(json!({ "url": url }).to_string().as_bytes(), true).unwrap();
        assert_eq!(redirect.target().as_ref().map(Url::as_str), target, "{url}");
    }

    #[track_caller]
    fn check_faults(body: &str, strict: bool, fields: &[&str]) {
        let faults = redirect(body.as_bytes(), strict).err().unwrap_or_default();
        let found: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(found, fields, "{body}");
    }

    #[test]
    fn the_target_is_read_from_url_before_q() {
        check("https://www.google.com/url?q=https://tea.example/a%3Fb&sa=U", Some("https://tea.example/a?b"));
        check("http://google.com/url?q=x&url=http%3A%2F%2Ftea.example", Some("http://tea.example/"));
        check("https://google.com/url?q=https://a.example&url=https://b.example", Some("https://b.example/"));
        check("https://google.com/url?url=/relative&q=https://a.example/", Some("https://a.example/"));
    }

    #[test]
    fn a_target_that_is_no_web_address_is_none() {
        for query in [
            "",
            "?",
            "?q=tea",
            "?url=javascript:alert(1)",
            "?q=file:///etc/passwd",
            "?url=",
            "?u=https://a.example",
        ] {
            check(&format!("https://www.google.com/goto{query}"), None);
        }
    }

    #[test]
    fn only_googles_own_redirects_are_taken() {
        for bad in [
            "",
            "/url?q=https://a.example",
            "https://google.de/url?q=https://a.example",
            "https://news.google.com/url",
            "https://google.com.evil.example/url",
            "https://google.com@evil.example/url",
            "https://me:secret@google.com/url",
            "https://google.com:8443/url",
            "ftp://google.com/url",
            "https://google.com/search?q=tea",
            "https://google.com/url/",
        ] {
            check_faults(&json!({ "url": bad }).to_string(), true, &["url"]);
        }
    }

    #[test]
    fn the_body_is_an_object_with_a_url_and_nothing_else() {
        check_faults("{}", false, &["url"]);
        check_faults(r#"{"url":1,"x":2}"#, true, &["url", "x"]);
        check_faults(r#"{"url":"https://google.com/url","x":2}"#, false, &[]);
        check_faults("[]", false, &[""]);
        check_faults(r#"{"url":"https://google.com/url"} x"#, false, &[""]);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..100), query in ".{0,60}") {
            let _ = redirect(&body, true);
            let url = format!("https://google.com/url?{query}");
            if let Ok(redirect) = redirect(json!({ "url": url }).to_string().as_bytes(), true) {
                prop_assert!(redirect.target().is_none_or(|target| is_web(&target)));
            }
        }
    }
}
