//! What memory itself takes on this machine in this minute: steps through an array of as many cache
//! lines as entries wait, and nothing else.

use std::time::Duration;

use crate::world::Random;
use crate::{Error, Meter, PASSES_OF_REMOVAL};

/// One cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    next: u32,
    seen: u32,
}

/// Which line comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// The one that the line itself names: each step waits for the one before.
    Next,
    /// Any, known beforehand: the processor makes several steps at a time.
    Any,
}

impl Walk {
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "next" => Some(Self::Next),
            "any" => Some(Self::Any),
            _ => None,
        }
    }
}

/// So many steps in each of several passes, every line read and written.
pub fn walk(walk: Walk, lines: usize, steps: usize) -> Result<Vec<Duration>, Error> {
    let mut order: Vec<u32> = (0..u32::try_from(lines)?).collect();
    let mut random = Random(1);
    random.shuffle(&mut order);
    let mut array = vec![Line { next: 0, seen: 0 }; lines];
    for (at, &line) in order.iter().enumerate() {
        array[line as usize].next = order[(at + 1) % lines];
    }
    let mut line = *order.first().ok_or("no lines")?;
    let mut passes = Vec::new();
    for pass in 0..PASSES_OF_REMOVAL {
        let meter = Meter::start()?;
        for step in 0..steps {
            if walk == Walk::Any {
                line = order[(pass * steps + step) % lines];
            }
            let place = &mut array[line as usize];
            place.seen += 1;
            line = place.next;
        }
        passes.push(meter.stop()?);
    }
    let seen: usize = array.iter().map(|line| line.seen as usize).sum();
    if seen != steps * PASSES_OF_REMOVAL {
        return Err("a step was lost".into());
    }
    Ok(passes)
}
