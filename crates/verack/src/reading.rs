//! One message from its envelope: what the handshake, the session and the explanations share.

use bytes::Bytes;
use peerage_core::wire::Reader;

use crate::command::Command;
use crate::dialect::{Dialect, Message, Unknown};
use crate::envelope::Header;
use crate::error::MessageError;
use crate::version::ProtocolVersion;

/// What holds for every header, whatever the stage.
pub(crate) fn check_header<D: Dialect>(
    header: &Header,
    version: ProtocolVersion,
) -> Result<(), MessageError> {
    let tolerant = D::RULES.unknown == Unknown::Tolerate;
    let Some(command) = header.command else {
        // A nameless message is ignored where that is the rule, but not without a bound.
        let bounded = header.len <= D::RULES.max_payload;
        return if tolerant && bounded {
            Ok(())
        } else {
            Err(MessageError::BadCommand)
        };
    };
    let limit = if command == Command::VERACK {
        0
    } else {
        match D::max_payload(command, version) {
            Some(limit) => limit,
            None if tolerant => D::RULES.max_payload,
            None => return Err(MessageError::UnknownCommand { command }),
        }
    };
    if header.len > limit {
        return Err(MessageError::Oversized {
            command,
            len: header.len,
            limit,
        });
    }
    Ok(())
}

/// Reads one message of an established peer from its payload.
pub(crate) fn read_message<D: Dialect>(
    command: Command,
    payload: &Bytes,
    version: ProtocolVersion,
) -> Result<D::Message, MessageError> {
    D::Message::read(command, &mut Reader::new(payload), payload, version)
        .map_err(|error| MessageError::Malformed { command, error })
}
