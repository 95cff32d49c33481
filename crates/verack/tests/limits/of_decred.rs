//! The longest Decred messages.

use peerage_verack::decred::{
    AddrV2, CFHeaders, CFTypes, CFilter, CFilterV2, FeeFilter, GetCFHeaders, GetCFilter,
    GetCFilterV2, GetCFsV2, GetInitState, Header, InitState, Inventory, InventoryKind, Message,
    MiningState, NetworkAddr,
};

use super::*;

const FILTER: usize = 256 * 1024;

pub(super) fn addrs() -> Vec<Longest<Message>> {
    let list = |count| Message::Addr(timed_addrs(count));
    vec![Longest::exactly(list(MAX_ADDRS), vec![list(MAX_ADDRS + 1)])]
}

fn opaque(command: &'static str, len: usize) -> Message {
    Message::Opaque {
        command: Command::from_static(command),
        payload: data(len),
    }
}

fn addr_v2(count: usize, addr: NetworkAddr) -> Message {
    let entry = AddrV2 {
        time: UnixTime(7),
        services: Services(1),
        addr,
        port: 1,
    };
    Message::AddrV2(vec![entry; count])
}

fn inventory(count: usize) -> Vec<Inventory> {
    let kind = InventoryKind::Mix;
    let hash = Hash::default();
    vec![Inventory { kind, hash }; count]
}

fn headers(count: usize) -> Message {
    let header = Header {
        version: 10,
        previous: Hash::default(),
        merkle_root: Hash::default(),
        stake_root: Hash::default(),
        vote_bits: 1,
        final_state: [2; 6],
        voters: 5,
        fresh_stake: 20,
        revocations: 0,
        pool_size: 40_960,
        bits: 1,
        ticket_price: 2,
        height: 3,
        size: 4,
        time: 5,
        nonce: 6,
        extra_data: [7; 32],
        stake_version: 11,
    };
    Message::Headers(vec![header; count])
}

fn get_init_state(count: usize, len: usize) -> Message {
    Message::GetInitState(GetInitState {
        types: vec![PeerText::new(&vec![b'x'; len]); count],
    })
}

fn init_state(blocks: usize, votes: usize, tspends: usize) -> Message {
    Message::InitState(InitState {
        blocks: hashes(blocks),
        votes: hashes(votes),
        tspends: hashes(tspends),
    })
}

fn mining_state(blocks: usize, votes: usize) -> Message {
    Message::MiningState(MiningState {
        version: 1,
        height: 2,
        blocks: hashes(blocks),
        votes: hashes(votes),
    })
}

fn cfilter(len: usize) -> Message {
    Message::CFilter(CFilter {
        block: Hash::default(),
        filter_type: 0,
        data: data(len),
    })
}

fn get_cf_headers(count: usize) -> Message {
    Message::GetCFHeaders(GetCFHeaders {
        hashes: hashes(count),
        stop: Hash::default(),
        filter_type: 0,
    })
}

fn cf_headers(count: usize) -> Message {
    Message::CFHeaders(CFHeaders {
        stop: Hash::default(),
        filter_type: 0,
        headers: hashes(count),
    })
}

fn cf_types(count: usize) -> Message {
    Message::CFTypes(CFTypes {
        types: vec![0; count],
    })
}

fn cfilter_v2(len: usize, proof: usize) -> CFilterV2 {
    CFilterV2 {
        block: Hash::default(),
        data: data(len),
        proof_index: 0,
        proof: hashes(proof),
    }
}

pub(super) fn rows() -> Vec<Longest<Message>> {
    let mut rows = lists();
    rows.extend(filters());
    for command in [
        "getaddr",
        "mempool",
        "sendheaders",
        "getminings",
        "getcftypes",
    ] {
        let message = read::<Decred>(Command::from_static(command), &Bytes::new(), 12);
        rows.push(Longest::exactly(message.unwrap(), vec![opaque(command, 1)]));
    }
    for command in Decred::NAMES.iter().filter(|name| name.starts_with("mix")) {
        rows.push(longest_opaque(command));
    }
    rows.push(longest_opaque("tx"));
    rows.push(longest_opaque("block"));
    rows
}

