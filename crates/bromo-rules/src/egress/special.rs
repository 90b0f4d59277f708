//! Blocks that are not the public internet: IANA's special-purpose registries and its address space registries, the
//! ranges they have retired, and the addresses where clouds keep their metadata.

use std::net::IpAddr;

use super::{Forbidden, Network};

/// IPv4 inside IPv6 by the well-known prefix (RFC 6052).
pub(super) const NAT64: Network = Network::v6(0x0064_ff9b << 96, 96);
const MAPPED: Network = Network::v6(0xffff << 32, 96);

/// Where clouds answer their machines with credentials. Most lie in blocks that are refused anyway; they stand here
/// so that allowing such a block does not open them.
const METADATA: [(Network, &str); 13] = [
    (Network::v4([169, 254, 169, 254], 32), METADATA_NAME),
    (Network::v4([169, 254, 170, 2], 32), METADATA_NAME),
    (Network::v4([169, 254, 170, 23], 32), METADATA_NAME),
    (Network::v4([169, 254, 0, 23], 32), METADATA_NAME),
    (Network::v4([169, 254, 42, 42], 32), METADATA_NAME),
    (Network::v4([100, 100, 100, 200], 32), METADATA_NAME),
    (Network::v4([192, 0, 0, 192], 32), METADATA_NAME),
    // Looks like any public address.
    (Network::v4([168, 63, 129, 16], 32), METADATA_NAME),
    (Network::v6(0xfd00_0ec2 << 96 | 0x254, 128), METADATA_NAME),
    (Network::v6(0xfd00_0ec2 << 96 | 0x23, 128), METADATA_NAME),
    (Network::v6(0xfd20_00ce << 96 | 0x254, 128), METADATA_NAME),
    (Network::v6(0xfd00_0042 << 96 | 0x42, 128), METADATA_NAME),
    (Network::v6(0xfd00_00c1 << 96 | 0xa9fe_a9fe, 128), METADATA_NAME),
];

const METADATA_NAME: &str = "a cloud's metadata service";

/// Narrower blocks stand before those around them.
const SPECIAL_V4: [(Network, &str); 16] = [
    (Network::v4([0, 0, 0, 0], 8), "This network"),
    (Network::v4([10, 0, 0, 0], 8), "Private-Use"),
    (Network::v4([100, 64, 0, 0], 10), "Shared Address Space"),
    (Network::v4([127, 0, 0, 0], 8), "Loopback"),
    (Network::v4([169, 254, 0, 0], 16), "Link Local"),
    (Network::v4([172, 16, 0, 0], 12), "Private-Use"),
    // Two anycast addresses inside are global; what answers there is a port mapper and a relay.
    (Network::v4([192, 0, 0, 0], 24), "IETF Protocol Assignments"),
    (Network::v4([192, 0, 2, 0], 24), "Documentation (TEST-NET-1)"),
    (Network::v4([192, 88, 99, 0], 24), "Deprecated (6to4 Relay Anycast)"),
    (Network::v4([192, 168, 0, 0], 16), "Private-Use"),
    (Network::v4([198, 18, 0, 0], 15), "Benchmarking"),
    (Network::v4([198, 51, 100, 0], 24), "Documentation (TEST-NET-2)"),
    (Network::v4([203, 0, 113, 0], 24), "Documentation (TEST-NET-3)"),
    (Network::v4([224, 0, 0, 0], 4), "Multicast"),
    (Network::v4([255, 255, 255, 255], 32), "Limited Broadcast"),
    (Network::v4([240, 0, 0, 0], 4), "Reserved"),
];

/// Narrower blocks stand before those around them.
const SPECIAL_V6: [(Network, &str); 24] = [
    (Network::v6(0, 128), "Unspecified Address"),
    (Network::v6(1, 128), "Loopback Address"),
    (Network::v6(0, 96), "Deprecated (IPv4-compatible Address)"),
    (MAPPED, "IPv4-mapped Address"),
    (NAT64, "IPv4-IPv6 Translat."),
    (Network::v6(0x0064_ff9b_0001 << 80, 48), "IPv4-IPv6 Translat."),
    (Network::v6(0x0100 << 112, 64), "Discard-Only Address Block"),
    (Network::v6(0x0100_0000_0000_0001 << 64, 64), "Dummy IPv6 Prefix"),
    (Network::v6(0x2001_0000 << 96, 32), "TEREDO"),
    (Network::v6(0x2001_0002 << 96, 48), "Benchmarking"),
    (Network::v6(0x2001_0010 << 96, 28), "Deprecated (previously ORCHID)"),
    (Network::v6(0x2001_0020 << 96, 28), "ORCHIDv2"),
    // A few blocks inside are global; no web server is to be met in them.
    (Network::v6(0x2001_0000 << 96, 23), "IETF Protocol Assignments"),
    (Network::v6(0x2001_0db8 << 96, 32), "Documentation"),
    (Network::v6(0x2002 << 112, 16), "6to4"),
    (Network::v6(0x3fff << 112, 20), "Documentation"),
    (Network::v6(0x5f00 << 112, 16), "Segment Routing (SRv6) SIDs"),
    (Network::v6(0xfc00 << 112, 7), "Unique-Local"),
    (Network::v6(0xfe80 << 112, 10), "Link-Local Unicast"),
    (Network::v6(0xfec0 << 112, 10), "Deprecated (Site-Local Unicast)"),
    (Network::v6(0xff00 << 112, 8), "Multicast"),
    // All that is not 2000::/3 is kept for a purpose that does not exist yet.
    (Network::v6(0, 3), "Reserved by IETF"),
    (Network::v6(0x4000 << 112, 2), "Reserved by IETF"),
    (Network::v6(0x8000 << 112, 1), "Reserved by IETF"),
];

/// The first block that contains the address, if it is not one of the public internet.
pub(super) fn find(ip: IpAddr) -> Option<Forbidden> {
    let special: &[_] = if ip.is_ipv4() { &SPECIAL_V4 } else { &SPECIAL_V6 };
    let (network, name) = METADATA.iter().chain(special).find(|(network, _)| network.contains(ip))?;
    Some(Forbidden { ip, network: *network, name })
}

/// Why a mapped address is refused whose inner one is public.
pub(super) const fn mapped(ip: IpAddr) -> Forbidden {
    Forbidden { ip, network: MAPPED, name: "IPv4-mapped Address" }
}

pub(super) fn is_metadata(ip: IpAddr) -> bool {
    METADATA.iter().any(|(network, _)| network.contains(ip))
}

#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = (Network, &'static str)> {
    METADATA.into_iter().chain(SPECIAL_V4).chain(SPECIAL_V6)
}
