//! What a STUN server sees of a socket: binding requests only (RFC 8489).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use peerage_core::Endpoint;
use peerage_core::wire::Reader;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::path::for_family;
use crate::outside::Outside;

/// RFC 8489, section 5.
const MAGIC: u32 = 0x2112_a442;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const HEADER_LEN: usize = 20;
/// A response is short; one that is longer is cut and thereby refused.
const MAX_LEN: usize = 512;
/// The first wait before a request is repeated; then twice as long (RFC 8489, section 6.2.1, begins
/// with 500 ms, which is longer than a client here is willing to wait).
const FIRST_WAIT: Duration = Duration::from_millis(150);
/// The most servers asked.
const MAX_SERVERS: usize = 4;

type Transaction = [u8; 12];

fn request(transaction: Transaction) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..2].copy_from_slice(&BINDING_REQUEST.to_be_bytes());
    bytes[4..8].copy_from_slice(&MAGIC.to_be_bytes());
    bytes[8..].copy_from_slice(&transaction);
    bytes
}

/// The address in a success response to this transaction.
fn mapped_address(bytes: &[u8], transaction: Transaction) -> Option<Endpoint> {
    let mut reader = Reader::new(bytes);
    let kind = reader.u16_be("type").ok()?;
    let len = usize::from(reader.u16_be("length").ok()?);
    let cookie: [u8; 4] = reader.fixed("cookie").ok()?;
    let id: Transaction = reader.fixed("transaction").ok()?;
    let sound = kind == BINDING_SUCCESS
        && cookie == MAGIC.to_be_bytes()
        && id == transaction
        && len == reader.left();
    while sound && !reader.is_empty() {
        let kind = reader.u16_be("attribute").ok()?;
        let len = usize::from(reader.u16_be("attribute_length").ok()?);
        let value = reader.bytes("value", len).ok()?;
        reader
            .bytes("padding", len.next_multiple_of(4) - len)
            .ok()?;
        if kind == XOR_MAPPED_ADDRESS {
            return xor_address(value, transaction);
        }
    }
    None
}

/// RFC 8489, section 14.2.
fn xor_address(value: &[u8], transaction: Transaction) -> Option<Endpoint> {
    let mut reader = Reader::new(value);
    reader.u8("zero").ok()?;
    let family = reader.u8("family").ok()?;
    let [high, low, ..] = MAGIC.to_be_bytes();
    let port = reader.u16_be("port").ok()? ^ u16::from_be_bytes([high, low]);
    let ip: IpAddr = match family {
        1 => {
            let bits = u32::from_be_bytes(reader.fixed("ip").ok()?);
            Ipv4Addr::from_bits(bits ^ MAGIC).into()
        }
        2 => {
            let mut mask = [0; 16];
            mask[..4].copy_from_slice(&MAGIC.to_be_bytes());
            mask[4..].copy_from_slice(&transaction);
            let bits = u128::from_be_bytes(reader.fixed("ip").ok()?);
            Ipv6Addr::from_bits(bits ^ u128::from_be_bytes(mask)).into()
        }
        _ => return None,
    };
    reader.finish().ok()?;
    Some(Endpoint::new(ip, port))
}

/// What the servers see of this socket: one address each, as far as they answer in time.
pub(super) async fn reflexive(
    socket: &UdpSocket,
    servers: &[Endpoint],
    outside: Outside,
    deadline: Instant,
) -> Vec<Endpoint> {
    let v6 = socket.local_addr().is_ok_and(|addr| addr.is_ipv6());
    let mut waiting: Vec<(Endpoint, Transaction)> = servers
        .iter()
        .take(MAX_SERVERS)
        .map(|server| (*server, outside.bytes()))
        .collect();
    let mut found = Vec::new();
    let mut wait = FIRST_WAIT;
    let mut buffer = [0; MAX_LEN];
    while !waiting.is_empty() && Instant::now() < deadline {
        for (server, transaction) in &waiting {
            if let Some(to) = for_family(*server, v6) {
                // A server that cannot be sent to does not answer.
                let _ = socket.send_to(&request(*transaction), to).await;
            }
        }
        let until = (Instant::now() + wait).min(deadline);
        wait *= 2;
        while !waiting.is_empty() {
            let received = timeout_at(until, socket.recv_from(&mut buffer)).await;
            let Ok(received) = received else { break };
            let Ok((len, from)) = received else { continue };
            let from = Endpoint::from(from);
            let Some(at) = waiting.iter().position(|(server, _)| *server == from) else {
                continue;
            };
            let (_, transaction) = waiting[at];
            if let Some(addr) = buffer
                .get(..len)
                .and_then(|b| mapped_address(b, transaction))
            {
                waiting.remove(at);
                found.push(addr);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    /// RFC 5769, sections 2.2 and 2.3: sample responses over IPv4 and IPv6.
    #[test]
    fn the_sample_responses_of_the_standard_are_read() {
        let v4 = hex(
            "0101003c 2112a442 b7e7a701bc34d686fa87dfae 8022000b 74657374 20766563 746f7220 \
             00200008 0001a147 e112a643 00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7 \
             80280004 c07d4c96",
        );
        let v6 = hex(
            "01010048 2112a442 b7e7a701bc34d686fa87dfae 8022000b 74657374 20766563 746f7220 \
             00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9 00080014 a382954e 4be67bf1 \
             1784c97c 8292c275 bfe3ed41 80280004 c8fb0b4c",
        );
        let transaction = hex("b7e7a701bc34d686fa87dfae").try_into().unwrap();
        let read = |bytes: &[u8]| mapped_address(bytes, transaction).map(|addr| addr.to_string());
        assert_eq!(read(&v4).unwrap(), "192.0.2.1:32853");
        let expected = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
        assert_eq!(read(&v6).unwrap(), expected);
        for len in 0..v4.len() {
            assert_eq!(read(&v4[..len]), None);
        }
        assert_eq!(mapped_address(&v4, [0; 12]), None, "another transaction's");
    }

    #[test]
    fn a_request_is_a_bare_header() {
        let bytes = request([7; 12]);
        assert_eq!(bytes[..8], hex("00010000 2112a442")[..]);
    }
}
