//! Shapes that several messages share.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use peerage_core::Endpoint;
use peerage_core::wire::{Problem, ReadError, Reader, Writer};

/// An endpoint: 4 or 6, the address, the port with its most significant byte first.
pub(crate) fn write_endpoint(writer: &mut Writer, endpoint: Endpoint) {
    match endpoint.ip() {
        IpAddr::V4(ip) => writer.u8(4).bytes(&ip.octets()),
        IpAddr::V6(ip) => writer.u8(6).bytes(&ip.octets()),
    };
    writer.u16_be(endpoint.port());
}

pub(crate) fn read_endpoint(reader: &mut Reader<'_>) -> Result<Endpoint, ReadError> {
    let ip = read_ip(reader)?;
    let port = reader.u16_be("port")?;
    Ok(Endpoint::new(ip, port))
}

pub(crate) fn read_ip(reader: &mut Reader<'_>) -> Result<IpAddr, ReadError> {
    let offset = reader.offset();
    match reader.u8("family")? {
        4 => Ok(Ipv4Addr::from(reader.fixed::<4>("ip")?).into()),
        6 => Ok(Ipv6Addr::from(reader.fixed::<16>("ip")?).into()),
        got => Err(bad("family", offset, got)),
    }
}

pub(crate) fn bad(field: &'static str, offset: usize, got: impl Into<u64>) -> ReadError {
    Reader::error(field, offset, Problem::BadValue { got: got.into() })
}

/// Printable ASCII of at most `limit` bytes.
pub(crate) fn read_text(
    reader: &mut Reader<'_>,
    field: &'static str,
    limit: usize,
) -> Result<String, ReadError> {
    let offset = reader.offset();
    let bytes = reader.var_text(field, limit)?;
    if let Some(&byte) = bytes.iter().find(|byte| !(0x20..=0x7e).contains(*byte)) {
        return Err(Reader::error(field, offset, Problem::NotPrintable { byte }));
    }
    Ok(bytes.iter().copied().map(char::from).collect())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use peerage_core::UnixTime;
    use proptest::prelude::*;

    use crate::envelope::Envelope;
    use crate::message::{Call, Reply};
    use crate::{Description, Invitation, Pairing, SignedEntry};

    proptest! {
        /// Whatever a stranger sends, no decoder panics, and what one takes is written the same.
        #[test]
        fn any_bytes_are_taken_whole_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            // Most begin with the version, so that more is looked at.
            if let Some(first) = bytes.first_mut() {
                *first = u8::from(*first < 250);
            }
            if let Ok(call) = Call::decode(&bytes) {
                prop_assert_eq!(&call.encode().unwrap()[..], &bytes[..]);
            }
            if let Ok(reply) = Reply::decode(&bytes) {
                prop_assert_eq!(&reply.encode().unwrap()[..], &bytes[..]);
            }
            if let Ok(envelope) = Envelope::decode(&bytes) {
                prop_assert_eq!(&envelope.encode().unwrap()[..], &bytes[..]);
            }
            if let Ok(entry) = SignedEntry::decode(&bytes) {
                prop_assert_eq!(&entry.encode().unwrap()[..], &bytes[..]);
            }
            // An IPv4 address mapped into IPv6 is folded, so this one is not compared.
            let _ = Description::decode(&bytes);
            let text = URL_SAFE_NO_PAD.encode(&bytes);
            let invitation = format!("peerage-invitation:{text}");
            prop_assert!(Invitation::from_link(&invitation, None, UnixTime(0)).is_err());
            let _ = Pairing::from_link(&format!("peerage-pairing:{text}"));
        }
    }
}
