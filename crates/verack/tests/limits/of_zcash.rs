//! The longest Zcash messages.

use peerage_verack::zcash::{
    AddrV2, Alert, FilterAdd, FilterLoad, Header, Inventory, Message, NetworkAddr,
};

use super::*;

/// ZIP 204, "Maximum Message Size".
const ALL: usize = 2_097_152;

fn reject(message: usize, reason: usize) -> Message {
    Message::Reject(Reject {
        message: PeerText::new(&data(message)),
        code: 0x10,
        reason: PeerText::new(&data(reason)),
        hash: Some([1; 32]),
    })
}

fn addr_v2(count: usize) -> Message {
    let entry = AddrV2 {
        time: UnixTime(7),
        services: Services(u64::MAX),
        addr: NetworkAddr::TorV3([8; 32]),
        port: 1,
    };
    Message::AddrV2(vec![entry; count])
}

fn headers(count: usize, solution: usize) -> Message {
    let header = Header {
        version: 4,
        previous: Hash::default(),
        merkle_root: Hash::default(),
        commitments: Hash::default(),
        time: 1,
        bits: 2,
        nonce: [0; 32],
        solution: data(solution),
    };
    Message::Headers(vec![header; count])
}

fn filter_load(len: usize) -> Message {
    Message::FilterLoad(FilterLoad {
        filter: data(len),
        hash_functions: 50,
        tweak: 0,
        flags: 1,
    })
}

fn filter_add(len: usize) -> Message {
    Message::FilterAdd(FilterAdd { data: data(len) })
}

fn alert(len: usize) -> Message {
    Message::Alert(Alert {
        payload: data(len),
        signature: Bytes::new(),
    })
}

fn opaque(command: &'static str, len: usize) -> Message {
    Message::Opaque {
        command: Command::from_static(command),
        payload: data(len),
    }
}

fn inventories(variant: fn(Vec<Inventory>) -> Message) -> [super::Longest<Message>; 2] {
    let short = |count| variant(vec![Inventory::Tx(Hash::default()); count]);
    let (txid, auth_digest) = (Hash::default(), Hash::default());
    let wtx = Inventory::Wtx { txid, auth_digest };
    // 50,000 entries of 36 bytes, or as many of 68 as the overall limit has room for.
    let long = (ALL - 3) / 68;
    [
        Longest::with_slack(
            short(MAX_INV),
            ALL - 3 - MAX_INV * 36,
            vec![short(MAX_INV + 1)],
        ),
        Longest::with_slack(
            variant(vec![wtx; long]),
            ALL - 3 - long * 68,
            vec![variant(vec![wtx; long + 1])],
        ),
    ]
}

pub(super) fn rows() -> Vec<Longest<Message>> {
    let mut rows = vec![
        Longest::exactly(Message::GetAddr, vec![opaque("getaddr", 1)]),
        Longest::exactly(Message::Mempool, vec![opaque("mempool", 1)]),
        Longest::exactly(Message::FilterClear, vec![opaque("filterclear", 1)]),
        Longest::exactly(Message::Ping(1), vec![opaque("ping", 9)]),
        Longest::exactly(Message::Pong(1), vec![opaque("pong", 9)]),
        Longest::exactly(reject(12, 111), vec![reject(13, 111), reject(12, 112)]),
        Longest::exactly(
            Message::Addr(timed_addrs(MAX_ADDRS)),
            vec![Message::Addr(timed_addrs(MAX_ADDRS + 1))],
        ),
        // The rest is for networks whose addresses are longer than any that is known.
        Longest::with_slack(
            addr_v2(MAX_ADDRS),
            MAX_ADDRS * (512 + 2 - 32),
            vec![addr_v2(MAX_ADDRS + 1)],
        ),
        Longest::exactly(
            Message::GetBlocks(locators(500)),
            vec![Message::GetBlocks(locators(501))],
        ),
        Longest::exactly(
            Message::GetHeaders(locators(500)),
            vec![Message::GetHeaders(locators(501))],
        ),
        // 160 takes a count of one byte, where three are allowed for.
        Longest::with_slack(
            headers(160, 1344),
            2,
            vec![headers(161, 36), headers(1, 1345)],
        ),
        Longest::exactly(filter_load(36_000), vec![filter_load(36_001)]),
        Longest::exactly(filter_add(520), vec![filter_add(521)]),
        Longest::exactly(alert(ALL - 6), vec![alert(ALL - 5)]),
    ];
    rows.extend(inventories(Message::Inv));
    rows.extend(inventories(Message::GetData));
    rows.extend(inventories(Message::NotFound));
    for command in ["tx", "block", "merkleblock"] {
        rows.push(Longest::exactly(
            opaque(command, ALL),
            vec![opaque(command, ALL + 1)],
        ));
    }
    rows
}
