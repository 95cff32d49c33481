//! Hello: the vector of EIP-8, tolerance, and bounds.

use bytes::BytesMut;
use peerage_core::PeerText;
use peerage_core::wire::Problem;
use peerage_ethereum::PeerId;
use peerage_ethereum::capability::{CapName, Capability, MAX_CAPABILITIES};
use peerage_ethereum::hello::Hello;
use peerage_ethereum::rlp::{Reader, Writer};
use proptest::prelude::*;

fn vector() -> Vec<u8> {
    let file: serde_json::Value = serde_json::from_str(include_str!("vectors/hello.json")).unwrap();
    hex::decode(file["hello_with_extra_items"].as_str().unwrap()).unwrap()
}

fn capability(name: &'static str, version: u32) -> Capability {
    Capability {
        name: CapName::from_static(name),
        version,
    }
}

#[test]
fn the_vector_of_eip_8_with_another_version_and_extra_items_is_read() {
    let hello = Hello::decode(&vector()).unwrap();
    assert_eq!(hello.p2p_version, 55);
    assert!(hello.speaks_snappy());
    assert_eq!(hello.client_id.to_string(), "kneth/v0.91/plan9");
    assert_eq!(
        hello.capabilities,
        [capability("eth", 61), capability("mork", 22)]
    );
    assert_eq!(hello.listen_port, 9999);
    assert!(hello.id.to_string().starts_with("fda1cff674c90c9a"));
    // What we would send says the same without the extra items.
    let again = Hello::decode(&hello.encode()).unwrap();
    assert_eq!(again, hello);
    assert!(hello.encode().len() < vector().len());
}

#[test]
fn the_vector_is_explained_field_by_field() {
    let bytes = vector();
    let mut reader = Reader::traced(&bytes);
    Hello::read(&mut reader).unwrap();
    let fields = reader.into_fields();
    let paths: Vec<_> = fields.iter().map(peerage_core::wire::Field::path).collect();
    assert_eq!(
        paths,
        [
            "hello",
            "p2p_version",
            "client_id",
            "capabilities",
            "capabilities[0].capability",
            "capabilities[0].name",
            "capabilities[0].version",
            "capabilities[1].capability",
            "capabilities[1].name",
            "capabilities[1].version",
            "listen_port",
            "id",
            "extra",
        ]
    );
    assert_eq!(
        fields.iter().map(|field| field.len).sum::<usize>(),
        bytes.len()
    );
}

fn hello_with(write_capabilities: impl Fn(&mut Writer<'_>)) -> BytesMut {
    let mut body = BytesMut::new();
    Writer::new(&mut body).list(|writer| {
        writer.uint(5).bytes(b"");
        writer.list(|writer| write_capabilities(writer));
        writer.uint(0).bytes(&[7; 64]);
    });
    body
}

#[test]
fn an_empty_client_id_and_no_capability_are_an_introduction_too() {
    let hello = Hello::decode(&hello_with(|_| ())).unwrap();
    assert_eq!(hello.client_id, PeerText::default());
    assert!(hello.capabilities.is_empty());
}

#[test]
fn a_capability_nobody_could_share_is_passed_over() {
    let hello = Hello::decode(&hello_with(|writer| {
        for (name, version) in [
            (&b"ninebytes"[..], 1),
            (b"", 1),
            (b"eth\n", 69),
            (b"eth", u64::MAX),
            (b"eth", 69),
        ] {
            writer.list(|writer| {
                writer
                    .bytes(name)
                    .uint(version)
                    .bytes(b"of a later version");
            });
        }
    }));
    assert_eq!(hello.unwrap().capabilities, [capability("eth", 69)]);
}

#[test]
fn only_so_many_capabilities_are_read() {
    let hello = Hello::decode(&hello_with(|writer| {
        for version in 1..=u64::try_from(MAX_CAPABILITIES).unwrap() + 9 {
            writer.list(|writer| {
                writer.bytes(b"x").uint(version);
            });
        }
    }));
    assert_eq!(hello.unwrap().capabilities.len(), MAX_CAPABILITIES);
}

#[test]
fn a_hello_over_its_limit_is_refused_unread() {
    let mut body = hello_with(|_| ());
    body.resize(Hello::MAX_LEN, 0);
    Hello::decode(&body).expect("bytes behind the list are ignored");
    body.resize(Hello::MAX_LEN + 1, 0);
    let error = Hello::decode(&body).unwrap_err();
    assert!(matches!(
        error.problem,
        Problem::OverLimit {
            got: 2049,
            limit: 2048
        }
    ));
}

#[test]
fn a_key_of_another_length_is_refused() {
    let mut body = BytesMut::new();
    Writer::new(&mut body).list(|writer| {
        writer
            .uint(5)
            .bytes(b"")
            .list(|_| ())
            .uint(0)
            .bytes(&[7; 65]);
    });
    assert_eq!(Hello::decode(&body).unwrap_err().field, "id");
}

prop_compose! {
    fn hellos()(
        p2p_version: u64,
        client_id in prop::collection::vec(any::<u8>(), 0..=PeerText::MAX_LEN),
        capabilities in prop::collection::vec(("[!-~]{1,8}", any::<u32>()), 0..MAX_CAPABILITIES),
        listen_port: u64,
        id: [u8; 32],
    ) -> Hello {
        let capabilities = capabilities.iter().map(|(name, version)| Capability {
            name: CapName::new(name.as_bytes()).unwrap(),
            version: *version,
        });
        Hello {
            p2p_version,
            client_id: PeerText::new(&client_id),
            capabilities: capabilities.collect(),
            listen_port,
            id: PeerId([id, id].concat().try_into().unwrap()),
        }
    }
}

proptest! {
    #[test]
    fn what_is_said_is_understood(hello in hellos()) {
        prop_assert_eq!(Hello::decode(&hello.encode()).unwrap(), hello);
    }

    #[test]
    fn a_damaged_hello_never_panics(
        hello in hellos(),
        at: prop::sample::Index,
        byte: u8,
        cut: prop::sample::Index,
    ) {
        let mut body = hello.encode().to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        body.truncate(cut.index(body.len() + 1));
        let _refused = Hello::decode(&body);
    }
}
