//! Messages and whole dialogues taken apart, for people: every field with its place and value.
//!
//! The same readers as on the hot path do it, only traced. A dialogue is read again from the bytes
//! of both directions and the attempt that they belong to: [`Attempt::seeded`] makes it again.

use bytes::{Bytes, BytesMut};
use peerage_core::wire::{Field, ReadError};

use crate::capability::{CapName, Layout, negotiate};
use crate::disconnect::DisconnectReason;
use crate::error::WireError;
use crate::eth::{self, EthVersion, MessageId, Status};
use crate::frame::{FrameCipher, Ingress, OpenError};
use crate::hello::Hello;
use crate::key::SharedStatic;
use crate::local::{Attempt, Local};
use crate::p2p;
use crate::packet::{Packet as Exchange, packet_len};
use crate::rlp::Reader;
use crate::rlpx::{Initiator, Recipient, RlpxError};
use crate::secrets::{Half, Secrets};
use crate::snappy;

/// One message taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dissection {
    /// Its name: `Hello`, `GetBlockHeaders`, `snap/1 message 3`.
    pub name: String,
    /// Its plain body. Offsets of fields count in here.
    pub plain: Bytes,
    /// Its fields; on error those before it.
    pub fields: Vec<Field>,
    /// Whether encoding the decoded message again gives the same bytes.
    pub canonical: bool,
    /// Why it is no sound message.
    pub error: Option<WireError>,
}

/// The message with this id on the wire, from its plain body.
pub fn dissect(layout: &Layout, id: u64, plain: Bytes) -> Dissection {
    let mut reader = Reader::traced(&plain);
    let (name, read) = read(layout, id, &mut reader, &plain);
    let fields = reader.into_fields();
    let (canonical, error) = match read {
        Ok(again) => (again.is_none_or(|again| again == plain), None),
        Err(error) => (false, Some(error)),
    };
    Dissection {
        name,
        plain,
        fields,
        canonical,
        error,
    }
}

/// A message's name, and what encoding it again gives where that is ours to do.
fn read(
    layout: &Layout,
    id: u64,
    reader: &mut Reader<'_>,
    plain: &Bytes,
) -> (String, Result<Option<Bytes>, WireError>) {
    let known = |name: &'static str, read: Result<Bytes, ReadError>| {
        let read = read.map_err(|error| WireError::Malformed { name, error });
        (name.to_owned(), read.map(Some))
    };
    match id {
        p2p::HELLO => return known("Hello", Hello::read(reader).map(|hello| hello.encode())),
        p2p::DISCONNECT => {
            return known(
                "Disconnect",
                DisconnectReason::read(reader).map(|why| why.encode()),
            );
        }
        p2p::PING => return known("Ping", p2p::read_ping(plain).map(|()| p2p::EMPTY.into())),
        p2p::PONG => return known("Pong", p2p::read_ping(plain).map(|()| p2p::EMPTY.into())),
        _ => {}
    }
    let Some(found) = layout.locate(id) else {
        return (
            format!("message 0x{id:02x}"),
            Err(WireError::Unknown { id }),
        );
    };
    let shared = layout.shared().get(found.index);
    let Some(capability) = shared.map(|shared| shared.spec.capability) else {
        return (
            format!("message 0x{id:02x}"),
            Err(WireError::Unknown { id }),
        );
    };
    let version = EthVersion::from_number(capability.version);
    let Some(version) = version.filter(|_| capability.name == CapName::ETH) else {
        reader.rest("body");
        return (format!("{capability} message {}", found.relative), Ok(None));
    };
    let Some(row) = eth::row(version, found.relative) else {
        let name = format!("{capability} message {}", found.relative);
        return (name, Err(WireError::Unknown { id }));
    };
    if row.message == MessageId::Status {
        return known(
            "Status",
            Status::read(reader, version).map(|status| status.encode()),
        );
    }
    let message = eth::Message::read(version, found.relative, reader, plain);
    let again = message.and_then(|message| message.encode(version));
    (
        row.name.to_owned(),
        again.map(Some).map_err(WireError::from),
    )
}

/// One packet or frame of a dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Offset of its first byte in its direction, in bytes.
    pub offset: usize,
    /// Its length on the wire, in bytes.
    pub len: usize,
    /// What it is.
    pub what: What,
}

/// What a piece of a dialogue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A packet of the key exchange.
    Exchange {
        /// `auth` or `ack`.
        name: &'static str,
        /// Why it is none.
        error: Option<RlpxError>,
    },
    /// A sealed message.
    Message(Dissection),
    /// Bytes that cannot be read, and why.
    Sealed(String),
}

