use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn allowing(networks: &[&str]) -> Egress {
    Egress { allow: networks.iter().map(|text| text.parse().unwrap()).collect(), ports: None }
}

/// The address `by` places further on.
fn beside(ip: IpAddr, by: i8) -> Option<IpAddr> {
    let by = i128::from(by);
    match ip {
        IpAddr::V4(ip) => {
            let bits = u32::try_from(i128::from(ip.to_bits()) + by).ok()?;
            Some(Ipv4Addr::from_bits(bits).into())
        }
        IpAddr::V6(ip) => ip.to_bits().checked_add_signed(by).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

/// What is refused, with its first and last address, and whether what lies before and behind may be called.
/// Written by hand from the registries, apart from the table in the code.
const REFUSED: [(&str, &str, &str, bool, bool); 51] = [
    ("This network", "0.0.0.0", "0.255.255.255", false, true),
    ("Private-Use", "10.0.0.0", "10.255.255.255", true, true),
    ("Shared Address Space", "100.64.0.0", "100.127.255.255", true, true),
    ("Loopback", "127.0.0.0", "127.255.255.255", true, true),
    ("Link Local", "169.254.0.0", "169.254.255.255", true, true),
    ("Private-Use", "172.16.0.0", "172.31.255.255", true, true),
    ("IETF Protocol Assignments", "192.0.0.0", "192.0.0.255", true, true),
    ("Documentation (TEST-NET-1)", "192.0.2.0", "192.0.2.255", true, true),
    ("Deprecated (6to4 Relay Anycast)", "192.88.99.0", "192.88.99.255", true, true),
    ("Private-Use", "192.168.0.0", "192.168.255.255", true, true),
    ("Benchmarking", "198.18.0.0", "198.19.255.255", true, true),
    ("Documentation (TEST-NET-2)", "198.51.100.0", "198.51.100.255", true, true),
    ("Documentation (TEST-NET-3)", "203.0.113.0", "203.0.113.255", true, true),
    ("Multicast", "224.0.0.0", "239.255.255.255", true, false),
    ("Reserved", "240.0.0.0", "255.255.255.254", false, false),
    ("Limited Broadcast", "255.255.255.255", "255.255.255.255", false, false),
    ("a cloud's metadata service", "169.254.169.254", "169.254.169.254", false, false),
    ("a cloud's metadata service", "169.254.170.2", "169.254.170.2", false, false),
    ("a cloud's metadata service", "169.254.170.23", "169.254.170.23", false, false),
    ("a cloud's metadata service", "169.254.0.23", "169.254.0.23", false, false),
    ("a cloud's metadata service", "169.254.42.42", "169.254.42.42", false, false),
    ("a cloud's metadata service", "100.100.100.200", "100.100.100.200", false, false),
    ("a cloud's metadata service", "192.0.0.192", "192.0.0.192", false, false),
    ("a cloud's metadata service", "168.63.129.16", "168.63.129.16", true, true),
    ("a cloud's metadata service", "fd00:ec2::254", "fd00:ec2::254", false, false),
    ("a cloud's metadata service", "fd00:ec2::23", "fd00:ec2::23", false, false),
    ("a cloud's metadata service", "fd20:ce::254", "fd20:ce::254", false, false),
    ("a cloud's metadata service", "fd00:42::42", "fd00:42::42", false, false),
    ("a cloud's metadata service", "fd00:c1::a9fe:a9fe", "fd00:c1::a9fe:a9fe", false, false),
    ("Unspecified Address", "::", "::", false, false),
    ("Loopback Address", "::1", "::1", false, false),
    ("Deprecated (IPv4-compatible Address)", "::2", "::ffff:ffff", false, false),
    ("IPv4-IPv6 Translat.", "64:ff9b::", "64:ff9b::ffff:ffff", false, false),
    ("IPv4-IPv6 Translat.", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", false, false),
    ("Discard-Only Address Block", "100::", "100::ffff:ffff:ffff:ffff", false, false),
    ("Dummy IPv6 Prefix", "100:0:0:1::", "100::1:ffff:ffff:ffff:ffff", false, false),
    ("Reserved by IETF", "1000::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false, true),
    ("TEREDO", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", true, false),
    ("Benchmarking", "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", false, false),
    ("Deprecated (previously ORCHID)", "2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", false, false),
    ("ORCHIDv2", "2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", false, false),
    ("IETF Protocol Assignments", "2001:30::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", false, true),
    ("Documentation", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true, true),
    ("6to4", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true, true),
    ("Documentation", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", true, true),
    ("Reserved by IETF", "4000::", "4000::", true, false),
    ("Segment Routing (SRv6) SIDs", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false, false),
    ("Unique-Local", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false, false),
    ("Link-Local Unicast", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false, false),
    ("Deprecated (Site-Local Unicast)", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false, false),
    ("Multicast", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false, false),
];

fn is_refused(ip: IpAddr) -> bool {
    REFUSED.iter().any(|(_, first, last, ..)| (self::ip(first)..=self::ip(last)).contains(&ip))
}

#[test]
fn every_special_block_is_refused_from_its_first_to_its_last_address_and_no_further() {
    let egress = Egress::default();
    for (name, first, last, before, behind) in REFUSED {
        let (first, last) = (ip(first), ip(last));
        for ip in [first, last] {
            let forbidden = egress.judge(ip).unwrap_err();
            assert_eq!((forbidden.ip, forbidden.name), (ip, name));
            assert!(forbidden.network.contains(ip), "{forbidden}");
        }
        for (neighbour, is_public) in [(beside(first, -1), before), (beside(last, 1), behind)] {
            let judged = neighbour.map(|ip| egress.judge(ip));
            assert_eq!(judged.is_some_and(|judged| judged.is_ok()), is_public, "beside {name}: {judged:?}");
        }
    }
}

#[test]
fn every_block_of_the_table_begins_with_its_first_address() {
    // A mapped network would be read as one of IPv4.
    for (network, name) in special::all().filter(|(_, name)| *name != "IPv4-mapped Address") {
        assert_eq!(network.to_string().parse(), Ok(network), "{name}");
    }
}

#[test]
fn well_known_public_addresses_are_called() {
    for text in
        ["1.1.1.1", "8.8.8.8", "93.184.216.34", "192.175.48.1", "2606:4700:4700::1111", "2a00:1450::1"]
    {
        assert_eq!(Egress::default().judge(ip(text)), Ok(()), "{text}");
    }
}

#[test]
fn an_allowed_network_is_called_and_its_neighbours_are_not() {
    let egress = allowing(&["10.1.0.0/16", "fd12::/16", "127.0.0.1"]);
    for text in ["10.1.0.0", "10.1.255.255", "fd12::", "fd12:ffff::1", "127.0.0.1"] {
        assert_eq!(egress.judge(ip(text)), Ok(()), "{text}");
    }
    for text in ["10.0.255.255", "10.2.0.0", "fd11:ffff::1", "fd13::", "127.0.0.2", "::1"] {
        assert!(egress.judge(ip(text)).is_err(), "{text}");
    }
}

#[test]
fn a_mapped_address_is_called_only_where_the_one_inside_is_allowed() {
    let egress = allowing(&["127.0.0.0/8"]);
    assert_eq!(egress.judge(ip("::ffff:127.0.0.1")), Ok(()));
    let forbidden = egress.judge(ip("::ffff:10.0.0.1")).unwrap_err();
    assert_eq!(forbidden.to_string(), "::ffff:10.0.0.1 is not called: 10.0.0.0/8 is Private-Use");
    let forbidden = egress.judge(ip("::ffff:1.1.1.1")).unwrap_err();
    assert_eq!(
        forbidden.to_string(),
        "::ffff:1.1.1.1 is not called: ::ffff:0.0.0.0/96 is IPv4-mapped Address"
    );
    assert!(allowing(&["::/0"]).judge(ip("::ffff:127.0.0.1")).is_err(), "an IPv6 network holds no IPv4");
}

#[test]
fn a_nat64_address_is_called_only_where_both_it_and_the_one_inside_may_be() {
    let (public, private) = (ip("64:ff9b::1.1.1.1"), ip("64:ff9b::10.0.0.1"));
    for (networks, public_ok, private_ok) in [
        (&[][..], false, false),
        (&["10.0.0.0/8"], false, false),
        (&["64:ff9b::/96"], true, false),
        (&["64:ff9b::/96", "10.0.0.0/8"], true, true),
    ] {
        let egress = allowing(networks);
        assert_eq!(egress.judge(public).is_ok(), public_ok, "{networks:?}");
        assert_eq!(egress.judge(private).is_ok(), private_ok, "{networks:?}");
    }
    let forbidden = allowing(&["64:ff9b::/96"]).judge(ip("64:ff9b::169.254.169.254")).unwrap_err();
    assert_eq!((forbidden.ip, forbidden.name), (ip("64:ff9b::a9fe:a9fe"), "a cloud's metadata service"));
}

#[test]
fn metadata_is_called_only_if_it_is_allowed_by_itself() {
    for (text, wide) in [
        ("169.254.169.254", "169.254.0.0/16"),
        ("168.63.129.16", "0.0.0.0/0"),
        ("100.100.100.200", "100.64.0.0/10"),
        ("fd00:ec2::254", "fc00::/7"),
    ] {
        assert!(allowing(&[wide]).judge(ip(text)).is_err(), "{text}");
        assert_eq!(allowing(&[wide, text]).judge(ip(text)), Ok(()), "{text}");
    }
}

#[track_caller]
fn check(egress: &Egress, text: &str, expected: Result<&str, &str>) {
    let checked = egress.check_url(text);
    let checked = checked.as_ref().map(WebhookUrl::as_str).map_err(ToString::to_string);
    assert_eq!(checked, expected.map_err(str::to_owned), "{text}");
}

#[test]
fn a_good_url_is_called_as_it_came() {
    for text in [
        "https://a.example/hook",
        "http://a.example:8080/a%20b?token=x%2Fy&b=+&c=?",
        "https://1.1.1.1/",
        "http://[2606:4700:4700::1111]:81/",
        "https://xn--bcher-kva.example/",
        "https://my-localhost/",
        "https://localhost.example/",
    ] {
        check(&Egress::default(), text, Ok(text));
    }
    for (text, called) in [
        ("https://a.example", "https://a.example/"),
        ("HTTPS://A.Example:443/X", "https://a.example/X"),
        ("https://a.example/x?y=1#part", "https://a.example/x?y=1"),
        ("https://bücher.example/é?ü", "https://xn--bcher-kva.example/%C3%A9?%C3%BC"),
    ] {
        check(&Egress::default(), text, Ok(called));
    }
}

#[test]
fn what_is_not_an_http_url_is_refused() {
    for text in [
        "",
        "/hook",
        "a.example/hook",
        "ftp://a.example/",
        "file:///etc/passwd",
        "http://",
        "https://:80/",
        " https://a.example/",
        "https://a.example/\n",
        "https://a.exa\tmple/",
    ] {
        check(&Egress::default(), text, Err("must be an absolute http or https URL"));
    }
    for text in ["http://u@a.example/", "http://u:p@a.example/", "http://:p@a.example/"] {
        check(&Egress::default(), text, Err("must not carry a user name or a password"));
    }
}

#[test]
fn a_url_has_two_kibibytes_escaped_or_not() {
    let of = |bytes: usize| format!("https://a.example/{}", "x".repeat(bytes - 18));
    check(&Egress::default(), &of(2048), Ok(&of(2048)));
    check(&Egress::default(), &of(2049), Err("must have at most 2048 bytes"));
    check(
        &Egress::default(),
        &format!("https://a.example/{}", "é".repeat(600)),
        Err("must have at most 2048 bytes"),
    );
}

#[test]
fn only_permitted_ports_are_called_and_port_zero_never() {
    let egress = Egress { ports: Some(vec![443, 8443]), ..Egress::default() };
    check(&egress, "https://a.example/", Ok("https://a.example/"));
    check(&egress, "http://a.example:8443/", Ok("http://a.example:8443/"));
    check(&egress, "http://a.example/", Err("must not use port 80"));
    check(&egress, "https://a.example:444/", Err("must not use port 444"));
    check(&Egress::default(), "https://a.example:0/", Err("must not use port 0"));
}

#[test]
fn a_forbidden_address_is_seen_through_every_spelling() {
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "１２７.0.0.1",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "0x7F.0.0.0x1",
    ] {
        let text = format!("http://{host}/");
        check(
            &Egress::default(),
            &text,
            Err("must not point to 127.0.0.1, which lies in 127.0.0.0/8 (Loopback)"),
        );
        check(&allowing(&["127.0.0.0/8"]), &text, Ok("http://127.0.0.1/"));
    }
    for (host, shown) in [
        ("[::1]", "::1, which lies in ::1/128 (Loopback Address)"),
        ("[0:0:0:0:0:0:0:1]", "::1, which lies in ::1/128 (Loopback Address)"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1, which lies in 127.0.0.0/8 (Loopback)"),
        ("[::127.0.0.1]", "::7f00:1, which lies in ::/96 (Deprecated (IPv4-compatible Address))"),
        ("0", "0.0.0.0, which lies in 0.0.0.0/8 (This network)"),
        ("[::]", "::, which lies in ::/128 (Unspecified Address)"),
        ("169.254.169.254", "169.254.169.254, which lies in 169.254.169.254/32 (a cloud's metadata service)"),
        ("[fe80::1]", "fe80::1, which lies in fe80::/10 (Link-Local Unicast)"),
    ] {
        check(&Egress::default(), &format!("http://{host}/"), Err(&format!("must not point to {shown}")));
    }
}

#[test]
fn a_name_for_this_machine_is_called_only_where_loopback_is_allowed() {
    for host in ["localhost", "LOCALHOST", "localhost.", "a.localhost", "a.b.localhost."] {
        let text = format!("http://{host}/");
        let shown = format!("must not point to {}, which is this machine", host.to_lowercase());
        check(&Egress::default(), &text, Err(&shown));
        check(&allowing(&["10.0.0.0/8"]), &text, Err(&shown));
        for network in ["127.0.0.0/8", "::1"] {
            check(&allowing(&[network]), &text, Ok(&text.to_lowercase()));
        }
    }
}

#[test]
fn a_receiver_is_named_by_its_host_and_port() {
    let authority = |text| Egress::default().check_url(text).unwrap().authority();
    assert_eq!(authority("https://A.example/x"), "a.example:443");
    assert_eq!(authority("http://a.example:81/x"), "a.example:81");
    assert_eq!(authority("http://[2606:4700::1]/"), "[2606:4700::1]:80");
}

proptest! {
    #[test]
    fn an_ipv4_address_is_called_unless_it_is_in_a_refused_block(bits: u32) {
        let ip = Ipv4Addr::from_bits(bits);
        let refused = is_refused(ip.into());
        prop_assert_eq!(Egress::default().judge(ip.into()).is_err(), refused);
        let known = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_broadcast()
            || ip.is_documentation() || ip.is_multicast() || ip.is_unspecified();
        prop_assert!(refused || !known);
    }

    #[test]
    fn an_ipv6_address_of_the_global_unicast_space_is_called_unless_it_is_in_a_refused_block(bits: u128) {
        let ip = Ipv6Addr::from_bits(bits >> 3 | 1 << 125);
        let refused = is_refused(ip.into());
        prop_assert_eq!(Egress::default().judge(ip.into()).is_err(), refused);
    }

    #[test]
    fn no_ipv6_address_outside_the_global_unicast_space_is_called(bits: u128) {
        prop_assume!(bits >> 125 != 1);
        prop_assert!(Egress::default().judge(Ipv6Addr::from_bits(bits).into()).is_err());
    }

    #[test]
    fn whatever_is_allowed_no_ipv4_address_hides_in_a_mapped_one(bits: u32) {
        let ip = Ipv4Addr::from_bits(bits);
        let mapped = IpAddr::V6(ip.to_ipv6_mapped());
        prop_assert!(Egress::default().judge(mapped).is_err());
        let egress = allowing(&["128.0.0.0/1", "::/0"]);
        prop_assert!(egress.judge(mapped).is_err() || egress.judge(ip.into()).is_ok());
    }

    #[test]
    fn a_checked_url_is_called_as_it_is_however_often_it_is_checked(text in "https?://[a-z]{1,9}[.a-z0-9]{0,9}(:[0-9]{1,4})?/[ -~é]{0,60}") {
        if let Ok(url) = Egress::default().check_url(&text) {
            prop_assert_eq!(url.url().fragment(), None);
            prop_assert_eq!(Egress::default().check_url(url.as_str()), Ok(url));
        }
    }
}
