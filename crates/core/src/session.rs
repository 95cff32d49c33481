//! What a finished handshake leaves behind: a codec for the messages of an established peer.

use std::fmt;

use bytes::BytesMut;

use crate::reason::Failure;

/// Turns bytes into the messages of one established peer, and messages into bytes.
///
/// Pure and single-owner, like every machine here. Messages that came legally during the handshake
/// are returned by [`Session::decode`] first, once, in order, by the ordinary path.
pub trait Session {
    /// A message after the handshake. It has no variant for a handshake message.
    type Message: fmt::Debug;
    /// Why bytes or a message were refused. The connection is of no use afterwards.
    type Error: Failure;

    /// The longest message with its envelope, in bytes.
    const MAX_WIRE_LEN: usize;

    /// The next message, or `None` when `input` holds no complete one.
    ///
    /// Consumes whole frames only, and returns every complete one before it asks for more bytes.
    ///
    /// # Errors
    /// When the peer broke the protocol.
    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Self::Message>, Self::Error>;

    /// Appends the encoded message to `output`; on error nothing is appended.
    ///
    /// # Errors
    /// When the message cannot be sent to this peer: too large, or not part of its version.
    fn encode(&mut self, message: &Self::Message, output: &mut BytesMut)
    -> Result<(), Self::Error>;

    /// A ping carrying `nonce`.
    fn ping(nonce: u64) -> Self::Message;

    /// Whether `message` answers the ping that carried `nonce`. Where pings carry none, every pong
    /// answers the last ping.
    fn is_pong(message: &Self::Message, nonce: u64) -> bool;

    /// The answer, when `message` is a ping.
    fn answer_to_ping(message: &Self::Message) -> Option<Self::Message>;

    /// The answer with nothing in it, when `message` is a request that must be answered: what a node
    /// without an application says.
    fn empty_answer(_message: &Self::Message) -> Option<Self::Message> {
        None
    }
}
