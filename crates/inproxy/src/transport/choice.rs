//! Why a match runs over the transport it runs over.

use std::fmt;

use peerage_matcher::Versions;

use crate::description::TransportKind;

/// Why this transport and no other. The broker takes the highest number that both ends speak, so one
/// end's own set and what was taken tell the whole of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This end speaks no other.
    OnlyOurs,
    /// Both ends speak it, and nothing that both speak comes before it.
    First,
    /// What would come before it, this end speaks and the other does not.
    NotTheirs(TransportKind),
}

impl Choice {
    /// Why `taken` was, for an end that speaks `ours`.
    pub fn new(ours: Versions, taken: TransportKind) -> Self {
        let others = TransportKind::ALL.into_iter().filter(|kind| *kind != taken);
        let mut spoken = others.filter(|kind| !ours.both(kind.version()).is_empty());
        let Some(first) = spoken.next() else {
            return Self::OnlyOurs;
        };
        // The highest that we speak and that was passed over.
        let best = spoken.fold(first, std::cmp::max);
        if best > taken {
            Self::NotTheirs(best)
        } else {
            Self::First
        }
    }

    /// Stable snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnlyOurs => "only_ours",
            Self::First => "first",
            Self::NotTheirs(_) => "not_theirs",
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyOurs => f.write_str("this end speaks no other"),
            Self::First => f.write_str("both ends speak it, and it comes first"),
            Self::NotTheirs(kind) => write!(f, "the other end does not speak {kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TransportKind::{Quic, WebRtc};

    #[test]
    fn one_end_alone_can_tell_why() {
        let both = Quic.version().with(WebRtc as u8);
        assert_eq!(Choice::new(both, Quic), Choice::First);
        assert_eq!(Choice::new(both, WebRtc), Choice::NotTheirs(Quic));
        assert_eq!(Choice::new(Quic.version(), Quic), Choice::OnlyOurs);
        assert_eq!(Choice::new(WebRtc.version(), WebRtc), Choice::OnlyOurs);
        let why = Choice::new(both, WebRtc).to_string();
        assert_eq!(why, "the other end does not speak quic");
    }
}