/// Their sizes are dcrd's, which another test compares.
fn longest_opaque(command: &'static str) -> Longest<Message> {
    let version = ProtocolVersion(12);
    let max = Decred::max_payload(Command::from_static(command), version).unwrap();
    Longest::exactly(opaque(command, max), vec![opaque(command, max + 1)])
}

fn lists() -> Vec<Longest<Message>> {
    let (tor, ipv4) = (
        NetworkAddr::TorV3([1; 32]),
        NetworkAddr::Ipv4([192, 0, 2, 1].into()),
    );
    let fee = Message::FeeFilter(FeeFilter { min_fee: -1 });
    let inventories = |variant: fn(Vec<Inventory>) -> Message| {
        let over = variant(inventory(MAX_INV + 1));
        Longest::exactly(variant(inventory(MAX_INV)), vec![over])
    };
    let positions = |variant: fn(Locators) -> Message| {
        Longest::exactly(variant(locators(500)), vec![variant(locators(501))])
    };
    vec![
        Longest::exactly(Message::Ping(1), vec![opaque("ping", 9)]),
        Longest::exactly(Message::Pong(1), vec![opaque("pong", 9)]),
        Longest::exactly(fee, vec![opaque("feefilter", 9)]),
        // Short entries: the payload is far below its limit, only the count is over.
        Longest::exactly(
            addr_v2(MAX_ADDRS, tor),
            vec![addr_v2(MAX_ADDRS + 1, ipv4), addr_v2(0, ipv4)],
        ),
        inventories(Message::Inv),
        inventories(Message::GetData),
        inventories(Message::NotFound),
        positions(Message::GetBlocks),
        positions(Message::GetHeaders),
        Longest::exactly(headers(2000), vec![headers(2001)]),
        Longest::exactly(
            get_init_state(32, 32),
            vec![get_init_state(33, 0), get_init_state(1, 33)],
        ),
        Longest::exactly(
            init_state(8, 40, 7),
            vec![
                init_state(9, 0, 0),
                init_state(0, 41, 0),
                init_state(0, 0, 8),
            ],
        ),
        Longest::exactly(
            mining_state(8, 40),
            vec![mining_state(9, 0), mining_state(0, 41)],
        ),
    ]
}

fn filters() -> Vec<Longest<Message>> {
    let (block, filter_type) = (Hash::default(), 0);
    let get_cfilter = Message::GetCFilter(GetCFilter { block, filter_type });
    let get_v2 = Message::GetCFilterV2(GetCFilterV2 { block });
    let (start, end) = (block, block);
    let get_batch = Message::GetCFsV2(GetCFsV2 { start, end });
    let batch = |count| Message::CFiltersV2(vec![cfilter_v2(0, 0); count]);
    vec![
        Longest::exactly(get_cfilter, vec![opaque("getcfilter", 34)]),
        Longest::exactly(cfilter(FILTER), vec![cfilter(FILTER + 1)]),
        Longest::exactly(get_cf_headers(500), vec![get_cf_headers(501)]),
        Longest::exactly(cf_headers(2000), vec![cf_headers(2001)]),
        Longest::exactly(cf_types(256), vec![cf_types(257)]),
        Longest::exactly(get_v2, vec![opaque("getcfilterv2", 33)]),
        Longest::exactly(
            Message::CFilterV2(cfilter_v2(FILTER, 32)),
            vec![
                Message::CFilterV2(cfilter_v2(FILTER + 1, 0)),
                Message::CFilterV2(cfilter_v2(0, 33)),
            ],
        ),
        Longest::exactly(get_batch, vec![opaque("getcfsv2", 65)]),
        Longest::exactly(
            Message::CFiltersV2(vec![cfilter_v2(FILTER, 32); 100]),
            vec![
                batch(101),
                Message::CFiltersV2(vec![cfilter_v2(FILTER + 1, 0)]),
            ],
        ),
    ]
}
