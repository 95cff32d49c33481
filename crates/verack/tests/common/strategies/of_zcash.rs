//! Zcash messages.

use peerage_verack::zcash::{
    AddrV2, Alert, FilterAdd, FilterLoad, Header, Inventory, Message, NetworkAddr,
};

use super::{
    BoxedStrategy, Bytes, Command, Just, Services, Strategy, any, data, hash, list_len, locators,
    prop, prop_oneof, reject, short_time, timed_addrs, vec,
};

pub(super) fn messages() -> Vec<BoxedStrategy<Message>> {
    let opaque = prop::sample::select(vec!["tx", "block", "merkleblock"]);
    let opaque = (opaque, data(200)).prop_map(|(command, payload)| Message::Opaque {
        command: Command::from_static(command),
        payload,
    });
    vec![
        Just(Message::GetAddr).boxed(),
        Just(Message::Mempool).boxed(),
        Just(Message::FilterClear).boxed(),
        any::<u64>().prop_map(Message::Ping).boxed(),
        any::<u64>().prop_map(Message::Pong).boxed(),
        reject().prop_map(Message::Reject).boxed(),
        timed_addrs().prop_map(Message::Addr).boxed(),
        vec(addr_v2(), list_len()).prop_map(Message::AddrV2).boxed(),
        vec(inventory(), list_len()).prop_map(Message::Inv).boxed(),
        vec(inventory(), list_len())
            .prop_map(Message::GetData)
            .boxed(),
        vec(inventory(), list_len())
            .prop_map(Message::NotFound)
            .boxed(),
        locators().prop_map(Message::GetBlocks).boxed(),
        locators().prop_map(Message::GetHeaders).boxed(),
        vec(header(), list_len()).prop_map(Message::Headers).boxed(),
        filter_load().prop_map(Message::FilterLoad).boxed(),
        data(FilterAdd::MAX_DATA)
            .prop_map(|data| Message::FilterAdd(FilterAdd { data }))
            .boxed(),
        (data(300), data(80))
            .prop_map(|(payload, signature)| Message::Alert(Alert { payload, signature }))
            .boxed(),
        opaque.boxed(),
    ]
}

fn addr_v2() -> impl Strategy<Value = AddrV2> {
    let addr = prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| NetworkAddr::Ipv4(ip.into())),
        any::<[u8; 16]>().prop_map(|ip| NetworkAddr::Ipv6(ip.into())),
        any::<[u8; 32]>().prop_map(NetworkAddr::TorV3),
        any::<[u8; 32]>().prop_map(NetworkAddr::I2p),
        any::<[u8; 16]>().prop_map(|ip| NetworkAddr::Cjdns(ip.into())),
    ];
    (short_time(), any::<u64>(), addr, any::<u16>()).prop_map(|(time, services, addr, port)| {
        AddrV2 {
            time,
            services: Services(services),
            addr,
            port,
        }
    })
}

fn inventory() -> impl Strategy<Value = Inventory> {
    prop_oneof![
        hash().prop_map(Inventory::Error),
        hash().prop_map(Inventory::Tx),
        hash().prop_map(Inventory::Block),
        hash().prop_map(Inventory::FilteredBlock),
        (hash(), hash()).prop_map(|(txid, auth_digest)| Inventory::Wtx { txid, auth_digest }),
    ]
}

/// Both lengths that a solution has, and others: its content is nobody's business here.
fn header() -> impl Strategy<Value = Header> {
    let solution = prop_oneof![Just(1344), Just(36), 0..=1344_usize]
        .prop_flat_map(|len| vec(any::<u8>(), len))
        .prop_map(Bytes::from);
    let hashes = (hash(), hash(), hash());
    let numbers = (any::<i32>(), any::<u32>(), any::<u32>());
    (numbers, hashes, any::<[u8; 32]>(), solution).prop_map(
        |((version, time, bits), (previous, merkle_root, commitments), nonce, solution)| Header {
            version,
            previous,
            merkle_root,
            commitments,
            time,
            bits,
            nonce,
            solution,
        },
    )
}

fn filter_load() -> impl Strategy<Value = FilterLoad> {
    (data(400), any::<u32>(), any::<u32>(), any::<u8>()).prop_map(
        |(filter, hash_functions, tweak, flags)| FilterLoad {
            filter,
            hash_functions,
            tweak,
            flags,
        },
    )
}
