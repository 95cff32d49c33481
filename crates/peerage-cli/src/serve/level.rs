//! How much of what happens is logged, and how.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;

/// How much it matters. Less matters more, so that a log at one level has all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Level {
    /// It does not work any more without help.
    Error,
    /// Something is wrong and passes, or somebody should look at it.
    Warn,
    /// The life of the daemon and of its sessions.
    Info,
    /// Every failed attempt too.
    Debug,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

macro_rules! names {
    ($($of:ty),+) => {$(
        impl fmt::Display for $of {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let value = self.to_possible_value();
                f.pad(value.as_ref().map_or("", |value| value.get_name()))
            }
        }

        impl FromStr for $of {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                <Self as ValueEnum>::from_str(text, false).map_err(|_| {
                    let all: Vec<_> = Self::value_variants().iter().map(Self::to_string).collect();
                    format!("there are {}", all.join(", "))
                })
            }
        }
    )+};
}

names!(Level, Format);
