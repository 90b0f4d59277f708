//! A webhook's address: read when a task is created, and again before every attempt.

use std::fmt;

use url::{Host, Url};

use super::{Egress, Forbidden};
use crate::task::WEBHOOK_BYTES_MAX;

/// An address that may be called as far as can be told without looking its name up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

/// What is wrong with a webhook's address, in words for the customer that follow the name of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Longer than [`WEBHOOK_BYTES_MAX`], as it came or with everything escaped that must be.
    #[error("must have at most {WEBHOOK_BYTES_MAX} bytes")]
    TooLong,
    /// Not a URL, or of another scheme.
    #[error("must be an absolute http or https URL")]
    NotHttp,
    /// It carries a user name or a password.
    #[error("must not carry a user name or a password")]
    Credentials,
    /// The operator does not permit its port.
    #[error("must not use port {port}")]
    Port {
        /// As written, or that of the scheme.
        port: u16,
    },
    /// Its host is a name for the machine that would call it.
    #[error("must not point to {host}, which is this machine")]
    ThisMachine {
        /// The name.
        host: String,
    },
    /// Its host is an address that is not called.
    #[error("must not point to {}, which lies in {} ({})", .0.ip, .0.network, .0.name)]
    Forbidden(#[source] Forbidden),
}

impl WebhookUrl {
    /// What is called: as it came, but normalised as every web client does it, and without a fragment.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The host, and the port whether it was written or not: what deliveries to one receiver have in common.
    pub fn authority(&self) -> String {
        let port = self.0.port_or_known_default().unwrap_or(0);
        format!("{}:{port}", self.0.host_str().unwrap_or_default())
    }

    /// Its parts.
    pub const fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Egress {
    /// Reads a webhook's address. A literal IP address is judged, however it is spelled (`2130706433`, `0x7f.1`,
    /// `[::1]`); a name only if it means this machine by definition. What any other name stands for is judged when
    /// it is called.
    ///
    /// # Errors
    /// [`UrlError`], whose text is for the customer.
    ///
    /// Source: docs/webhooks.md#addresses
    pub fn check_url(&self, text: &str) -> Result<WebhookUrl, UrlError> {
        if text.len() > WEBHOOK_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        // The parser drops some of these: what is called shall be what was written.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(UrlError::NotHttp);
        }
        let mut url = Url::parse(text).map_err(|_| UrlError::NotHttp)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::NotHttp);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        let port = url.port_or_known_default().ok_or(UrlError::NotHttp)?;
        if !self.permits_port(port) {
            return Err(UrlError::Port { port });
        }
        match url.host() {
            None => return Err(UrlError::NotHttp),
            Some(Host::Ipv4(ip)) => self.judge(ip.into()).map_err(UrlError::Forbidden)?,
            Some(Host::Ipv6(ip)) => self.judge(ip.into()).map_err(UrlError::Forbidden)?,
            Some(Host::Domain(host)) if means_this_machine(host) && !self.allows_loopback() => {
                return Err(UrlError::ThisMachine { host: host.to_owned() });
            }
            Some(Host::Domain(_)) => {}
        }
        url.set_fragment(None);
        if url.as_str().len() > WEBHOOK_BYTES_MAX { Err(UrlError::TooLong) } else { Ok(WebhookUrl(url)) }
    }
}

/// `localhost` and all below it (RFC 6761). The parser has lowered the case.
fn means_this_machine(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.strip_suffix("localhost").is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
