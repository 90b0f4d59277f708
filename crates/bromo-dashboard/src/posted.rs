//! Forms that were sent: who sent them, that they are ours, and that their sender may do what they do. A handler that
//! takes a [`Posted`] cannot forget any of it.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use bromo_rules::egress::Egress;
use bromo_rules::member::Act;
use http::HeaderMap;
use http::header::{HOST, ORIGIN};

use crate::error::PageError;
use crate::form::Form;
use crate::visitor::{self, Visitor};
use crate::{Dashboard, cookie};

/// How much of a form is read, and for how long.
#[derive(Clone, Copy)]
pub(crate) struct FormLimits {
    bytes_max: usize,
    timeout: Duration,
}

/// Of somebody who is signed in.
pub(crate) const OURS: FormLimits = FormLimits { bytes_max: 128 * 1024, timeout: Duration::from_secs(30) };
/// Of anybody.
pub(crate) const ANYBODYS: FormLimits = FormLimits { bytes_max: 4096, timeout: Duration::from_secs(5) };
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
        let place = dashboard.bounds.form().map_err(IntoResponse::into_response)?;
        let public = Some(dashboard.settings.public_url.as_str());
        let form = read(&parts.headers, public, body, &visitor.token, OURS)
            .await
            .map_err(IntoResponse::into_response)?;
        drop(place);
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
    /// The network it came from; none where that is a proxy's, which all come from.
    pub(crate) peer: Option<IpAddr>,
}

impl FromRequest<Dashboard> for Knock {
    type Rejection = Response;

    async fn from_request(request: Request, dashboard: &Dashboard) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let place = dashboard.bounds.form().map_err(IntoResponse::into_response)?;
        let cookie = cookie::read(&parts.headers, cookie::FORM).unwrap_or_default().to_owned();
        let public = Some(dashboard.settings.public_url.as_str());
        let form = read(&parts.headers, public, body, &cookie, ANYBODYS)
            .await
            .map_err(IntoResponse::into_response)?;
        drop(place);
        let peer = parts
            .extensions
            .get::<IpAddr>()
            .copied()
            .filter(|address| Egress::default().judge(*address).is_ok());
        Ok(Self { form, headers: parts.headers, peer })
    }
}

/// Reads a form and makes sure that a page of ours sent it. `public` is the address that people come by, where a proxy
/// stands before this program.
pub(crate) async fn read(
    headers: &HeaderMap,
    public: Option<&str>,
    body: axum::body::Body,
    cookie: &str,
    limits: FormLimits,
) -> Result<Form, PageError> {
    // Without its cookie no form is ours, whatever it holds.
    if cookie.is_empty() || !is_same_origin(headers, public) {
        return Err(PageError::NotOurs);
    }
    let reading = axum::body::to_bytes(body, limits.bytes_max);
    let bytes = match tokio::time::timeout(limits.timeout, reading).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(PageError::FormTooLarge { bytes_max: limits.bytes_max }),
        Err(_) => return Err(PageError::FormTooSlow),
    };
    let form = Form::parse(&bytes);
    if visitor::is_ours(cookie, form.raw(TOKEN)) { Ok(form) } else { Err(PageError::NotOurs) }
}

/// What browsers say of where a form comes from; the token decides where they say nothing.
fn is_same_origin(headers: &HeaderMap, public: Option<&str>) -> bool {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let site = text(http::HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return false;
    }
    let Some(origin) = text(ORIGIN) else { return true };
    let host = |url: &str| {
        url.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default().to_owned())
    };
    let from = host(origin);
    // A proxy may not pass the host on that people see.
    from.is_some() && (from.as_deref() == text(HOST) || from == public.and_then(host))
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
        assert!(is_same_origin(&headers(&[("host", "a:1"), ("origin", "http://a:1")]), None));
        assert!(!is_same_origin(&headers(&[("host", "a:1"), ("origin", "http://b:1")]), Some("https://c/")));
        assert!(!is_same_origin(&headers(&[("host", "a:1"), ("origin", "null")]), None));
        assert!(!is_same_origin(&headers(&[("sec-fetch-site", "cross-site")]), None));
    }
}
