//! A bounded reader and writer for wire formats, and the CompactSize integer.
//!
//! Every read names its field. The name makes an error say what was wrong and where, and a
//! [traced](Reader::traced) reader remembers each field with its place: one decoder serves both
//! the hot path and the annotated transcript.

mod reader;
mod trace;
mod writer;

use std::fmt;

pub use reader::{Problem, ReadError, Reader};
pub use trace::{Field, FieldValue, Group, Trace};
pub use writer::{TooLong, Writer};

/// Bytes shown as lower-case hexadecimal.
#[derive(Clone, Copy)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests;
