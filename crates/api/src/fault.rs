//! Why a call fails, with a reason and words that say what to do.

use peerage::core::Failure;
use peerage::node::peers::{Dead, NotSent};
use peerage::node::{NoMessage, RequestError, Stopped};
use peerage::{Kind, Reason};
use prost::Message as _;
use tonic::{Code, Status};

use crate::convert::{self, usage};
use crate::hub::Refused;
use crate::v1;

/// Why a call fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In the words of gRPC.
    pub code: Code,
    /// Why.
    pub reason: Reason,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason.message)
    }
}

impl std::error::Error for Fault {}

/// What details are, by the convention of gRPC: `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
struct Details {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

impl Fault {
    /// A call that makes no sense.
    pub fn invalid(words: impl Into<Box<str>>) -> Self {
        Self {
            code: Code::InvalidArgument,
            reason: usage(words),
        }
    }

    /// There is no such thing.
    pub fn missing(words: impl Into<Box<str>>) -> Self {
        Self {
            code: Code::NotFound,
            reason: usage(words),
        }
    }

    /// Something failed that knows why.
    pub(crate) fn of(code: Code, error: &impl Failure) -> Self {
        let reason = error.reason();
        Self { code, reason }
    }

    pub(crate) fn of_kind(code: Code, kind: Kind, words: impl Into<Box<str>>) -> Self {
        let reason = Reason {
            kind,
            blame: kind.blame(),
            retry: kind.retry(),
            ..usage(words)
        };
        Self { code, reason }
    }

    /// What the interface tells of it.
    pub fn problem(&self) -> v1::Problem {
        v1::Problem {
            reason: Some(convert::reason(&self.reason)),
        }
    }
}

/// What the details of an error say, where they were made here.
pub fn problem_of(status: &Status) -> Option<v1::Problem> {
    let details = Details::decode(status.details()).ok()?;
    let any = details.details.first()?;
    v1::Problem::decode(&*any.value).ok()
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let message = fault.to_string();
        let details = Details {
            code: fault.code as i32,
            message: message.clone(),
            details: vec![prost_types::Any {
                type_url: "type.googleapis.com/peerage.v1.Problem".to_owned(),
                value: fault.problem().encode_to_vec(),
            }],
        };
        Self::with_details(fault.code, message, details.encode_to_vec().into())
    }
}

impl From<Stopped> for Fault {
    fn from(stopped: Stopped) -> Self {
        Self::of_kind(Code::Unavailable, Kind::Cancelled, stopped.to_string())
    }
}

impl From<Dead> for Fault {
    fn from(dead: Dead) -> Self {
        Self::missing(format!(
            "{dead}: it has ended; list the peers for those there are"
        ))
    }
}

impl From<NoMessage> for Fault {
    fn from(error: NoMessage) -> Self {
        let code = if error.is_about_peer() {
            Code::FailedPrecondition
        } else {
            Code::InvalidArgument
        };
        Self::of(code, &error)
    }
}

impl From<NotSent> for Fault {
    fn from(error: NotSent) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "it has no room, one way or another"
        )]
        let advice = match error {
            NotSent::Dead(dead) => return dead.into(),
            NotSent::NoSuchRequest(_) => {
                return Self::missing("there is no such request: it was answered or given up");
            }
            NotSent::TooManyRequests { .. } | NotSent::KeyInUse => {
                "wait for an answer, or ask another peer"
            }
            NotSent::Ended => {
                let words = "the peer took so little that its session was ended";
                return Self::of_kind(Code::NotFound, Kind::Full, words);
            }
            _ => "the peers take too little: send later, or less",
        };
        let words = format!("{error}: {advice}");
        Self::of_kind(Code::ResourceExhausted, Kind::Full, words)
    }
}

impl From<RequestError> for Fault {
    fn from(error: RequestError) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "it did not come in time, in whatever form that is told"
        )]
        match error {
            RequestError::NotSent(error) => error.into(),
            RequestError::Closed(reason) => Self {
                code: Code::Aborted,
                reason: Reason {
                    message: format!("the session ended before the answer: {}", reason.message)
                        .into(),
                    ..*reason
                },
            },
            RequestError::Stopped(stopped) => stopped.into(),
            error => Self::of_kind(
                Code::DeadlineExceeded,
                Kind::Timeout,
                format!("{error}: ask another"),
            ),
        }
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        let words = refused.to_string();
        match refused {
            Refused::TooMany { .. } | Refused::Total { .. } => {
                Self::of_kind(Code::ResourceExhausted, Kind::Full, words)
            }
            Refused::Budget { .. } | Refused::Lease { .. } => Self::invalid(words),
            Refused::Unknown => Self::missing(words),
        }
    }
}
