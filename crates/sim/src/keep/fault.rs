//! What can be wrong with a citizen.

use std::fmt;

/// What is wrong with a citizen. All but the last three only answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// It is of another chain or fork.
    OtherChain,
    /// It knows nothing of the upgrade.
    Obsolete,
    /// It accepts, and never says a word.
    Silent,
    /// It says what it has to say, a byte in two seconds.
    Tarpit,
    /// It greets, and leaves five seconds later.
    Leaver,
    /// It tells of places where nobody is, or where somebody else is; where nodes tell of
    /// themselves alone, of a port where it does not listen.
    Liar,
    /// It sends pings without end, and opens streams that it says nothing on.
    Flooder,
    /// Nothing listens there.
    Shut,
    /// It works, for five to thirty minutes, and is away for as long.
    Flapping,
    /// It works, and disappears one day.
    Vanishing,
    /// It works, and is at another address one day.
    Moving,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::OtherChain,
        Self::Obsolete,
        Self::Silent,
        Self::Tarpit,
        Self::Leaver,
        Self::Liar,
        Self::Flooder,
        Self::Shut,
        Self::Flapping,
        Self::Vanishing,
        Self::Moving,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OtherChain => "other_chain",
            Self::Obsolete => "obsolete",
            Self::Silent => "silent",
            Self::Tarpit => "tarpit",
            Self::Leaver => "leaver",
            Self::Liar => "liar",
            Self::Flooder => "flooder",
            Self::Shut => "shut",
            Self::Flapping => "flapping",
            Self::Vanishing => "vanishing",
            Self::Moving => "moving",
        }
    }

    /// Whether it keeps peers itself.
    pub const fn keeps(self) -> bool {
        matches!(self, Self::Flapping | Self::Vanishing | Self::Moving)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
