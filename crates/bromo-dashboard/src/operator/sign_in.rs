//! The operator signs in with the admin token. Sessions live in memory: a restart ends them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use askama::Template;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use bromo_rules::time::Timestamp;
use bromo_rules::token::{Token, TokenHash};
use http::HeaderMap;
use http::request::Parts;
use subtle::ConstantTimeEq;

use super::{Desk, In, Office};
use crate::error::PageError;
use crate::form::Form;
use crate::pages::{Answer, FormCookie, faulty, page, to};
use crate::visitor::{Look, form_token};
use crate::{assets, cookie, posted};

/// Who runs the installation.
const SESSION: &str = "bromo_operator";
/// How long a session lasts.
const LASTS: Duration = Duration::from_secs(8 * 3600);
/// Sessions at once; past it the oldest ends.
const SESSIONS_MAX: usize = 64;

/// Sessions of operators, and when they end.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<TokenHash, Timestamp>>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<TokenHash, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, token: &Token, now: Timestamp) {
        let mut sessions = self.lock();
        sessions.retain(|_, ends_at| *ends_at > now);
        if sessions.len() >= SESSIONS_MAX
            && let Some(oldest) = sessions.iter().min_by_key(|(_, ends_at)| **ends_at).map(|(hash, _)| *hash)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(token.hash(), now.plus(LASTS));
    }

    fn is_good(&self, token: &str, now: Timestamp) -> bool {
        self.lock().get(&TokenHash::of(token)).is_some_and(|ends_at| *ends_at > now)
    }

    fn end(&self, token: &str) {
        self.lock().remove(&TokenHash::of(token));
    }
}

/// An operator who is signed in.
pub(super) struct Operator {
    token: String,
    look: Look,
}

impl Operator {
    pub(super) fn desk(self, path: &'static str, title: &'static str, query: &Form) -> Desk {
        let message = match query.text("done") {
            "plan" => Some("The plan is in force on the next request of every key."),
            "granted" => Some("The credits are granted."),
            "declined" => Some("The request is declined. Nothing has changed."),
            _ => None,
        };
        Desk { title, path, token: form_token(&self.token), look: self.look, message }
    }
}

impl FromRequestParts<Office> for Operator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, office: &Office) -> Result<Self, Response> {
        let token = cookie::read(&parts.headers, SESSION).unwrap_or_default();
        if !office.sessions.is_good(token, office.parts.engine.clock().now()) {
            return Err(Redirect::to("/sign-in").into_response());
        }
        Ok(Self { token: token.to_owned(), look: Look::of(&parts.headers) })
    }
}

/// A form of an operator.
pub(super) struct Ordered {
    pub(super) operator: Operator,
    pub(super) form: Form,
}

impl FromRequest<Office> for Ordered {
    type Rejection = Response;

    async fn from_request(request: Request, office: &Office) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let operator = Operator::from_request_parts(&mut parts, office).await?;
        let form = posted::read(&parts.headers, None, body, &operator.token, posted::OURS)
            .await
            .map_err(IntoResponse::into_response)?;
        Ok(Self { operator, form })
    }
}

#[derive(Template)]
#[template(path = "operator/sign_in.html")]
struct SignIn {
    look: Look,
    token: String,
    fault: Option<&'static str>,
}

impl SignIn {
    fn asset(&self, name: &str) -> String {
        assets::address(name)
    }
}

pub(super) async fn show(headers: HeaderMap) -> Answer {
    let form = FormCookie::of(&headers)?;
    let sign_in = SignIn { look: Look::of(&headers), token: form.token(), fault: None };
    Ok(form.keep(false, page(&sign_in)?))
}

/// A form that comes before signing in.
pub(super) struct Knock {
    form: Form,
    headers: HeaderMap,
}

impl FromRequest<Office> for Knock {
    type Rejection = Response;

    async fn from_request(request: Request, _: &Office) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let cookie = cookie::read(&parts.headers, cookie::FORM).unwrap_or_default().to_owned();
        let form = posted::read(&parts.headers, None, body, &cookie, posted::ANYBODYS)
            .await
            .map_err(IntoResponse::into_response)?;
        Ok(Self { form, headers: parts.headers })
    }
}

/// Takes as long for a wrong token as for a right one. The token is 256 random bits: guesses need no limit.
pub(super) async fn enter(State(office): In, Knock { form, headers }: Knock) -> Answer {
    let given = form.text("admin_token").as_bytes();
    if !bool::from(given.ct_eq(office.parts.token.as_bytes())) {
        let cookie = FormCookie::of(&headers)?;
        let fault = Some("This is not the admin token. It stands in the file of admin.token_file.");
        return faulty(&SignIn { look: Look::of(&headers), token: cookie.token(), fault });
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|_| PageError::Unavailable)?;
    let token = Token::new(random);
    office.sessions.begin(&token, office.parts.engine.clock().now());
    let mut response = to("/")?;
    cookie::keep(&mut response, SESSION, token.reveal(), false, Some(LASTS.as_secs()));
    Ok(response)
}

pub(super) async fn leave(State(office): In, Ordered { operator, .. }: Ordered) -> Answer {
    office.sessions.end(&operator.token);
    let mut response = to("/sign-in")?;
    cookie::forget(&mut response, SESSION, false);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_and_the_oldest_makes_room() {
        let sessions = Sessions::default();
        let at = Timestamp::from_millis;
        let token = |number: u8| Token::new([number; 32]);
        for number in 0..=u8::try_from(SESSIONS_MAX).unwrap() {
            sessions.begin(&token(number), at(number.into()));
        }
        assert!(!sessions.is_good(token(0).reveal(), at(100)));
        assert!(sessions.is_good(token(1).reveal(), at(100)));
        assert!(!sessions.is_good(token(1).reveal(), at(1).plus(LASTS)));
        sessions.end(token(2).reveal());
        assert!(!sessions.is_good(token(2).reveal(), at(100)));
    }
}
