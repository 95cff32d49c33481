//! RLP read by name and written in lists.
//!
//! The [`Reader`] is to RLP what [`peerage_core::wire::Reader`] is to the version family: every
//! read names its field, errors say which field and where, and a traced reader remembers each
//! field with its place. Only canonical encodings are read: shortest lengths, no leading zeros.
//!
//! Source: Ethereum Yellow Paper, appendix B; `ethereum.org`, "Recursive-length prefix".

mod header;
mod reader;
mod writer;

pub(crate) use header::{ItemHeader, uint_of};
pub use reader::{Extra, Reader};
pub use writer::Writer;
pub(crate) use writer::encoded;
