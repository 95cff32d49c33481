//! Messages as bytes, for programs that have their own types for them.

use std::borrow::Cow;

use bytes::Bytes;
use peerage_core::wire::{ReadError, Reader, TooLong, Writer};
use peerage_core::{Detail, Failure, Kind, PeerText, Stage};
use peerage_ethereum::eth::{self, EthVersion, Role};
use peerage_ethereum::{CapName, Message, OtherMessage, PeerInfo as EthereumInfo};
use peerage_verack::dialect::Message as _;
use peerage_verack::{Command, PeerInfo, ProtocolVersion};

use super::family::Customs;
use super::kept::Keeps;
use crate::Ethereum;
use crate::peer::MessageOf;

/// A message as it stands on the wire without its envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// Its name: the command, or the specification's. Empty where it has none.
    pub name: Cow<'static, str>,
    /// Its id within its capability, on Ethereum.
    pub code: Option<u32>,
    /// Its capability without the version, on Ethereum. Empty for `eth` where it is given to us.
    pub capability: Cow<'static, str>,
    /// The body: the payload, or the RLP as it is before compression.
    pub body: Bytes,
}

/// A question on its way out.
pub struct Question<N: Keeps> {
    /// What the answer has in common with it.
    pub key: N::RequestKey,
    /// The message.
    pub message: MessageOf<N>,
    /// Whose answer it is: to be handed to [`Wired::answered`].
    pub asked: Asked,
}

/// What was asked, as far as its answer has to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    id: Option<u64>,
    answer: Option<eth::MessageId>,
}

/// Why bytes are no message for a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoMessage {
    /// There is no message of that name, or not with this peer.
    #[error("there is no message {name} between us and this peer")]
    Unknown {
        /// Its name or id.
        name: PeerText,
    },
    /// The peer does not share the capability.
    #[error("the peer does not share the capability {name}")]
    NotShared {
        /// Which.
        name: PeerText,
    },
    /// It is longer than the peer would read.
    #[error("{name} has {len} bytes, and the peer reads {limit} at most")]
    TooLong {
        /// Its name.
        name: PeerText,
        /// Its length in bytes.
        len: usize,
        /// The most, in bytes.
        limit: usize,
    },
    /// It breaks the encoding.
    #[error("{name} is malformed")]
    Malformed {
        /// Its name.
        name: PeerText,
        /// Where and how.
        #[source]
        error: ReadError,
    },
    /// It breaks a rule of Ethereum.
    #[error(transparent)]
    Eth(#[from] eth::MessageError),
    /// It asks nothing.
    #[error("{name} asks nothing: send it instead")]
    NoQuestion {
        /// Its name.
        name: PeerText,
    },
    /// Several messages can answer it.
    #[error("{name} can be answered by several messages: say which answer is awaited")]
    WhichAnswer {
        /// Its name.
        name: PeerText,
    },
    /// It does not answer what was asked.
    #[error("{name} is no answer to what was asked: that takes {wanted}")]
    NoAnswer {
        /// Its name.
        name: PeerText,
        /// What is.
        wanted: &'static str,
    },
}

impl NoMessage {
    /// Whether another peer may take it all the same.
    pub const fn is_about_peer(&self) -> bool {
        matches!(
            self,
            Self::Unknown { .. }
                | Self::NotShared { .. }
                | Self::Eth(eth::MessageError::NoSuchMessage { .. })
        )
    }
}

impl Failure for NoMessage {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        if self.is_about_peer() {
            Kind::Incompatible
        } else {
            Kind::Usage
        }
    }

    fn blame(&self) -> peerage_core::Blame {
        peerage_core::Blame::Caller
    }

    fn retry(&self) -> peerage_core::Retry {
        peerage_core::Retry::Never
    }

    fn detail(&self) -> Detail {
        let detail = Detail::none();
        match self {
            Self::Unknown { name }
            | Self::NotShared { name }
            | Self::NoQuestion { name }
            | Self::WhichAnswer { name } => detail.with("name", name.clone()),
            Self::TooLong { name, len, limit } => {
                let detail = detail.with("name", name.clone());
                detail.with("len", *len).with("limit", *limit)
            }
            Self::Malformed { name, error } => {
                let detail = detail.with("name", name.clone());
                let detail = detail.with("field", error.field);
                detail.with("offset", error.offset)
            }
            Self::Eth(error) => error.detail(),
            Self::NoAnswer { name, wanted } => {
                detail.with("name", name.clone()).with("wanted", *wanted)
            }
        }
    }
}

/// A network whose messages can be handed over as bytes.
pub trait Wired: Keeps {
    /// A message that a peer sent.
    ///
    /// # Errors
    /// When what was agreed with it has no such message, which cannot be where it came from it.
    fn payload(info: &Self::Info, message: &MessageOf<Self>) -> Result<Payload, NoMessage>;

