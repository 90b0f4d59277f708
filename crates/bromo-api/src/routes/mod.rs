//! One file a topic; each handler is the way itself.

pub(crate) mod answers;
pub(crate) mod goto;
pub(crate) mod reference;
pub(crate) mod tasks;
pub(crate) mod webhooks;

/// A parameter of the query.
pub(crate) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
