//! Frames that promise what does not follow, and how much of one it takes to be refused.

use peerage_core::Direction;
use peerage_ethereum::rlpx::{Initiator, Packet, packet_len};
use peerage_ethereum::{Hello, Local, ecies};

use super::naive::{Naive, point};
use super::pair::{End, Life, answering, node};
use super::rogue::{Stage, at_stage, compressed};

/// What an id takes to be judged: header, tag, and the first block of the body.
pub(crate) const ENOUGH: usize = 48;

/// How many bytes of a frame it takes until it is refused.
pub(crate) fn needed(frame: &[u8], mut give: impl FnMut(&[u8]) -> bool) -> usize {
    for (n, byte) in frame.iter().enumerate() {
        if give(std::slice::from_ref(byte)) {
            return n + 1;
        }
    }
    panic!("all {} bytes were taken", frame.len())
}

/// A listener that has answered the initiator of EIP-8's vectors, and the slow cipher of the other
/// end, which can also seal a header that promises what does not follow.
pub(crate) fn naive_end() -> (End, Naive) {
    let local = Local {
        key: crate::common::b(),
        ..node(1)
    };
    let a = crate::common::a();
    let (_, auth) = Initiator::new(&a, local.key.public(), crate::common::fresh('a')).unwrap();
    let mut end = End::new(&local, answering(2));
    end.hear(&auth);
    let said = end.said();
    let len = packet_len(Packet::Ack, &said).unwrap().unwrap();
    let mut ack = said[..len].to_vec();
    let body = ecies::open(&a, &mut ack).unwrap();
    let nonce = body[69..101].try_into().unwrap();
    let naive = Naive::with_point(&point(&body[4..68]), "nonce_b", nonce, &auth);
    (end, naive)
}

/// The same with a peer.
pub(crate) fn naive_session() -> (Life, Naive) {
    let (mut end, mut naive) = naive_end();
    let (_, rogue) = at_stage(Direction::Inbound, Stage::Status);
    let hello = Hello {
        id: crate::common::a().id(),
        ..rogue.honest_hello()
    };
    end.hear(&naive.seal(&[&[0x80], &hello.encode()[..]].concat()));
    let status = compressed(&rogue.honest_status().encode());
    end.hear(&naive.seal(&[&[0x10], &status[..]].concat()));
    (end.into_peer(), naive)
}

/// A frame of this id and so many bytes of data, as far as its first block.
pub(crate) fn promised(naive: &mut Naive, id: u64, len: usize) -> Vec<u8> {
    let mut block = vec![0; 16];
    block[0] = u8::try_from(id).unwrap();
    let mut frame = naive.seal_as(u64::try_from(len + 1).unwrap(), &block);
    frame.truncate(64);
    frame
}
