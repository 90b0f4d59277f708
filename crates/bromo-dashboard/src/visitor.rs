//! Who looks at a page, and how they want to see it.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bromo_engine::session::SignedIn;
use bromo_rules::account::Account;
use bromo_rules::member::{Act, Member};
use http::HeaderMap;
use http::request::Parts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use crate::error::PageError;
use crate::moment::Zone;
use crate::{Dashboard, cookie};

/// Somebody who is signed in.
#[derive(Clone)]
pub(crate) struct Visitor {
    /// The session's secret, as the cookie has it.
    pub(crate) token: String,
    pub(crate) member: Member,
    pub(crate) account: Account,
    pub(crate) look: Look,
}

/// How somebody wants to see pages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    /// `light`, `dark`, or empty for the system's.
    pub(crate) theme: &'static str,
    pub(crate) zone: Zone,
}

impl Look {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let theme = match cookie::read(headers, cookie::THEME) {
            Some("dark") => "dark",
            Some("light") => "light",
            _ => "",
        };
        // A browser writes the slash of a zone's name as it likes.
        let zone = cookie::read(headers, cookie::ZONE).map(|name| name.replace("%2F", "/"));
        Self { theme, zone: zone.and_then(|name| Zone::lookup(&name)).unwrap_or_default() }
    }
}

impl Visitor {
    pub(crate) fn may(&self, act: Act) -> bool {
        self.member.role.may(act)
    }
}

impl FromRequestParts<Dashboard> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, Response> {
        let look = Look::of(&parts.headers);
        let token = cookie::read(&parts.headers, cookie::SESSION).unwrap_or_default();
        let found =
            dashboard.engine.session(token).await.map_err(|error| PageError::from(error).into_response())?;
        match found {
            Some(SignedIn { member, account, .. }) => {
                Ok(Self { token: token.to_owned(), member, account, look })
            }
            None => Err(to_sign_in(parts)),
        }
    }
}

/// To the sign-in page and, for a page that was asked for, back again.
fn to_sign_in(parts: &Parts) -> Response {
    let page = parts.uri.path_and_query().map_or("/", |page| page.as_str());
    if parts.method != http::Method::GET || page == "/" {
        return Redirect::to("/sign-in").into_response();
    }
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("to", page).finish();
    Redirect::to(&format!("/sign-in?{query}")).into_response()
}

/// What a form carries to show that it came from a page of ours: made of the cookie that no other site can read.
pub(crate) fn form_token(cookie: &str) -> String {
    let hash = Sha256::new_with_prefix(b"bromo form ").chain_update(cookie).finalize();
    URL_SAFE_NO_PAD.encode(hash)
}

/// Whether a form's token fits the cookie that came with it. Takes equally long either way.
pub(crate) fn is_ours(cookie: &str, token: &str) -> bool {
    !cookie.is_empty() && bool::from(form_token(cookie).as_bytes().ct_eq(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_cookie_is_not_ours() {
        assert!(is_ours("a", &form_token("a")));
        assert!(!is_ours("a", &form_token("b")));
        assert!(!is_ours("", &form_token("")));
    }
}