    /// A message to a peer.
    ///
    /// # Errors
    /// Why it is none.
    fn message(info: &Self::Info, payload: &Payload) -> Result<MessageOf<Self>, NoMessage>;

    /// A question to a peer, under `number` where questions have one. `answer` names the message
    /// that is awaited, where there are several.
    ///
    /// # Errors
    /// Why it is none.
    fn question(
        info: &Self::Info,
        payload: &Payload,
        answer: Option<&str>,
        number: u64,
    ) -> Result<Question<Self>, NoMessage>
    where
        Self: Sized;

    /// The answer to a question, as whoever asked numbered it.
    fn answered(asked: Asked, message: MessageOf<Self>) -> MessageOf<Self> {
        let _ = asked;
        message
    }

    /// What a peer asks, to be handed to [`Wired::reply`].
    fn asked(_message: &MessageOf<Self>) -> Asked {
        Asked::default()
    }

    /// An answer to what a peer asks.
    ///
    /// # Errors
    /// Why it is none.
    fn reply(
        info: &Self::Info,
        asked: Asked,
        payload: &Payload,
    ) -> Result<MessageOf<Self>, NoMessage> {
        let _ = asked;
        Self::message(info, payload)
    }
}

/// What answers which command, where that is one message.
const ANSWERS: &[(&str, &str)] = &[
    ("getaddr", "addr"),
    ("getblocks", "inv"),
    ("getcfheaders", "cfheaders"),
    ("getcfilter", "cfilter"),
    ("getcfilterv2", "cfilterv2"),
    ("getcfsv2", "cfiltersv2"),
    ("getcftypes", "cftypes"),
    ("getheaders", "headers"),
    ("getinitstate", "initstate"),
    ("getminings", "miningstate"),
    ("mempool", "inv"),
];

/// A command that both sides have, and the longest payload of it.
fn command<D: Customs>(
    name: &str,
    version: ProtocolVersion,
) -> Result<(Command, usize), NoMessage> {
    let unknown = || NoMessage::Unknown { name: name.into() };
    let mut wire = [0; 12];
    let room = wire.get_mut(..name.len()).ok_or_else(unknown)?;
    room.copy_from_slice(name.as_bytes());
    let command = Command::from_wire(wire).filter(|command| !command.name().is_empty());
    let command = command.ok_or_else(unknown)?;
    if matches!(command, Command::VERSION | Command::VERACK) {
        return Err(unknown());
    }
    let limit = D::max_payload(command, version).ok_or_else(unknown)?;
    Ok((command, limit))
}

fn too_long(name: &str, error: TooLong) -> NoMessage {
    match error.limit {
        // What a version does not have may have no bytes at all.
        0 => NoMessage::Unknown { name: name.into() },
        limit => NoMessage::TooLong {
            name: name.into(),
            len: error.len,
            limit,
        },
    }
}

impl<D: Customs> Wired for D {
    fn payload(info: &PeerInfo, message: &MessageOf<Self>) -> Result<Payload, NoMessage> {
        let command = message.command();
        let limit = D::max_payload(command, info.negotiated);
        // What no table knows came as it is.
        let limit = limit.unwrap_or(D::RULES.max_payload);
        let mut writer = Writer::new(limit);
        message.write(&mut writer);
        let body = writer.finish();
        Ok(Payload {
            name: command.name().to_owned().into(),
            body: body.map_err(|error| too_long(command.name(), error))?,
            ..Payload::default()
        })
    }

    fn message(info: &PeerInfo, payload: &Payload) -> Result<MessageOf<Self>, NoMessage> {
        let (name, body) = (&*payload.name, &payload.body);
        let version = info.negotiated;
        let (command, limit) = command::<D>(name, version)?;
        let len = body.len();
        if len > limit {
            return Err(too_long(name, TooLong { len, limit }));
        }
        let malformed = |error| NoMessage::Malformed {
            name: name.into(),
            error,
        };
        let read = D::Message::read(command, &mut Reader::new(body), body, version);
        let message = read.map_err(malformed)?;
        if message.ping_nonce().is_some() || message.pong_nonce().is_some() {
            // The node keeps the peer alive, and counts what is not its own.
            return Err(NoMessage::Unknown { name: name.into() });
        }
        Ok(message)
    }

    fn question(
        info: &PeerInfo,
        payload: &Payload,
        answer: Option<&str>,
        _: u64,
    ) -> Result<Question<Self>, NoMessage> {
        let message = Self::message(info, payload)?;
        let name = &*payload.name;
        let known = ANSWERS.iter().find(|(question, _)| *question == name);
        let answer = match (answer, known) {
            (Some(answer), _) => answer,
            (None, Some((_, answer))) => answer,
            (None, None) if name.starts_with("get") => {
                return Err(NoMessage::WhichAnswer { name: name.into() });
            }
            (None, None) => return Err(NoMessage::NoQuestion { name: name.into() }),
        };
        let (key, _) = command::<D>(answer, info.negotiated)?;
        Ok(Question {
            key,
            message,
            asked: Asked::default(),
        })
    }
}

