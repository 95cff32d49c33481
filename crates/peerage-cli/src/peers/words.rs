//! What the interface tells of peers, for people.

use peerage_api::v1;

/// A network and chain.
pub(super) fn realm_words(realm: &v1::Realm) -> String {
    format!("{} {}", realm.network, realm.chain)
}

/// Who a peer is, shortly: its key, or its session where it has none.
pub(super) fn key_or_address(peer: &v1::PeerRef) -> String {
    match &*peer.key {
        "" => format!("session {}", peer.session),
        key => short(key),
    }
}

/// Enough of a key: identities are long.
pub(super) fn short(key: &str) -> String {
    if key.len() <= 64 || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return key.to_owned();
    }
    let digits: String = key.chars().take(16).collect();
    digits + "…"
}

/// Where a peer is, or who where its network has identities.
pub(super) fn place(peer: Option<&v1::PeerRef>, address: &str) -> String {
    let key = peer.map_or("", |peer| &*peer.key);
    match (key, address) {
        ("", "") => "-".to_owned(),
        ("", address) => address.to_owned(),
        (key, "") => short(key),
        (key, address) if key == address => address.to_owned(),
        (key, address) => format!("{} {address}", short(key)),
    }
}

/// A direction, in a word.
pub(super) const fn direction(of: v1::Direction) -> &'static str {
    match of {
        v1::Direction::Inbound => "inbound",
        v1::Direction::Outbound => "outbound",
        v1::Direction::Unspecified => "-",
    }
}

/// A standing, in a word.
pub(super) const fn standing(of: v1::Standing) -> &'static str {
    match of {
        v1::Standing::Static => "static",
        v1::Standing::Trusted => "trusted",
        v1::Standing::Ordinary | v1::Standing::Unspecified => "-",
    }
}

/// How a session is at this moment.
pub(super) fn present(peer: &v1::Peer) -> String {
    let session = peer.peer.as_ref().map_or(0, |peer| peer.session);
    let (way, age) = (direction(peer.direction()), span_ms(peer.age_ms));
    let rtt = match peer.rtt_us {
        Some(_) => format!("round trip {}", rtt(peer.rtt_us)),
        None => "no round trip measured yet".to_owned(),
    };
    let quiet = span_ms(peer.quiet_ms);
    format!("in session {session} for {age}, {way}, {rtt}, last heard {quiet} ago")
}

/// How an ending came.
pub(super) const fn ending(of: v1::Ending) -> &'static str {
    match of {
        v1::Ending::Cancelled => "by our wish",
        v1::Ending::Refused => "refused by us",
        v1::Ending::Left => "left without a word",
        v1::Ending::Goodbye => "left with a goodbye",
        v1::Ending::Failed => "failed",
        v1::Ending::Unspecified => "ended",
    }
}

/// Milliseconds as a span, for people.
pub(super) fn span_ms(ms: u64) -> String {
    if ms < 10_000 {
        return format!("{ms} ms");
    }
    crate::why::span(i64::try_from(ms / 1000).unwrap_or(i64::MAX))
}

/// Microseconds as milliseconds.
pub(super) fn rtt(us: Option<u64>) -> String {
    us.map_or_else(
        || "-".to_owned(),
        |us| crate::output::millis(std::time::Duration::from_micros(us)),
    )
}

/// Bytes with the unit that fits.
pub(super) fn bytes(count: u64) -> String {
    match count {
        ..10_240 => format!("{count} B"),
        10_240..10_485_760 => format!("{} KiB", count >> 10),
        _ => format!("{} MiB", count >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_addresses_whole() {
        let identity = "ab".repeat(64);
        assert_eq!(short(&identity), "abababababababab…");
        assert_eq!(short("203.0.113.9:8233"), "203.0.113.9:8233");
        let with = |key: &str| v1::PeerRef {
            key: key.to_owned(),
            session: 3,
            ..v1::PeerRef::default()
        };
        let at = "203.0.113.9:8233";
        assert_eq!(place(Some(&with(at)), at), at);
        assert_eq!(
            place(Some(&with(&identity)), at),
            format!("abababababababab… {at}")
        );
        assert_eq!(place(None, ""), "-");
        assert_eq!(key_or_address(&with("")), "session 3");
    }

    #[test]
    fn figures_have_the_unit_that_fits() {
        assert_eq!(
            (span_ms(9_999), span_ms(10_000)),
            ("9999 ms".into(), "10 s".into())
        );
        assert_eq!(
            (bytes(10_239), bytes(10_240)),
            ("10239 B".into(), "10 KiB".into())
        );
        assert_eq!(bytes(10_485_760), "10 MiB");
        assert_eq!(
            (rtt(None), rtt(Some(1_500))),
            ("-".into(), "1.50 ms".into())
        );
    }
}
