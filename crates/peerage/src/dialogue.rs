//! What went over the wire in one attempt, and what it takes to read it again.

use std::time::Duration;

use peerage_core::Direction;
use peerage_net::{Chunk, Tape};

use crate::protocol::Attempt;

/// The recorded bytes of both directions, and the attempt that they belong to.
///
/// The attempt's seed is in it, so a network that encrypts can play the dialogue again and read it:
/// [`AnyNode::explain_dialogue`](crate::networks::AnyNode::explain_dialogue).
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// What the handshake started from.
    pub attempt: Attempt,
    /// What was said, in order.
    pub chunks: Vec<Chunk>,
    /// Whether the end was cut off at the tape's bound.
    pub cut: bool,
}

impl Dialogue {
    /// What `tape` has recorded of an attempt so far.
    pub fn new(attempt: Attempt, tape: &Tape) -> Self {
        let (chunks, cut) = tape.recorded();
        Self {
            attempt,
            chunks,
            cut,
        }
    }

    /// All that one side said, in one piece.
    pub fn stream(&self, direction: Direction) -> Stream {
        let mut stream = Stream {
            bytes: Vec::new(),
            ends: Vec::new(),
        };
        for chunk in self.chunks.iter().filter(|c| c.direction == direction) {
            stream.bytes.extend_from_slice(&chunk.bytes);
            stream.ends.push((stream.bytes.len(), chunk.at));
        }
        stream
    }
}

/// All that one side said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where each chunk ended, and when it went by.
    ends: Vec<(usize, Duration)>,
}

impl Stream {
    /// When the byte before `end` went by, since the dialogue began.
    pub fn complete_at(&self, end: usize) -> Duration {
        let chunk = self.ends.iter().find(|(upto, _)| *upto >= end);
        chunk.map_or(Duration::ZERO, |(_, at)| *at)
    }
}
