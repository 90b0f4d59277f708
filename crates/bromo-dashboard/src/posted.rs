//! Forms that were sent: who sent them, that they are ours, and that their sender may do what they do. A handler that
//! takes a [`Posted`] cannot forget any of it.

use std::marker::PhantomData;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use bromo_rules::member::Act;
use http::HeaderMap;
use http::header::{HOST, ORIGIN};

use crate::error::PageError;
use crate::form::Form;
use crate::visitor::{self, Visitor};
use crate::{Dashboard, cookie};

/// Bytes of a form.
const FORM_BYTES_MAX: usize = 128 * 1024;
/// A form must have arrived within this time.
const FORM_TIMEOUT: Duration = Duration::from_secs(30);
/// The field that shows that a form is ours.
const TOKEN: &str = "token";

/// What a form does, as far as roles go.
pub(crate) trait Needs: Send {
    const ACT: Act;
}

/// Only the sender's own things.
pub(crate) struct Look;
/// Keys, tasks, webhooks, questions.
pub(crate) struct Work;
/// Plan and members.
pub(crate) struct Manage;

impl Needs for Look {
    const ACT: Act = Act::Look;
}
impl Needs for Work {
    const ACT: Act = Act::Work;
}
impl Needs for Manage {
    const ACT: Act = Act::Manage;
}

/// A form of somebody who is signed in and may send it.
pub(crate) struct Posted<N> {
    pub(crate) visitor: Visitor,
    pub(crate) form: Form,
    _needs: PhantomData<N>,
}

impl<N: Needs> FromRequest<Dashboard> for Posted<N> {
    type Rejection = Response;

    async fn from_request(request: Request, dashboard: &Dashboard) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, dashboard).await?;
        let form = read(&parts.headers, body, &visitor.token).await.map_err(IntoResponse::into_response)?;
        if !visitor.may(N::ACT) {
            return Err(PageError::Forbidden { act: N::ACT }.into_response());
        }
        Ok(Self { visitor, form, _needs: PhantomData })
    }
}

/// A form of somebody who is not signed in yet.
pub(crate) struct Knock {
    pub(crate) form: Form,
    pub(crate) headers: HeaderMap,
}

impl FromRequest<Dashboard> for Knock {
    type Rejection = Response;

    async fn from_request(request: Request, _: &Dashboard) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let cookie = cookie::read(&parts.headers, cookie::FORM).unwrap_or_default().to_owned();
        let form = read(&parts.headers, body, &cookie).await.map_err(IntoResponse::into_response)?;
        Ok(Self { form, headers: parts.headers })
    }
}

/// Reads a form and makes sure that a page of ours sent it.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: axum::body::Body,
    cookie: &str,
) -> Result<Form, PageError> {
    if !is_same_origin(headers) {
        return Err(PageError::NotOurs);
    }
    let reading = axum::body::to_bytes(body, FORM_BYTES_MAX);
    let bytes = match tokio::time::timeout(FORM_TIMEOUT, reading).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(PageError::FormTooLarge { bytes_max: FORM_BYTES_MAX }),
        Err(_) => return Err(PageError::FormTooSlow),
    };
    let form = Form::parse(&bytes);
    if visitor::is_ours(cookie, form.raw(TOKEN)) { Ok(form) } else { Err(PageError::NotOurs) }
}

/// What browsers say of where a form comes from; the token below decides where they say nothing.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let site = text(http::HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return false;
    }
    match (text(ORIGIN), text(HOST)) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, of)| of == host),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &'static str)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
        };
        pairs.iter().map(header).collect()
    }

    #[test]
    fn a_form_of_another_site_is_refused_before_its_token_is_looked_at() {
        assert!(is_same_origin(&headers(&[("host", "a:1"), ("origin", "http://a:1")])));
        assert!(!is_same_origin(&headers(&[("host", "a:1"), ("origin", "http://b:1")])));
        assert!(!is_same_origin(&headers(&[("host", "a:1"), ("origin", "null")])));
        assert!(!is_same_origin(&headers(&[("sec-fetch-site", "cross-site")])));
    }
}
