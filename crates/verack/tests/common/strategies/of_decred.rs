//! Decred messages.

use peerage_core::{PeerText, UnixTime};
use peerage_verack::decred::{
    AddrV2, CFHeaders, CFTypes, CFilter, CFilterV2, FeeFilter, GetCFHeaders, GetCFilter,
    GetCFilterV2, GetCFsV2, GetInitState, Header, InitState, Inventory, InventoryKind, Message,
    MiningState, NetworkAddr,
};

use super::{
    BoxedStrategy, Command, Just, Services, Strategy, any, data, hash, hashes, list_len, locators,
    prop, prop_oneof, timed_addrs, vec,
};

pub(super) fn messages() -> Vec<BoxedStrategy<Message>> {
    let opaque = prop::sample::select(vec![
        "tx",
        "block",
        "mixpairreq",
        "mixkeyxchg",
        "mixcphrtxt",
        "mixslotres",
        "mixdcnet",
        "mixfactpoly",
        "mixconfirm",
        "mixsecrets",
    ]);
    let opaque = (opaque, data(200)).prop_map(|(command, payload)| Message::Opaque {
        command: Command::from_static(command),
        payload,
    });
    let mut messages = vec![
        Just(Message::GetAddr).boxed(),
        Just(Message::Mempool).boxed(),
        Just(Message::SendHeaders).boxed(),
        Just(Message::GetMiningState).boxed(),
        Just(Message::GetCFTypes).boxed(),
        any::<u64>().prop_map(Message::Ping).boxed(),
        any::<u64>().prop_map(Message::Pong).boxed(),
        timed_addrs().prop_map(Message::Addr).boxed(),
        // Not empty, by Decred's rule.
        vec(addr_v2(), 1..6_usize).prop_map(Message::AddrV2).boxed(),
        any::<i64>()
            .prop_map(|min_fee| Message::FeeFilter(FeeFilter { min_fee }))
            .boxed(),
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
        opaque.boxed(),
    ];
    messages.extend(states());
    messages.extend(filters());
    messages
}

/// What a node needs to start mining or voting.
fn states() -> [BoxedStrategy<Message>; 3] {
    let name = vec(0x20_u8..=0x7e, 0..=GetInitState::MAX_TYPE_LEN);
    let names = vec(
        name.prop_map(|name| PeerText::new(&name)),
        0..=GetInitState::MAX_TYPES,
    );
    [
        names
            .prop_map(|types| Message::GetInitState(GetInitState { types }))
            .boxed(),
        (hashes(8), hashes(40), hashes(7))
            .prop_map(|(blocks, votes, tspends)| {
                Message::InitState(InitState {
                    blocks,
                    votes,
                    tspends,
                })
            })
            .boxed(),
        (any::<u32>(), any::<u32>(), hashes(8), hashes(40))
            .prop_map(|(version, height, blocks, votes)| {
                Message::MiningState(MiningState {
                    version,
                    height,
                    blocks,
                    votes,
                })
            })
            .boxed(),
    ]
}

/// Committed filters, both kinds.
fn filters() -> [BoxedStrategy<Message>; 9] {
    let filter_type = any::<u8>;
    [
        (hash(), filter_type())
            .prop_map(|(block, filter_type)| Message::GetCFilter(GetCFilter { block, filter_type }))
            .boxed(),
        (hash(), filter_type(), data(300))
            .prop_map(|(block, filter_type, data)| {
                Message::CFilter(CFilter {
                    block,
                    filter_type,
                    data,
                })
            })
            .boxed(),
        (hashes(5), hash(), filter_type())
            .prop_map(|(hashes, stop, filter_type)| {
                Message::GetCFHeaders(GetCFHeaders {
                    hashes,
                    stop,
                    filter_type,
                })
            })
            .boxed(),
        (hash(), filter_type(), hashes(5))
            .prop_map(|(stop, filter_type, headers)| {
                Message::CFHeaders(CFHeaders {
                    stop,
                    filter_type,
                    headers,
                })
            })
            .boxed(),
        vec(any::<u8>(), 0..=256)
            .prop_map(|types| Message::CFTypes(CFTypes { types }))
            .boxed(),
        hash()
            .prop_map(|block| Message::GetCFilterV2(GetCFilterV2 { block }))
            .boxed(),
        cfilter_v2().prop_map(Message::CFilterV2).boxed(),
        (hash(), hash())
            .prop_map(|(start, end)| Message::GetCFsV2(GetCFsV2 { start, end }))
            .boxed(),
        vec(cfilter_v2(), list_len())
            .prop_map(Message::CFiltersV2)
            .boxed(),
    ]
}

fn cfilter_v2() -> impl Strategy<Value = CFilterV2> {
    let proof = hashes(CFilterV2::MAX_PROOF);
    (hash(), data(300), any::<u32>(), proof).prop_map(|(block, data, proof_index, proof)| {
        CFilterV2 {
            block,
            data,
            proof_index,
            proof,
        }
    })
}

fn addr_v2() -> impl Strategy<Value = AddrV2> {
    let addr = prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| NetworkAddr::Ipv4(ip.into())),
        any::<[u8; 16]>().prop_map(|ip| NetworkAddr::Ipv6(ip.into())),
        any::<[u8; 32]>().prop_map(NetworkAddr::TorV3),
    ];
    (any::<i64>(), any::<u64>(), addr, any::<u16>()).prop_map(|(time, services, addr, port)| {
        AddrV2 {
            time: UnixTime(time),
            services: Services(services),
            addr,
            port,
        }
    })
}

fn inventory() -> impl Strategy<Value = Inventory> {
    let kind = prop_oneof![
        Just(InventoryKind::Error),
        Just(InventoryKind::Tx),
        Just(InventoryKind::Block),
        Just(InventoryKind::FilteredBlock),
        Just(InventoryKind::Mix),
        // Codes that have no name of their own.
        (5..=u32::MAX).prop_map(InventoryKind::Other),
    ];
    (kind, hash()).prop_map(|(kind, hash)| Inventory { kind, hash })
}

fn header() -> impl Strategy<Value = Header> {
    let hashes = (hash(), hash(), hash());
    let votes = (any::<u16>(), any::<[u8; 6]>(), any::<u16>());
    let stake = (any::<u8>(), any::<u8>(), any::<u32>(), any::<i64>());
    let chain = (any::<i32>(), any::<u32>(), any::<u32>(), any::<u32>());
    let mined = (any::<u32>(), any::<u32>(), any::<[u8; 32]>(), any::<u32>());
    (hashes, votes, stake, chain, mined).prop_map(|(hashes, votes, stake, chain, mined)| Header {
        version: chain.0,
        previous: hashes.0,
        merkle_root: hashes.1,
        stake_root: hashes.2,
        vote_bits: votes.0,
        final_state: votes.1,
        voters: votes.2,
        fresh_stake: stake.0,
        revocations: stake.1,
        pool_size: stake.2,
        bits: chain.1,
        ticket_price: stake.3,
        height: chain.2,
        size: chain.3,
        time: mined.0,
        nonce: mined.1,
        extra_data: mined.2,
        stake_version: mined.3,
    })
}
