//! A block of addresses, written as `10.0.0.0/8` or `fd00::/8`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A block of addresses: all that share its first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    length: u8,
}

/// Why a text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It is neither an address nor an address, a slash and a length.
    #[error("not a network: write it as 10.0.0.0/8, fd00::/8 or one address")]
    Malformed,
    /// Its address has bits behind its length, so it may be a slip.
    #[error("{address} is not the first address of its network: write {meant}")]
    HostBits {
        /// As it was written.
        address: IpAddr,
        /// The network around it.
        meant: Network,
    },
}

impl Network {
    /// A block of IPv4 addresses, for tables: the rest of `first` must be zero.
    pub(super) const fn v4(first: [u8; 4], length: u8) -> Self {
        let [a, b, c, d] = first;
        Self { first: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), length }
    }

    /// A block of IPv6 addresses, for tables: the rest of `first` must be zero.
    pub(super) const fn v6(first: u128, length: u8) -> Self {
        Self { first: IpAddr::V6(Ipv6Addr::from_bits(first)), length }
    }

    /// Whether the address lies in it. An IPv4 address lies in no IPv6 network, nor the other way round.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.first, ip) {
            (IpAddr::V4(first), IpAddr::V4(ip)) => {
                let differ = first.to_bits() ^ ip.to_bits();
                differ.checked_shr(32 - u32::from(self.length)).unwrap_or(0) == 0
            }
            (IpAddr::V6(first), IpAddr::V6(ip)) => {
                let differ = first.to_bits() ^ ip.to_bits();
                differ.checked_shr(128 - u32::from(self.length)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// Whether it is a single address.
    pub const fn is_one_address(&self) -> bool {
        self.length == bits(self.first)
    }

    /// The block of this length around an address.
    fn around(ip: IpAddr, length: u8) -> Self {
        let rest = u32::from(bits(ip) - length);
        let first = match ip {
            IpAddr::V4(ip) => {
                Ipv4Addr::from_bits(ip.to_bits() & u32::MAX.checked_shl(rest).unwrap_or(0)).into()
            }
            IpAddr::V6(ip) => {
                Ipv6Addr::from_bits(ip.to_bits() & u128::MAX.checked_shl(rest).unwrap_or(0)).into()
            }
        };
        Self { first, length }
    }
}

const fn bits(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// `10.0.0.0/8`, `fd00::/8`; a single address needs no length. IPv4-mapped networks become those of IPv4.
impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Malformed)?;
        let length = match length {
            None => bits(address),
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|length| *length <= bits(address))
                .ok_or(NetworkError::Malformed)?,
            Some(_) => return Err(NetworkError::Malformed),
        };
        let (address, length) = match address {
            IpAddr::V6(v6) if length >= 96 => match v6.to_ipv4_mapped() {
                Some(v4) => (v4.into(), length - 96),
                None => (address, length),
            },
            _ => (address, length),
        };
        let meant = Self::around(address, length);
        if meant.first == address { Ok(meant) } else { Err(NetworkError::HostBits { address, meant }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_network_reads_back_what_it_prints() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "::/0", "192.0.2.7/32", "fd00::/8", "::1/128"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_address_alone_is_a_network_of_one() {
        for (text, printed) in [("10.1.2.3", "10.1.2.3/32"), ("fd00::1", "fd00::1/128")] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), printed);
            assert!(network.is_one_address());
        }
        assert!(!"10.0.0.0/8".parse::<Network>().unwrap().is_one_address());
    }

    #[test]
    fn a_mapped_network_is_one_of_ipv4() {
        for (text, printed) in [("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::ffff:127.0.0.1", "127.0.0.1/32")] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_is_not_exactly_a_network_is_refused() {
        for text in [
            "",
            "/",
            "10/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "fd00::/129",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "a.example",
            " ::1",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Malformed), "{text}");
        }
        let error = "10.1.0.0/8".parse::<Network>().unwrap_err();
        assert_eq!(error.to_string(), "10.1.0.0 is not the first address of its network: write 10.0.0.0/8");
    }

    #[test]
    fn the_families_do_not_mix() {
        let contains =
            |network: &str, ip: &str| network.parse::<Network>().unwrap().contains(ip.parse().unwrap());
        assert!(contains("0.0.0.0/0", "255.255.255.255") && contains("::/0", "ffff::"));
        assert!(!contains("0.0.0.0/0", "::1") && !contains("::/0", "127.0.0.1"));
    }

    proptest! {
        #[test]
        fn an_address_lies_in_the_networks_around_it_and_its_opposite_in_none(
            bits: u128,
            length in 1_u8..=128,
        ) {
            let (v6, not_v6) = (Ipv6Addr::from_bits(bits), Ipv6Addr::from_bits(!bits));
            let network = Network::around(v6.into(), length);
            prop_assert!(network.contains(v6.into()) && !network.contains(not_v6.into()));
            let (v4, not_v4) = (Ipv4Addr::from_bits(bits as u32), Ipv4Addr::from_bits(!bits as u32));
            let network = Network::around(v4.into(), length.div_ceil(4));
            prop_assert!(network.contains(v4.into()) && !network.contains(not_v4.into()));
            prop_assert_eq!(network.to_string().parse(), Ok(network));
        }
    }
}
