//! Geography from a MaxMind file that the test makes itself, by the format's description (MaxMind DB File
//! Format Specification, version 2.0).

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use peerage_inproxy::Locate as _;
use peerage_inproxy::geography::MaxMind;
use peerage_matcher::{Asn, Country, Geography};

/// A value of the data section.
enum Value {
    Text(&'static str),
    U16(u16),
    U32(u32),
    U64(u64),
    Map(Vec<(&'static str, Value)>),
    List(Vec<Value>),
}

/// Type and length, in the short form that lengths below 29 have.
fn control(out: &mut Vec<u8>, kind: u8, len: usize) {
    let len = u8::try_from(len).unwrap();
    assert!(len < 29);
    if kind < 8 {
        out.push(kind << 5 | len);
    } else {
        out.extend([len, kind - 7]);
    }
}

fn number(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    let zeroes = bytes.iter().take_while(|byte| **byte == 0).count();
    control(out, kind, bytes.len() - zeroes);
    out.extend(&bytes[zeroes..]);
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => {
            control(out, 2, text.len());
            out.extend(text.as_bytes());
        }
        Value::U16(value) => number(out, 5, &value.to_be_bytes()),
        Value::U32(value) => number(out, 6, &value.to_be_bytes()),
        Value::U64(value) => number(out, 9, &value.to_be_bytes()),
        Value::Map(pairs) => {
            control(out, 7, pairs.len());
            for (key, value) in pairs {
                write(out, &Value::Text(key));
                write(out, value);
            }
        }
        Value::List(values) => {
            control(out, 11, values.len());
            values.iter().for_each(|value| write(out, value));
        }
    }
}

/// A file that knows these IPv4 networks, none within another.
fn file(kind: &'static str, networks: &[(Ipv4Addr, u8, Value)]) -> Vec<u8> {
    #[derive(Clone, Copy)]
    enum Record {
        Nothing,
        Node(u32),
        Data(u32),
    }
    let mut data = Vec::new();
    let mut nodes = vec![[Record::Nothing; 2]];
    for (addr, len, value) in networks {
        let at = u32::try_from(data.len()).unwrap();
        write(&mut data, value);
        let mut node = 0;
        for bit in 0..*len {
            let side = usize::from(addr.to_bits() << bit >> 31 == 1);
            if bit + 1 == *len {
                nodes[node][side] = Record::Data(at);
                break;
            }
            node = match nodes[node][side] {
                Record::Node(next) => next as usize,
                Record::Nothing | Record::Data(_) => {
                    let next = u32::try_from(nodes.len()).unwrap();
                    nodes[node][side] = Record::Node(next);
                    nodes.push([Record::Nothing; 2]);
                    next as usize
                }
            };
        }
    }
    let count = u32::try_from(nodes.len()).unwrap();
    let mut out = Vec::new();
    for record in nodes.iter().flatten() {
        let value = match record {
            Record::Nothing => count,
            Record::Node(node) => *node,
            // The data section begins after 16 zeroes, which count.
            Record::Data(at) => count + 16 + at,
        };
        out.extend(&value.to_be_bytes()[1..]);
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = Value::Map(vec![
        ("node_count", Value::U32(count)),
        ("record_size", Value::U16(24)),
        ("ip_version", Value::U16(4)),
        ("database_type", Value::Text(kind)),
        ("languages", Value::List(vec![Value::Text("en")])),
        ("binary_format_major_version", Value::U16(2)),
        ("binary_format_minor_version", Value::U16(0)),
        ("build_epoch", Value::U64(1_700_000_000)),
        (
            "description",
            Value::Map(vec![("en", Value::Text("a test"))]),
        ),
    ]);
    write(&mut out, &metadata);
    out
}

/// A file that goes with the value.
struct Written(PathBuf);

impl Written {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let name = format!("peerage-{name}-{}.mmdb", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn country(code: &'static str) -> Value {
    let country = Value::Map(vec![("iso_code", Value::Text(code))]);
    Value::Map(vec![("country", country)])
}

fn asn(number: u32) -> Value {
    Value::Map(vec![("autonomous_system_number", Value::U32(number))])
}

#[test]
fn countries_and_networks_come_from_the_operators_files() {
    let test_net = Ipv4Addr::new(192, 0, 2, 0);
    let other_net = Ipv4Addr::new(198, 51, 100, 0);
    let countries = file(
        "GeoLite2-Country",
        &[
            (test_net, 24, country("DE")),
            (other_net, 25, country("FR")),
        ],
    );
    let networks = file("GeoLite2-ASN", &[(test_net, 24, asn(64_500))]);
    let countries = Written::new("countries", &countries);
    let networks = Written::new("networks", &networks);
    let files = MaxMind::open(&[&countries.0, &networks.0]).unwrap();
    let at = |ip: &str| files.locate(ip.parse::<IpAddr>().unwrap());
    let both = Geography {
        country: Country::new(*b"DE"),
        asn: Some(Asn(64_500)),
    };
    assert_eq!(at("192.0.2.1"), both);
    assert_eq!(at("::ffff:192.0.2.255"), both);
    assert_eq!(at("198.51.100.127").country, Country::new(*b"FR"));
    assert_eq!(at("198.51.100.127").asn, None);
    for unknown in ["198.51.100.128", "192.0.3.0", "2001:db8::1"] {
        assert_eq!(at(unknown), Geography::UNKNOWN, "{unknown}");
    }
}

#[test]
fn what_is_no_database_is_named() {
    let written = Written::new("nonsense", b"no database");
    let error = MaxMind::open(&[&written.0]).unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
}
