//! A reason as the book remembers it.

use std::borrow::Cow;
use std::fmt;

use peerage_core::{Blame, Kind, Reason, Retry};

/// What is kept of a [`Reason`]: all but its typed detail, and the words cut to a bound.
///
/// Unlike a reason it can be read back from a file: the name of a stage is owned if need be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The name of the stage (`peerage_core::Stage::name`): `reach`, `version`, …
    pub stage: Cow<'static, str>,
    /// What failed.
    pub kind: Kind,
    /// Whose doing.
    pub blame: Blame,
    /// Whether to retry.
    pub retry: Retry,
    /// The words, at most [`Self::MAX_WORDS`] bytes.
    pub words: Box<str>,
}

impl Cause {
    /// The most bytes of words kept.
    pub const MAX_WORDS: usize = 240;
    /// The most bytes of a stage's name that is read from a file.
    pub const MAX_STAGE: usize = 32;
}

/// Cuts text at its bound, between characters.
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(Cause::MAX_WORDS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl From<&Reason> for Cause {
    fn from(reason: &Reason) -> Self {
        Self {
            stage: Cow::Borrowed(reason.stage.name()),
            kind: reason.kind,
            blame: reason.blame,
            retry: reason.retry,
            words: cut(&reason.message).into(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.kind, self.stage, self.words)
    }
}
