//! How people write the address of a peer.

use peerage_ethereum::enode::{Enode, Host as EnodeHost};
use peerage_ethereum::table::NETWORK;
use peerage_net::{Host, Target};

use crate::destination::{AddressError, Destination, PeerKey};

const SCHEME: &str = "enode://";

/// Reads an enode address, with or without its scheme. Nobody can be dialled without its key.
pub(super) fn destination(text: &str, default_port: u16) -> Result<Destination, AddressError> {
    if let Some((got, rest)) = text.split_once("://")
        && !text.starts_with(SCHEME)
    {
        return Err(AddressError::OtherScheme {
            got: format!("{got}://").as_str().into(),
            network: NETWORK,
            expected: of(rest),
        });
    }
    let bare = text.strip_prefix(SCHEME).unwrap_or(text);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let Some((_, place)) = bare.split_once('@') else {
        return Err(AddressError::NoKey {
            network: NETWORK,
            expected: of(bare),
        });
    };
    // The port may be missing, as on every network.
    let without_port = if place.starts_with('[') {
        place.ends_with(']')
    } else {
        !place.contains([':', '?'])
    };
    let enode: Enode = if without_port {
        format!("{SCHEME}{bare}:{default_port}").parse()?
    } else {
        format!("{SCHEME}{bare}").parse()?
    };
    let host = match enode.host {
        EnodeHost::Ip(ip) => Host::Ip(ip.to_canonical()),
        EnodeHost::Name(name) => Host::Name(name),
    };
    Ok(Destination {
        target: Target {
            host,
            port: enode.tcp_port,
        },
        key: Some(PeerKey(enode.id.0)),
    })
}

/// How the address of a peer at `host` is written.
pub(super) fn of(host: &str) -> String {
    format!("{SCHEME}KEY@{host}")
}

/// How a destination is shown.
pub(super) fn shown(to: &Destination) -> String {
    match &to.key {
        Some(key) => format!("{SCHEME}{key}@{}", to.target),
        None => of(&to.target.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_spellings_are_understood() {
        let key = "0f".repeat(64);
        for (place, target) in [
            ("192.0.2.1:5", "192.0.2.1:5"),
            ("192.0.2.1", "192.0.2.1:30303"),
            ("[2001:db8::1]:5", "[2001:db8::1]:5"),
            ("[2001:db8::1]", "[2001:db8::1]:30303"),
            ("node.example.org:5?discport=0", "node.example.org:5"),
            ("node.example.org", "node.example.org:30303"),
        ] {
            for scheme in [SCHEME, ""] {
                let to = destination(&format!("{scheme}{key}@{place}"), 30303).unwrap();
                assert_eq!(to.target.to_string(), target);
                assert_eq!(to.key.unwrap().0, [0x0f; 64]);
                assert_eq!(destination(&shown(&to), 1), Ok(to), "shown form reads back");
            }
        }
    }

    #[test]
    fn mistakes_are_named() {
        let message = |text: &str| destination(text, 30303).unwrap_err().to_string();
        assert!(message("192.0.2.1:5").contains("enode://KEY@192.0.2.1:5"));
        assert!(message("zec://192.0.2.1:5").contains("enode://KEY@192.0.2.1:5"));
        assert!(message("enode://0f@192.0.2.1:5").contains("128"));
        let key = "0f".repeat(64);
        assert!(message(&format!("enode://{key}@192.0.2.1:0")).contains("port"));
    }
}
