//! Responses: a body, and the headers every one of them carries.

use axum::body::Body as PageBody;
use bromo_rules::credit::Credits;
use bromo_rules::header;
use bromo_rules::standing::Standing;
use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{Either, Full};

use crate::problem::Failure;

/// A whole body of the API, or a page that may stream.
pub type Body = Either<Full<Bytes>, PageBody>;

/// An answer of the API before its headers.
#[derive(Debug)]
pub(crate) struct Success {
    pub(crate) body: Bytes,
    /// What was charged, and the balance after it.
    pub(crate) credits: Option<(Credits, Credits)>,
}

impl Success {
    pub(crate) fn json(value: &impl serde::Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("writing to memory cannot fail").into();
        Self { body, credits: None }
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

const REQUEST_ID: HeaderName = HeaderName::from_static(header::REQUEST_ID);
const LATENCY_MS: HeaderName = HeaderName::from_static(header::LATENCY_MS);
const CREDITS_CHARGED: HeaderName = HeaderName::from_static(header::CREDITS_CHARGED);
const CREDITS_REMAINING: HeaderName = HeaderName::from_static(header::CREDITS_REMAINING);

/// Bytes that most numbers fit in.
const NUMBER_BYTES: usize = 8;
/// Headers of the fullest response; reserved at once.
const HEADERS: usize = 16;

pub(crate) fn success(success: Success, standing: Option<&Standing>) -> Response<Body> {
    let mut response = json(StatusCode::OK, success.body, standing);
    if let Some((charged, remaining)) = success.credits {
        let headers = response.headers_mut();
        let [charged, remaining] = numbers([charged.get(), remaining.get()]);
        headers.insert(CREDITS_CHARGED, charged);
        headers.insert(CREDITS_REMAINING, remaining);
    }
    response
}

pub(crate) fn failure(failure: &Failure, body: Vec<u8>, standing: Option<&Standing>) -> Response<Body> {
    let status = StatusCode::from_u16(failure.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, body.into(), standing);
    if let Some(seconds) = failure.retry_after_s {
        response.headers_mut().insert(RETRY_AFTER, number(seconds.into()));
    }
    response
}

/// The two headers of every response, pages included.
pub(crate) fn stamp(headers: &mut HeaderMap, request_id: &str, latency_ms: u128) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(LATENCY_MS, number(i64::try_from(latency_ms).unwrap_or(i64::MAX)));
}

fn json(status: StatusCode, body: Bytes, standing: Option<&Standing>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, NO_STORE);
    if let Some(standing) = standing {
        let limits = header::limits(standing);
        let values = numbers(limits.map(|(_, value)| value.into()));
        for ((name, _), value) in limits.into_iter().zip(values) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// Several numbers for one allocation: they are slices of one text. Every response carries ten.
fn numbers<const N: usize>(values: [i64; N]) -> [HeaderValue; N] {
    let mut text = BytesMut::with_capacity(N * NUMBER_BYTES);
    let ends = values.map(|value| {
        text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        text.len()
    });
    let text = text.freeze();
    std::array::from_fn(|index| {
        let start = if index == 0 { 0 } else { ends[index - 1] };
        HeaderValue::from_maybe_shared(text.slice(start..ends[index]))
            .unwrap_or_else(|_| number(values[index]))
    })
}

fn number(value: i64) -> HeaderValue {
    HeaderValue::from(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_share_a_text_are_each_their_own() {
        let values = [0, 7, 1_000_000, i64::MAX, 3];
        let texts = numbers(values).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(texts, values.map(|value| value.to_string()));
    }
}