/// Both directions of one connection, what we sent first. Each is read as far as it can be.
pub fn dissect_dialogue(
    local: &Local,
    attempt: Attempt,
    sent: &[u8],
    received: &[u8],
) -> (Vec<Piece>, Vec<Piece>) {
    let dials = attempt.terms.peer.is_some();
    let (auth, ack) = if dials {
        (sent, received)
    } else {
        (received, sent)
    };
    let (mut auths, auth_end) = exchanged(Exchange::Auth, auth);
    let (mut acks, ack_end) = exchanged(Exchange::Ack, ack);
    let whole = auth_end.zip(ack_end);
    let ciphers = whole
        .map(|(auth_end, ack_end)| ciphers(local, attempt, &auth[..auth_end], &ack[..ack_end]));
    let (sent_pieces, received_pieces) = if dials {
        (&mut auths, &mut acks)
    } else {
        (&mut acks, &mut auths)
    };
    match (whole, ciphers) {
        (Some((auth_end, ack_end)), Some(Ok((ours, theirs)))) => {
            let (sent_from, received_from) = if dials {
                (auth_end, ack_end)
            } else {
                (ack_end, auth_end)
            };
            let mut layout = Layout::default();
            let mut compresses = false;
            // A Hello tells how to read what follows, so the peer's is read first.
            let mut heard = frames(ours.ingress, received, received_from);
            if let Some(hello) = heard.iter().find_map(Opened::hello) {
                layout = negotiate(&local.capabilities, &hello.capabilities);
                compresses = hello.speaks_snappy();
            }
            let said = frames(theirs.ingress, sent, sent_from);
            received_pieces.extend(heard.drain(..).map(|f| f.into_piece(&layout, compresses)));
            sent_pieces.extend(said.into_iter().map(|f| f.into_piece(&layout, compresses)));
        }
        (_, Some(Err(error))) => {
            let pieces = if dials { &mut acks } else { &mut auths };
            if let Some(Piece {
                what: What::Exchange { error: slot, .. },
                ..
            }) = pieces.last_mut()
            {
                *slot = Some(error);
            }
        }
        _ => {}
    }
    if dials { (auths, acks) } else { (acks, auths) }
}

/// The packet at the front of a direction, and where it ends if it is whole.
fn exchanged(packet: Exchange, stream: &[u8]) -> (Vec<Piece>, Option<usize>) {
    if stream.is_empty() {
        return (Vec::new(), None);
    }
    let len = packet_len(packet, stream);
    let end = len.ok().flatten().filter(|len| *len <= stream.len());
    let piece = Piece {
        offset: 0,
        len: end.unwrap_or(stream.len()),
        what: What::Exchange {
            name: packet.name(),
            error: len.err(),
        },
    };
    (vec![piece], end)
}

/// Our cipher and the peer's, which opens what we sealed.
fn ciphers(
    local: &Local,
    attempt: Attempt,
    auth: &[u8],
    ack: &[u8],
) -> Result<(FrameCipher, FrameCipher), RlpxError> {
    let both = |secrets: &Secrets, ours: Half<'_>, theirs: Half<'_>| {
        (secrets.cipher(ours, theirs), secrets.cipher(theirs, ours))
    };
    let Attempt { terms, fresh } = attempt;
    let key = local.key_for(&terms);
    match &terms.peer {
        Some(peer) => Initiator::new(&key, peer, *fresh)?.0.agree(&key, ack, both),
        None => {
            let recipient = Recipient::on_auth(&key, Bytes::copy_from_slice(auth))?;
            let shared = SharedStatic::new(&key, recipient.claimed());
            Ok(recipient.agree(&shared, *fresh, both)?.0)
        }
    }
}

/// A frame that was opened, or what could not be.
struct Opened {
    offset: usize,
    len: usize,
    message: Result<(u64, Bytes), String>,
}

impl Opened {
    fn hello(&self) -> Option<Hello> {
        let (id, body) = self.message.as_ref().ok()?;
        Hello::decode(body).ok().filter(|_| *id == p2p::HELLO)
    }

    fn into_piece(self, layout: &Layout, compresses: bool) -> Piece {
        let what = match self.message {
            Ok((id, body)) => inflate(layout, id, body, compresses),
            Err(why) => What::Sealed(why),
        };
        Piece {
            offset: self.offset,
            len: self.len,
            what,
        }
    }
}

fn inflate(layout: &Layout, id: u64, body: Bytes, compresses: bool) -> What {
    if !compresses || id == p2p::HELLO {
        return What::Message(dissect(layout, id, body));
    }
    let limit = layout.max_len(id).unwrap_or(eth::MAX_LEN);
    let mut plain = BytesMut::new();
    match snappy::decode(&body, limit, &mut plain) {
        Ok(()) => What::Message(dissect(layout, id, plain.freeze())),
        // Nodes send a Disconnect in either form.
        Err(_) if id == p2p::DISCONNECT => What::Message(dissect(layout, id, body)),
        Err(error) => What::Sealed(format!("message 0x{id:02x}: {error}")),
    }
}

/// The frames of one direction from `start` on.
fn frames(mut ingress: Ingress, stream: &[u8], start: usize) -> Vec<Opened> {
    let mut opened = Vec::new();
    let mut input = BytesMut::from(stream.get(start..).unwrap_or_default());
    let mut offset = start;
    while !input.is_empty() {
        let before = input.len();
        let frame = ingress.next(&mut input, |_, _| Ok::<(), std::convert::Infallible>(()));
        let message = match frame {
            Ok(Some(frame)) => Ok((frame.id, frame.data.freeze())),
            Ok(None) => Err(format!("{before} bytes of a frame that is not all there")),
            Err(OpenError::Frame(error)) => Err(error.to_string()),
            Err(OpenError::Refused { error, .. }) => match error {},
        };
        let over = message.is_err();
        let len = if over { before } else { before - input.len() };
        opened.push(Opened {
            offset,
            len,
            message,
        });
        offset += len;
        if over {
            break;
        }
    }
    opened
}
