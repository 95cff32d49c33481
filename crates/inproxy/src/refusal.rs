//! A broker's no: what it means, and whether to ask again.

use std::time::Duration;

use peerage_core::wire::{ReadError, Reader, Writer};
use peerage_core::{Blame, Detail, Failure, Kind, PeerText, Retry, Stage};

use crate::message::MAX_TEXT_LEN;
use crate::wire::bad;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident = $number:literal, $name:literal, $kind:ident;)+) => {
        /// Why a broker refuses.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Code { $($(#[doc = $doc])+ $code = $number,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$code),+];

            /// Stable snake-case name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$code => $name),+ }
            }

            /// What kind of failure it is.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$code => Kind::$kind),+ }
            }
        }
    };
}

codes! {
    /// Nobody suitable came in time.
    NoMatch = 1, "no_match", Timeout;
    /// The volunteer said that it cannot.
    NoAnswer = 2, "no_answer", Refused;
    /// The volunteer left before it answered.
    VolunteerLeft = 3, "volunteer_left", Closed;
    /// The volunteer did not answer in time.
    AnswerTimeout = 4, "answer_timeout", Timeout;
    /// No client waits for this answer.
    NoClient = 5, "no_client", Timeout;
    /// The broker stops.
    Stopping = 6, "stopping", Left;
    /// A queue is full, or there are too many sessions or calls.
    Full = 7, "full", PeerFull;
    /// This address group has used up its share.
    Limited = 8, "limited", PeerFull;
    /// Under load only the scarce side is let in.
    LoadLimited = 9, "load_limited", PeerFull;
    /// Volunteers of this country are not admitted.
    Country = 10, "country", Refused;
    /// Country or network is unknown, and such requests are not admitted.
    UnknownPlace = 11, "unknown_place", Refused;
    /// No transport in common with this broker.
    NoTransport = 12, "no_transport", Incompatible;
    /// The call cannot be read, or contradicts itself.
    BadRequest = 13, "bad_request", Usage;
    /// The destination is not allowed here.
    Destination = 14, "destination", Refused;
    /// No candidate of the session description may be passed on.
    NoCandidate = 15, "no_candidate", Refused;
    /// UDP destinations are not served.
    Udp = 16, "udp", Incompatible;
    /// A compartment that is not on the broker's list.
    Compartment = 17, "compartment", Refused;
    /// Too little time is left.
    TooLate = 18, "too_late", Timeout;
}

/// A broker's no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker says {}: {text}", code.name())]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// Whether the same may be asked again.
    pub retry: Retry,
    /// In words, printable ASCII, at most 200 bytes.
    pub text: String,
}

impl Refusal {
    /// A refusal for this failure, in its words.
    pub fn new(code: Code, failure: &dyn Failure) -> Self {
        Self::of(code, failure.retry(), &failure.to_string())
    }

    /// A refusal in these words; what does not fit is cut, what is not printable replaced.
    pub fn of(code: Code, retry: Retry, text: &str) -> Self {
        let printable = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
        Self {
            code,
            retry,
            text: text.chars().map(printable).take(MAX_TEXT_LEN).collect(),
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        let (retry, wait) = match self.retry {
            Retry::Never => (0, Duration::ZERO),
            Retry::Now => (1, Duration::ZERO),
            Retry::After(wait) => (2, wait),
        };
        writer
            .u8(self.code as u8)
            .u8(retry)
            .u32_le(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX))
            .var_text(self.text.as_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        let offset = reader.offset();
        let number = reader.u8("code")?;
        let code = Code::ALL.iter().find(|code| **code as u8 == number);
        let code = *code.ok_or_else(|| bad("code", offset, number))?;
        let offset = reader.offset();
        let retry = reader.u8("retry")?;
        let wait_ms = reader.u32_le("wait_ms")?;
        let retry = match (retry, wait_ms) {
            (0, 0) => Retry::Never,
            (1, 0) => Retry::Now,
            (2, _) => Retry::After(Duration::from_millis(wait_ms.into())),
            (got, _) => return Err(bad("retry", offset, got)),
        };
        let text = crate::wire::read_text(reader, "text", MAX_TEXT_LEN)?;
        Ok(Self { code, retry, text })
    }
}

impl Failure for Refusal {
    fn stage(&self) -> Stage {
        Stage::Reach
    }

    fn kind(&self) -> Kind {
        self.code.kind()
    }

    fn blame(&self) -> Blame {
        if self.code == Code::NoMatch {
            Blame::Network
        } else if self.code == Code::BadRequest {
            Blame::Us
        } else {
            self.kind().blame()
        }
    }

    fn retry(&self) -> Retry {
        self.retry
    }

    fn detail(&self) -> Detail {
        Detail::none()
            .with("code", self.code.name())
            .with("text", PeerText::from(self.text.as_str()))
    }
}
