//! What became of reaching others through volunteers.

use std::time::Duration;

use peerage::{Kind, Reason};

/// One thing that was tried through volunteers.
#[derive(Debug)]
pub(super) struct Step {
    /// What, in at most 40 columns.
    pub(super) what: String,
    /// The kind of reason it must fail with; none if it must go well.
    pub(super) expected: Option<Kind>,
    /// What came of it: in words, or why not.
    pub(super) got: Result<String, Reason>,
    pub(super) took: Duration,
}

impl Step {
    /// Whether it went as it must.
    pub(super) fn is_right(&self) -> bool {
        self.got.as_ref().err().map(|reason| reason.kind) == self.expected
    }

    /// The verdict in a word.
    pub(super) fn kind(&self) -> &'static str {
        match &self.got {
            Ok(_) => "reached",
            Err(reason) => reason.kind.name(),
        }
    }
}
