//! Cookies: what a browser sent, and what it is told to keep.

use http::header::{COOKIE, HeaderValue, SET_COOKIE};
use http::{HeaderMap, Response};

/// Who is signed in.
pub(crate) const SESSION: &str = "bromo_session";
/// What forms before signing in are tied to.
pub(crate) const FORM: &str = "bromo_form";
/// `light` or `dark`; else the system's.
pub(crate) const THEME: &str = "theme";
/// A time zone's name; else UTC.
pub(crate) const ZONE: &str = "zone";

/// The value of a cookie.
pub(crate) fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(found, value)| (found == name).then_some(value))
}

/// Has the browser keep a secret until it is closed or, with `seconds`, for so long. No script sees it, and no other
/// site's form carries it.
pub(crate) fn keep<B>(
    response: &mut Response<B>,
    name: &str,
    value: &str,
    secure: bool,
    seconds: Option<u64>,
) {
    let age = seconds.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// Has the browser forget it.
pub(crate) fn forget<B>(response: &mut Response<B>, name: &str, secure: bool) {
    keep(response, name, "", secure, Some(0));
}
