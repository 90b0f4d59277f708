//! Which line of the outbox a webhook's address belongs to.

use std::sync::Arc;

use url::Url;

/// Host and port. Addresses were validated when their task was accepted; one that cannot be read all the same gets a
/// line of its own.
pub(crate) fn host(webhook: &str) -> Arc<str> {
    let parsed = Url::parse(webhook).ok();
    let host = parsed.as_ref().and_then(|url| {
        let port = url.port_or_known_default()?;
        Some(format!("{}:{port}", url.host_str()?))
    });
    host.as_deref().unwrap_or(webhook).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(webhook: &str, expected: &str) {
        assert_eq!(&*host(webhook), expected);
    }

    #[test]
    fn the_line_of_an_address_is_its_host_and_port() {
        check("https://Example.com/hook?token=1", "example.com:443");
        check("http://user:secret@example.com/", "example.com:80");
        check("http://127.0.0.1:9000/a", "127.0.0.1:9000");
        check("https://[::1]/", "[::1]:443");
        check("nonsense", "nonsense");
    }
}
