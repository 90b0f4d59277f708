//! Signing in and out.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bromo_engine::session::{SESSION_LASTS, SignInError};
use bromo_rules::token::Token;
use http::HeaderMap;

use super::{Answer, At, Query, faulty, page, to};
use crate::error::PageError;
use crate::posted::{Knock, Look as Looks, Posted};
use crate::visitor::{Look, form_token};
use crate::{Dashboard, assets, cookie};

#[derive(Template)]
#[template(path = "pages/sign_in.html")]
struct SignIn {
    look: Look,
    token: String,
    /// Where to afterwards.
    to: String,
    email: String,
    fault: Option<String>,
    sign_up: bool,
}

#[derive(Template)]
#[template(path = "pages/sign_in_link.html")]
struct ByLink {
    look: Look,
    token: String,
}

impl SignIn {
    fn asset(&self, name: &str) -> String {
        assets::address(name)
    }
}

impl ByLink {
    fn asset(&self, name: &str) -> String {
        assets::address(name)
    }
}

/// The cookie that forms before signing in are tied to: the one there is, or a new one for the response.
pub(crate) struct FormCookie {
    value: String,
    is_new: bool,
}

impl FormCookie {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, PageError> {
        if let Some(value) = cookie::read(headers, cookie::FORM).filter(|value| !value.is_empty()) {
            return Ok(Self { value: value.to_owned(), is_new: false });
        }
        let mut random = [0; 18];
        getrandom::fill(&mut random).map_err(|error| {
            tracing::error!(%error, "the system has no randomness");
            PageError::Unavailable
        })?;
        Ok(Self { value: URL_SAFE_NO_PAD.encode(random), is_new: true })
    }

    pub(crate) fn token(&self) -> String {
        form_token(&self.value)
    }

    pub(crate) fn keep(&self, secure: bool, mut response: Response) -> Response {
        if self.is_new {
            cookie::keep(&mut response, cookie::FORM, &self.value, secure, None);
        }
        response
    }
}

/// A path of this program and nothing else: `//elsewhere` and `/\elsewhere` are hosts to a browser.
fn own_path(to: &str) -> &str {
    let is_own = to.starts_with('/') && !to[1..].starts_with(['/', '\\']) && !to.contains(char::is_control);
    if is_own { to } else { "/" }
}

pub(super) async fn show(State(dashboard): At, headers: HeaderMap, Query(query): Query) -> Answer {
    let form = FormCookie::of(&headers)?;
    let sign_in = SignIn {
        look: Look::of(&headers),
        token: form.token(),
        to: own_path(query.text("to")).to_owned(),
        email: String::new(),
        fault: None,
        sign_up: dashboard.settings.sign_up,
    };
    Ok(form.keep(dashboard.settings.is_secure(), page(&sign_in)?))
}

pub(super) async fn enter(State(dashboard): At, Knock { form, headers, peer }: Knock) -> Answer {
    let (email, password) = (form.text("email"), form.raw("password"));
    let before = cookie::read(&headers, cookie::SESSION);
    let fault = match dashboard.engine.sign_in(email, password, peer, before).await {
        Ok((session, _)) => return signed_in(&dashboard, &session, own_path(form.text("to"))),
        Err(SignInError::Store(error)) => return Err(error.into()),
        Err(error) => error.to_string(),
    };
    let cookie = FormCookie::of(&headers)?;
    faulty(&SignIn {
        look: Look::of(&headers),
        token: cookie.token(),
        to: own_path(form.text("to")).to_owned(),
        email: email.to_owned(),
        fault: Some(fault),
        sign_up: dashboard.settings.sign_up,
    })
}

/// Hands the session to the browser.
pub(super) fn signed_in(dashboard: &Dashboard, session: &Token, path: &str) -> Answer {
    let mut response = to(path)?;
    let secure = dashboard.settings.is_secure();
    cookie::keep(&mut response, cookie::SESSION, session.reveal(), secure, Some(SESSION_LASTS.as_secs()));
    Ok(response)
}

/// A link signs in by a button: what only looks at an address, a mail scanner for example, must not use it up.
pub(super) async fn show_link(State(dashboard): At, headers: HeaderMap) -> Answer {
    let form = FormCookie::of(&headers)?;
    Ok(form.keep(
        dashboard.settings.is_secure(),
        page(&ByLink { look: Look::of(&headers), token: form.token() })?,
    ))
}

pub(super) async fn enter_by_link(
    State(dashboard): At,
    Path(token): Path<String>,
    Knock { headers, .. }: Knock,
) -> Answer {
    match dashboard.engine.sign_in_by_link(&token, cookie::read(&headers, cookie::SESSION)).await {
        Ok((session, _)) => signed_in(&dashboard, &session, "/"),
        Err(SignInError::Link) => {
            Err(PageError::missing("such link any more: each signs in once, within an hour"))
        }
        Err(SignInError::Store(error)) => Err(error.into()),
        Err(_) => Err(PageError::Unavailable),
    }
}

pub(super) async fn leave(State(dashboard): At, Posted { visitor, .. }: Posted<Looks>) -> Answer {
    dashboard.engine.sign_out(&visitor.token).await?;
    let mut response = to("/sign-in")?;
    cookie::forget(&mut response, cookie::SESSION, dashboard.settings.is_secure());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn nobody_is_led_elsewhere_by_signing_in() {
        for text in ["//evil", "/\\evil", "https://evil", "", "evil", "/\nx"] {
            assert_eq!(own_path(text), "/", "{text:?}");
        }
        assert_eq!(own_path("/logs?status=429"), "/logs?status=429");
    }

    #[test]
    fn sign_in_pages_fit_one_round_trip_and_keep_what_was_typed() {
        use super::*;
        use crate::samples::{HOSTILE, rendered};

        let sign_in = SignIn {
            look: Look::default(),
            token: "TOKEN".to_owned(),
            to: HOSTILE.to_owned(),
            email: HOSTILE.to_owned(),
            fault: Some("no member has this address and password".to_owned()),
            sign_up: true,
        };
        assert!(rendered(&sign_in).len() < 14_000);
        rendered(&ByLink { look: Look::default(), token: "TOKEN".to_owned() });
    }
}
