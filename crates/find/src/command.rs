//! What handles ask of the owner task.

use std::fmt;
use std::time::Instant;

use peerage_discv5::discovery::{Answer, Filter, RequestError, TalkTicket};
use peerage_discv5::{Discovery, NodeId, Record};
use tokio::sync::{mpsc, oneshot};

use crate::talk::{TalkAnswerError, TalkRequest};

/// A request to one node.
#[derive(Debug)]
pub(crate) enum Ask {
    Ping,
    FindNode(Vec<u16>),
    Talk { protocol: Vec<u8>, payload: Vec<u8> },
}

/// A search among many.
#[derive(Debug)]
pub(crate) enum Hunt {
    Lookup(NodeId),
    Query(NodeId),
    RandomQuery(Option<Filter>),
    Resolve(NodeId),
}

/// How a request of the caller's ends.
pub(crate) type Answered = Result<Answer, RequestError>;

/// How a search of the caller's ends.
pub(crate) type Hunted = Result<Vec<Record>, RequestError>;

/// Something done to the machine between two datagrams.
type Job = Box<dyn FnOnce(&mut Discovery, Instant) + Send>;

pub(crate) enum Command {
    Request {
        to: Record,
        ask: Ask,
        reply: oneshot::Sender<Answered>,
    },
    Search {
        hunt: Hunt,
        reply: oneshot::Sender<Hunted>,
    },
    With(Job),
    RegisterTalk {
        protocol: Vec<u8>,
        requests: mpsc::Sender<TalkRequest>,
        reply: oneshot::Sender<bool>,
    },
    AnswerTalk {
        ticket: TalkTicket,
        payload: Vec<u8>,
        reply: oneshot::Sender<Result<(), TalkAnswerError>>,
    },
    AddFinder(mpsc::Sender<Record>),
    Metrics(oneshot::Sender<crate::Metrics>),
    Close,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request { .. } => "Request",
            Self::Search { .. } => "Search",
            Self::With(_) => "With",
            Self::RegisterTalk { .. } => "RegisterTalk",
            Self::AnswerTalk { .. } => "AnswerTalk",
            Self::AddFinder(_) => "AddFinder",
            Self::Metrics(_) => "Metrics",
            Self::Close => "Close",
        })
    }
}
