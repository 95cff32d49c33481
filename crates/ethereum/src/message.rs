//! What an established peer says, whatever the capability.

use bytes::Bytes;

use crate::capability::CapName;
use crate::disconnect::DisconnectReason;
use crate::eth;

/// A message of an established peer.
///
/// There is no Hello and no Status: a second one cannot be represented.
///
/// ```compile_fail,E0599
/// let message = peerage_ethereum::Message::Hello;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Asks for a Pong.
    Ping,
    /// Answers a Ping.
    Pong,
    /// Says why the sender leaves. Only ever sent: received, it is the session's error.
    Disconnect(DisconnectReason),
    /// A message of eth.
    Eth(eth::Message),
    /// A message of another capability.
    Other(OtherMessage),
}

/// A message of a capability that is known by its [`CapabilitySpec`] only.
///
/// [`CapabilitySpec`]: crate::capability::CapabilitySpec
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherMessage {
    /// The capability.
    pub capability: CapName,
    /// The message's id within the capability.
    pub id: u64,
    /// The plain body.
    pub body: Bytes,
}
