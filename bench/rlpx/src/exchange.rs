//! The key exchange alone: auth, ack, secrets, as geth's `rlpx.Conn.Handshake` does it.

use std::sync::Arc;

use bytes::BytesMut;
use peerage_bench_kit::{Error, measured};
use peerage_ethereum::frame::FrameCipher;
use peerage_ethereum::key::{Ephemeral, PublicKey, SecretKey};
use peerage_ethereum::rlpx::{Fresh, Initiator, Packet, Recipient, packet_len};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex};

use crate::random;

/// What both ends of a connection in memory may hold, in bytes each way.
const PIPE_LEN: usize = 4096;

fn fresh() -> Result<Fresh, Error> {
    Ok(Fresh::new(Ephemeral::from_bytes(random()?)?, random()?))
}

/// The side that dials.
pub async fn initiate(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ours: &SecretKey,
    theirs: &PublicKey,
) -> Result<FrameCipher, Error> {
    let (initiator, auth) = Initiator::new(ours, theirs, fresh()?)?;
    io.write_all(&auth).await?;
    Ok(initiator.on_ack(ours, &packet(io, Packet::Ack).await?)?)
}

/// The side that is dialled; also who dialled.
async fn respond(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ours: &SecretKey,
) -> Result<(FrameCipher, PublicKey), Error> {
    let auth = packet(io, Packet::Auth).await?.freeze();
    let recipient = Recipient::on_auth(ours, auth)?;
    let who = *recipient.claimed();
    let (cipher, ack) = recipient.answer(ours, fresh()?)?;
    io.write_all(&ack).await?;
    Ok((cipher, who))
}

/// The next packet of the exchange, whole.
async fn packet(io: &mut (impl AsyncRead + Unpin), kind: Packet) -> Result<BytesMut, Error> {
    let mut bytes = BytesMut::with_capacity(1024);
    loop {
        match packet_len(kind, &bytes)? {
            Some(len) if bytes.len() == len => return Ok(bytes),
            Some(len) if bytes.len() > len => return Err("more than one packet".into()),
            _ => {}
        }
        if io.read_buf(&mut bytes).await? == 0 {
            return Err("closed".into());
        }
    }
}

/// Both ends in one task over a pipe in memory. Every key but the static ones is made on the way.
pub async fn over_a_pipe(count: u64, at_once: u64) -> Result<(), Error> {
    let ours = SecretKey::from_bytes(random()?)?;
    let theirs = SecretKey::from_bytes(random()?)?;
    let keys = Arc::new((ours, theirs));
    let one = move || {
        let keys = keys.clone();
        async move {
            let (ours, theirs) = &*keys;
            let (mut near, mut far) = duplex(PIPE_LEN);
            let (dialled, answered) = tokio::join!(
                initiate(&mut near, ours, theirs.public()),
                respond(&mut far, theirs),
            );
            if answered?.1.id() != ours.id() {
                return Err("a stranger".into());
            }
            drop(dialled?);
            Ok(())
        }
    };
    measured("exchange", count, at_once, None, one).await
}
