//! Which addresses a delivery may be sent to. Judges addresses and URLs; looks up no name and opens no connection.

mod network;
mod special;
mod url;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use network::{Network, NetworkError};
pub use url::{UrlError, WebhookUrl};

/// What the operator permits. The default: every address of the public internet, on any port.
///
/// Source: docs/webhooks.md#addresses
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Egress {
    /// Networks that may be called although they are not public.
    pub allow: Vec<Network>,
    /// The only ports that may be called; none: any.
    pub ports: Option<Vec<u16>>,
}

/// An address that is not called, and the block that it lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forbidden {
    /// The address.
    pub ip: IpAddr,
    /// The block.
    pub network: Network,
    /// The block's name in the registry it comes from.
    pub name: &'static str,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not called: {} is {}", self.ip, self.network, self.name)
    }
}

impl std::error::Error for Forbidden {}

impl Egress {
    /// Whether this address may be called.
    ///
    /// What the registries of IANA do not list as globally reachable is refused, and so is all of IPv6 outside
    /// `2000::/3`, unless a network in [`Egress::allow`] contains it. Three kinds are judged more strictly:
    ///
    /// - An IPv4-mapped address (`::ffff:0:0/96`) is called only if the IPv4 address inside is in an allowed network:
    ///   the system would connect to that one, and nobody has a reason to write it so.
    /// - A NAT64 address (`64:ff9b::/96`) in an allowed network is called only if the IPv4 address inside may be: on a
    ///   host with IPv6 alone every IPv4 receiver looks like this, and private ones would too.
    /// - The address of a cloud's metadata service is called only if it is allowed by itself, as `169.254.169.254/32`,
    ///   since behind it lie the machine's credentials.
    ///
    /// # Errors
    /// [`Forbidden`], with the narrowest reason.
    ///
    /// Source: docs/webhooks.md#addresses
    pub fn judge(&self, ip: IpAddr) -> Result<(), Forbidden> {
        if let IpAddr::V6(v6) = ip {
            if let Some(v4) = v6.to_ipv4_mapped() {
                if self.allows(v4.into()) {
                    return Ok(());
                }
                return Err(Forbidden { ip, ..special::find(v4.into()).unwrap_or(special::mapped(ip)) });
            }
            if special::NAT64.contains(ip) && self.allows(ip) {
                return self.judge(last_32_bits(v6).into()).map_err(|inner| Forbidden { ip, ..inner });
            }
        }
        match special::find(ip) {
            Some(forbidden) if !self.allows(ip) => Err(forbidden),
            _ => Ok(()),
        }
    }

    /// Whether this port may be called. Port 0 never: nobody can listen there.
    ///
    /// Source: docs/webhooks.md#addresses
    pub fn permits_port(&self, port: u16) -> bool {
        port != 0 && self.ports.as_ref().is_none_or(|ports| ports.contains(&port))
    }

    /// Whether names that mean this machine may be called.
    fn allows_loopback(&self) -> bool {
        self.allows(Ipv4Addr::LOCALHOST.into()) || self.allows(Ipv6Addr::LOCALHOST.into())
    }

    fn allows(&self, ip: IpAddr) -> bool {
        self.allow
            .iter()
            .any(|network| network.contains(ip) && (network.is_one_address() || !special::is_metadata(ip)))
    }
}

fn last_32_bits(ip: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = ip.octets();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests;
