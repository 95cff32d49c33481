//! TALK requests of others, as the application meets them.

use std::fmt;

use peerage_discv5::Record;
use peerage_discv5::address::Contact;
use peerage_discv5::discovery::{MAX_TALK_RESPONSE, TalkTicket};
use tokio::sync::{mpsc, oneshot};

use crate::command::Command;

/// The most TALK requests of one protocol that wait for the application; further ones are answered
/// with nothing at once. Each has at most a packet's bytes.
pub(crate) const MAX_WAITING: usize = 64;

/// The TALK requests of one protocol. Dropping it unregisters the protocol at the next request.
#[derive(Debug)]
pub struct TalkRequests {
    pub(crate) requests: mpsc::Receiver<TalkRequest>,
}

impl TalkRequests {
    /// The next request; `None` when the service has ended.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<TalkRequest> {
        self.requests.recv().await
    }
}

/// A TALK request of another node. Unanswered, it is answered with nothing after
/// [`Config::talk_timeout`](peerage_discv5::Config::talk_timeout).
pub struct TalkRequest {
    /// Who asks, and from where.
    pub contact: Contact,
    /// Its record.
    pub record: Record,
    /// The protocol.
    pub protocol: Vec<u8>,
    /// What it says.
    pub payload: Vec<u8>,
    pub(crate) ticket: TalkTicket,
    pub(crate) commands: mpsc::WeakSender<Command>,
}

/// Why a TALK request could not be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TalkAnswerError {
    /// It has been answered with nothing meanwhile.
    #[error("the answer comes too late: nothing was sent in its place")]
    TooLate,
    /// More bytes than an answer may have.
    #[error("an answer of {len} bytes is too long: {limit} fit")]
    TooLong {
        /// How many there are.
        len: usize,
        /// How many may be.
        limit: usize,
    },
    /// The service has ended.
    #[error("the discovery service has ended")]
    Closed,
}

impl TalkRequest {
    /// Answers it.
    ///
    /// # Errors
    /// When it was too late or too long; nothing is sent then.
    pub async fn answer(self, payload: impl Into<Vec<u8>>) -> Result<(), TalkAnswerError> {
        let (payload, limit) = (payload.into(), MAX_TALK_RESPONSE);
        let len = payload.len();
        if len > limit {
            return Err(TalkAnswerError::TooLong { len, limit });
        }
        let commands = self.commands.upgrade().ok_or(TalkAnswerError::Closed)?;
        let (reply, answered) = oneshot::channel();
        let command = Command::AnswerTalk {
            ticket: self.ticket,
            payload,
            reply,
        };
        let sent = commands.send(command).await;
        sent.map_err(|_| TalkAnswerError::Closed)?;
        answered.await.unwrap_or(Err(TalkAnswerError::Closed))
    }
}

impl fmt::Debug for TalkRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TalkRequest")
            .field("contact", &self.contact)
            .field("protocol", &self.protocol)
            .field("payload_len", &self.payload.len())
            .finish_non_exhaustive()
    }
}
