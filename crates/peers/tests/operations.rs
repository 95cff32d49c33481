//! A byte string read as a list of operations on a table, with every promise checked after each. A
//! fuzz target, a property test and a folder of kept inputs all call [`run`].
//!
//! The first byte chooses: even, the [life](crate::life) of sessions beside its model; odd, the
//! [talk](crate::talk) of four peers. Each operation is one byte modulo the number of rows here; it
//! takes its arguments from the bytes that follow, and the end of the bytes is the end of the list.
//!
//! | number | life | arguments | talk | arguments |
//! |---|---|---|---|---|
//! | 0 | dial | peer, bits | gossip comes | peer, length |
//! | 1 | admit | peer, bits | a request comes | peer, length |
//! | 2 | stage | which, stage | an answer comes | peer, key |
//! | 3 | identified | which, peer, bits | a request of ours | peer, key |
//! | 4 | established | which, peer, bits | it is cancelled | peer, key |
//! | 5 | ended | which | the application answers | peer |
//! | 6 | disconnect | which | sends | peer, length |
//! | 7 | the least version | version | sends to all | length |
//! | 8 | something is heard | which | what waits is written | peer |
//! | 9 | it lives, or not | which, bit | actions are fetched | how many |
//! | 10 | time passes | 4 ms, or 400 ms, times | a session ends | peer |
//! | 11 | – the same – | | time passes | 40 ms times |
//!
//! Where time passes in a life, a count of 255 means other limits or another standing, by the next byte.

use crate::{life, talk};

/// The most operations carried out of one list.
const MAX_OPERATIONS: usize = 400;

/// Reads and carries out a list of operations; what has happened in it, in words.
///
/// # Panics
/// When a promise is broken.
pub(crate) fn run(program: &[u8]) -> String {
    let mut tape = Tape(program);
    let words = if tape.next().unwrap_or_default().is_multiple_of(2) {
        let mut both = life::Both::new();
        for _ in 0..MAX_OPERATIONS {
            let Some(op) = living(&mut tape) else { break };
            both.run(op);
        }
        both.words
    } else {
        let mut run = talk::Run::new();
        for _ in 0..MAX_OPERATIONS {
            let Some(op) = talking(&mut tape) else { break };
            run.run(op);
        }
        run.settle();
        run.words
    };
    if words.is_empty() {
        return "nothing".into();
    }
    words.into_iter().collect::<Vec<_>>().join("-")
}

fn living(tape: &mut Tape<'_>) -> Option<life::Op> {
    use life::Op;
    Some(match tape.next()? % 12 {
        0 => Op::Dial(tape.below(8)?, tape.next()?),
        1 => Op::Admit(tape.below(8)?, tape.next()?),
        2 => Op::Stage(tape.index()?, 1 + tape.next()? % 3),
        3 => Op::Identified(tape.index()?, tape.below(8)?, tape.next()?),
        4 => Op::Established(tape.index()?, tape.below(8)?, tape.next()?),
        5 => Op::Ended(tape.index()?),
        6 => Op::Disconnect(tape.index()?),
        7 => Op::Least(90 + tape.below(40)?),
        8 => Op::Hear(tape.index()?),
        9 => Op::Alive(tape.index()?, tape.next()?.is_multiple_of(2)),
        _ if tape.0.first() == Some(&255) => match tape.next().and_then(|_| tape.next())? % 2 {
            0 => Op::Limits(tape.index()? % 5, tape.index()? % 4),
            _ => Op::Standing(tape.index()?, tape.next()?),
        },
        _ => {
            let by = u64::from(tape.next()?);
            Op::Pass(if by < 128 { by * 4 } else { by * 400 })
        }
    })
}

fn talking(tape: &mut Tape<'_>) -> Option<talk::Op> {
    use talk::Op;
    Some(match tape.next()? % 12 {
        0 => Op::Gossip(tape.peer()?, tape.len()?),
        1 => Op::Request(tape.peer()?, tape.len()?),
        2 => Op::Answer(tape.peer()?, tape.below(4)?.into()),
        3 => Op::Ask(tape.peer()?, tape.below(4)?.into()),
        4 => Op::Cancel(tape.peer()?, tape.below(4)?.into()),
        5 => Op::Respond(tape.peer()?),
        6 => Op::Send(tape.peer()?, tape.len()?),
        7 => Op::Spread(tape.len()?),
        8 => Op::Write(tape.peer()?),
        9 => Op::Poll(1 + tape.index()? % 8),
        10 => Op::End(tape.peer()?),
        _ => Op::Pass(u64::from(tape.next()?) * 40),
    })
}

struct Tape<'a>(&'a [u8]);

impl Tape<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn below(&mut self, bound: u32) -> Option<u32> {
        Some(u32::from(self.next()?) % bound)
    }

    fn index(&mut self) -> Option<usize> {
        self.next().map(usize::from)
    }

    fn peer(&mut self) -> Option<usize> {
        Some(self.index()? % 4)
    }

    fn len(&mut self) -> Option<usize> {
        Some(1 + self.index()? % 60)
    }
}