/// The version of eth agreed on, where it is one that we speak.
fn eth_version(info: &EthereumInfo) -> Option<EthVersion> {
    EthVersion::from_number(info.eth_version()?)
}

impl Wired for Ethereum {
    fn payload(info: &EthereumInfo, message: &Message) -> Result<Payload, NoMessage> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the base protocol is the node's own, whatever it grows"
        )]
        match message {
            Message::Eth(message) => {
                let not_shared = NoMessage::NotShared { name: "eth".into() };
                let version = eth_version(info).ok_or(not_shared)?;
                let row = message.message().row();
                Ok(Payload {
                    name: row.name.into(),
                    code: u32::try_from(row.id).ok(),
                    capability: "eth".into(),
                    body: message.encode(version)?,
                })
            }
            Message::Other(other) => Ok(Payload {
                name: "".into(),
                code: u32::try_from(other.id).ok(),
                capability: other.capability.as_str().to_owned().into(),
                body: other.body.clone(),
            }),
            _ => Err(NoMessage::Unknown { name: "p2p".into() }),
        }
    }

    fn message(info: &EthereumInfo, payload: &Payload) -> Result<Message, NoMessage> {
        let Payload {
            name,
            code,
            capability,
            body,
        } = payload;
        let not_shared = || NoMessage::NotShared {
            name: (&**capability).into(),
        };
        if !matches!(&**capability, "" | "eth") {
            let wanted = CapName::new(capability.as_bytes()).ok_or_else(not_shared)?;
            if !info.shared.iter().any(|shared| shared.name == wanted) {
                return Err(not_shared());
            }
            let unknown = || NoMessage::Unknown {
                name: (&**name).into(),
            };
            return Ok(Message::Other(OtherMessage {
                capability: wanted,
                id: code.ok_or_else(unknown)?.into(),
                body: body.clone(),
            }));
        }
        let version =
            eth_version(info).ok_or_else(|| NoMessage::NotShared { name: "eth".into() })?;
        let shown = || match code {
            Some(code) if name.is_empty() => format!("{code:#04x}"),
            Some(_) | None => name.to_string(),
        };
        let fits = |row: &&eth::Row| {
            (name.is_empty() || row.name == name)
                && code.is_none_or(|code| row.id == u64::from(code))
                && row.since <= version
                && row.role != Role::Handshake
        };
        let named = !name.is_empty() || code.is_some();
        let row = eth::MESSAGES.iter().find(fits).filter(|_| named);
        let row = row.ok_or_else(|| NoMessage::Unknown {
            name: shown().as_str().into(),
        })?;
        let message = eth::Message::decode(version, row.id, body)?;
        Ok(Message::Eth(message))
    }

    fn question(
        info: &EthereumInfo,
        payload: &Payload,
        _: Option<&str>,
        number: u64,
    ) -> Result<Question<Self>, NoMessage> {
        let Message::Eth(eth::Message::Request(request)) = Self::message(info, payload)? else {
            return Err(NoMessage::NoQuestion {
                name: (&*payload.name).into(),
            });
        };
        let asked = Asked {
            id: Some(request.id),
            answer: None,
        };
        let request = eth::Request {
            id: number,
            ..request
        };
        Ok(Question {
            key: number,
            message: Message::Eth(eth::Message::Request(request)),
            asked,
        })
    }

    fn answered(asked: Asked, message: Message) -> Message {
        match (asked.id, message) {
            (Some(id), Message::Eth(eth::Message::Response(response))) => {
                Message::Eth(eth::Message::Response(eth::Response { id, ..response }))
            }
            (_, message) => message,
        }
    }

    fn asked(message: &Message) -> Asked {
        let Message::Eth(eth::Message::Request(request)) = message else {
            return Asked::default();
        };
        let answer = match request.ask.message().row().role {
            Role::Request { answer } => Some(answer),
            Role::Handshake | Role::Announcement | Role::Response => None,
        };
        let id = Some(request.id);
        Asked { id, answer }
    }

    fn reply(info: &EthereumInfo, asked: Asked, payload: &Payload) -> Result<Message, NoMessage> {
        let message = Self::message(info, payload)?;
        let no_answer = || NoMessage::NoAnswer {
            name: (&*payload.name).into(),
            wanted: asked.answer.map_or("none", |answer| answer.row().name),
        };
        let Message::Eth(eth::Message::Response(response)) = message else {
            return Err(no_answer());
        };
        if Some(response.answer.message()) != asked.answer {
            return Err(no_answer());
        }
        let message = Message::Eth(eth::Message::Response(response));
        Ok(Self::answered(asked, message))
    }
}
