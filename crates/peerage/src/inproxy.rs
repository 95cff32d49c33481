//! Connections through volunteers, with this machine's clock and entropy.
//!
//! All of [`peerage_inproxy`], and the terms of the matcher that its messages are in.

mod attached;

pub use self::attached::{Attach, Attached};
pub use peerage_inproxy::*;
pub use peerage_matcher as matcher;

use crate::os;

/// This machine's clock and entropy.
pub const OUTSIDE: Outside = Outside {
    random: os::fill,
    wall_clock: os::wall_clock,
};
