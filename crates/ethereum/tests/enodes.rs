//! enode addresses: every form, and what is said about those that are none.

use std::net::IpAddr;

use peerage_ethereum::PeerId;
use peerage_ethereum::enode::{Enode, EnodeError, Host};
use proptest::prelude::*;

const KEY: &str = "6f8a80d14311c39f35f516fa664deaaaa13e85b2f7493f37f6144d86991ec012937307647bd3b9a82abe2974e1407241d54947bbb39763a4cac9f77166ad92a0";

fn parse(rest: &str) -> Result<Enode, EnodeError> {
    format!("enode://{KEY}@{rest}").parse()
}

#[test]
fn every_form_is_read_and_written_alike() {
    for (rest, host, tcp_port, udp_port) in [
        ("10.3.58.6:30303?discport=30301", "10.3.58.6", 30303, 30301),
        ("10.3.58.6:30303", "10.3.58.6", 30303, 30303),
        ("10.3.58.6:1?discport=0", "10.3.58.6", 1, 0),
        (
            "[2001:db8:3c4d:15::abcd:ef12]:52150",
            "[2001:db8:3c4d:15::abcd:ef12]",
            52150,
            52150,
        ),
        (
            "boot-1.node_x.example.org:30303",
            "boot-1.node_x.example.org",
            30303,
            30303,
        ),
    ] {
        let enode = parse(rest).unwrap();
        assert_eq!(enode.id.to_string(), KEY);
        assert_eq!(enode.host.to_string(), host);
        assert_eq!((enode.tcp_port, enode.udp_port), (tcp_port, udp_port));
        assert_eq!(enode.to_string(), format!("enode://{KEY}@{rest}"));
    }
    let upper = KEY.to_uppercase();
    let shouted: Enode = format!("enode://{upper}@EXAMPLE.org:1").parse().unwrap();
    assert_eq!(shouted, parse("example.org:1").unwrap());
}

#[test]
fn what_is_none_is_told_what_is_wrong() {
    use EnodeError as E;
    for (rest, expected) in [
        ("10.3.58.6", E::NoPort),
        ("10.3.58.6:", E::Port),
        ("10.3.58.6:0", E::Port),
        ("10.3.58.6:65536", E::Port),
        ("10.3.58.6:+1", E::Port),
        ("10.3.58.6:x", E::Port),
        (":30303", E::NoHost),
        ("", E::NoHost),
        ("2001:db8::1:30303", E::Brackets),
        ("[2001:db8::1:30303", E::Brackets),
        ("[2001:db8::1]30303", E::Brackets),
        ("[2001:db8::1]", E::NoPort),
        ("[10.3.58.6]:1", E::Brackets),
        ("10.3.58.256:1", E::Host),
        ("10.3.58:1", E::Host),
        ("a..b:1", E::Host),
        ("a b:1", E::Host),
        ("a/b:1", E::Host),
        ("h:1?discport=65536", E::DiscPort),
        ("h:1?discport=", E::DiscPort),
        ("h:1?port=1", E::Query),
        ("h:1?", E::Query),
    ] {
        assert_eq!(parse(rest), Err(expected), "{rest}");
    }
    let whole = |text: &str| text.parse::<Enode>().unwrap_err();
    assert_eq!(whole("http://x"), E::Scheme);
    assert_eq!(whole("enode://10.3.58.6:30303"), E::NoKey);
    assert_eq!(
        whole(&format!("enode://{}@h:1", &KEY[1..])),
        E::KeyLen { digits: 127 }
    );
    assert_eq!(
        whole(&format!("enode://{KEY}0@h:1")),
        E::KeyLen { digits: 129 }
    );
    assert_eq!(
        whole(&format!("enode://x{}@h:1", &KEY[1..])),
        E::KeyDigit { at: 1 }
    );
    assert_eq!(
        whole(&format!("enode://\u{e9}{KEY}@h:1")),
        E::KeyDigit { at: 1 }
    );
    let long = parse(&format!("{}:1", "a.".repeat(300))).unwrap_err();
    assert!(matches!(long, E::TooLong { .. }));
    assert_eq!(parse(&format!("{}:1", "a".repeat(64))), Err(E::Host));
}

prop_compose! {
    fn enodes()(
        key: [u8; 32],
        host in prop_oneof![
            any::<IpAddr>().prop_map(Host::Ip),
            "([a-z0-9_-]{1,10}\\.){0,4}[a-z][a-z0-9-]{0,9}".prop_map(|name| Host::Name(name.into())),
        ],
        tcp_port in 1..=u16::MAX,
        udp_port: u16,
    ) -> Enode {
        Enode { id: PeerId([key, key].concat().try_into().unwrap()), host, tcp_port, udp_port }
    }
}

proptest! {
    #[test]
    fn any_address_survives_being_written(enode in enodes()) {
        prop_assert_eq!(enode.to_string().parse::<Enode>().unwrap(), enode);
    }

    #[test]
    fn any_text_is_an_address_or_an_error(text in "(enode://)?[0-9a-f]{0,3}@?\\PC{0,30}", rest in "\\PC{0,40}") {
        let _refused = text.parse::<Enode>();
        let _refused = parse(&rest);
    }
}
