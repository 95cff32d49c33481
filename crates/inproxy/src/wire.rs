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
