//! How people write the address of a peer.

use peerage_discv5::record::Unverified;
use peerage_ethereum::ForkFilter;
use peerage_ethereum::enode::{Enode, Host as EnodeHost};
use peerage_ethereum::table::NETWORK;
use peerage_net::{Host, Target};

use crate::destination::{AddressError, BadRecord, Destination, PeerKey};

/// What a node record in text begins with. Source: EIP-778, "Text Encoding".
pub(super) const RECORD: &str = "enr:";

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

/// Reads a node record. One whose `eth` entry names forks that do not fit ours is not worth a dial.
pub(super) fn of_record(forks: &ForkFilter, text: &str) -> Result<Destination, AddressError> {
    let record: Unverified = text.parse().map_err(BadRecord::Record)?;
    let record = record.verify().map_err(BadRecord::Record)?;
    if let Some(entry) = record.raw("eth") {
        forks.judge_record_entry(entry).map_err(BadRecord::Forks)?;
    } else if record.raw("eth2").is_some() {
        return Err(BadRecord::Consensus.into());
    }
    let endpoint = record.tcp4_endpoint().or_else(|| record.tcp6_endpoint());
    let endpoint = endpoint.ok_or(BadRecord::NoTcp)?;
    let key = record
        .uncompressed_public_key()
        .map_err(BadRecord::Record)?;
    Ok(Destination {
        key: Some(PeerKey(key)),
        ..endpoint.into()
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
    fn a_record_is_judged_before_anyone_dials_it() {
        use peerage_discv5::curve::SecretKey;
        use peerage_discv5::record::Builder;
        let table = peerage_ethereum::Table::builtin();
        let at = |chain: &str| {
            table
                .chain(chain)
                .unwrap()
                .forks_by_the_clock(1_780_000_000)
        };
        let key = SecretKey::from_bytes([7; 32]).unwrap();
        let plain = || Builder::new(1).ip([127, 0, 0, 1].into());
        let dial = |record: Builder| {
            let text = record.sign(&key).unwrap().to_string();
            of_record(&at("mainnet"), &text)
        };
        let entry = |chain: &str| at(chain).record_entry().to_vec();
        let ours = plain().tcp4(5).raw("eth", entry("mainnet"));
        let to = dial(ours).unwrap();
        assert_eq!(to.target.to_string(), "127.0.0.1:5");
        assert_eq!(to.key.unwrap().0, key.public_key().uncompressed());
        assert!(dial(plain().tcp4(5)).is_ok(), "it says nothing against us");

        let kind = |record| peerage_core::Failure::kind(&dial(record).unwrap_err());
        let theirs = plain().tcp4(5).raw("eth", entry("hoodi"));
        assert_eq!(kind(theirs), peerage_core::Kind::WrongFork);
        let consensus = plain().tcp4(5).string("eth2", [0; 16]);
        assert_eq!(kind(consensus), peerage_core::Kind::Incompatible);
        assert_eq!(
            kind(plain().udp4(5)),
            peerage_core::Kind::Usage,
            "nowhere to dial"
        );
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
