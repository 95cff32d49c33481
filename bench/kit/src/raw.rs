//! A peer made of bare sockets: the least work that still is a handshake.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::canned::Canned;
use crate::{Error, Tally};

/// Any free port on this machine.
pub const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Connections the system may hold until they are accepted, as many as ours lets it.
const BACKLOG: u32 = 128;

/// What junk is written at once, in bytes at least.
const JUNK_LEN: usize = 64 * 1024;

/// Dials, and greets as the dialling side: version, theirs, their verack, ours.
pub async fn dial(to: SocketAddr, canned: &Canned) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await?;
    greet(&mut stream, canned).await?;
    Ok(stream)
}

/// Connects from this address of our own.
pub async fn connect_from(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_nodelay(true)?;
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(to).await
}

/// Greets as the dialling side: version, theirs, their verack, ours.
pub async fn greet(stream: &mut TcpStream, canned: &Canned) -> io::Result<()> {
    stream.write_all(&canned.version).await?;
    let mut heard = Heard::default();
    heard.until(stream, b"verack\0").await?;
    stream.write_all(&canned.verack).await
}

/// Greets as the side that was dialled: their version, ours with our verack, their verack.
pub async fn answer(stream: &mut TcpStream, both: &[u8]) -> io::Result<()> {
    let mut heard = Heard::default();
    heard.until(stream, b"version").await?;
    stream.write_all(both).await?;
    heard.until(stream, b"verack\0").await
}

/// Answers every connection, each in its own task, and counts it on `done`.
pub async fn listen(canned: Canned, done: Tally) -> Result<SocketAddr, Error> {
    let socket = TcpSocket::new_v4()?;
    // Accepted connections inherit it, at no cost.
    socket.set_nodelay(true)?;
    socket.bind(ANY_PORT)?;
    let listener = socket.listen(BACKLOG)?;
    let addr = listener.local_addr()?;
    let both: Arc<[u8]> = [canned.version, canned.verack].concat().into();
    accept_all(listener, move |mut stream| {
        let (both, done) = (both.clone(), done.clone());
        async move {
            match answer(&mut stream, &both).await {
                Ok(()) => done.add(),
                Err(error) => eprintln!("bare sockets: {error}"),
            }
        }
    });
    Ok(addr)
}

/// Hands every connection to `serve`, each in its own task.
pub fn accept_all<F, W>(listener: TcpListener, serve: F)
where
    F: Fn(TcpStream) -> W + Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(serve(stream))),
                Err(error) => return eprintln!("accept: {error}"),
            }
        }
    });
}

/// Dials and sends one frame again and again until the other side closes, whatever it says.
pub async fn send_for_ever(to: SocketAddr, frame: Vec<u8>) -> io::Result<()> {
    let mut stream = TcpStream::connect(to).await?;
    let frames = frame.repeat(JUNK_LEN.div_ceil(frame.len()));
    let (mut reading, mut writing) = stream.split();
    let listening = async {
        let mut heard = [0; 256];
        while reading.read(&mut heard).await? > 0 {}
        Ok(())
    };
    let sending = async {
        loop {
            writing.write_all(&frames).await?;
        }
    };
    tokio::select! {
        heard = listening => heard,
        sent = sending => sent,
    }
}

/// What was read and not yet passed over. A handshake's frames fit many times.
struct Heard {
    bytes: [u8; 2048],
    len: usize,
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            bytes: [0; 2048],
            len: 0,
        }
    }
}

impl Heard {
    /// Reads and passes over whole frames up to and with one of that command.
    async fn until(&mut self, stream: &mut TcpStream, command: &[u8; 7]) -> io::Result<()> {
        loop {
            while let Some(frame) = self.frame_len() {
                let wanted = &self.bytes[4..11] == command;
                self.bytes.copy_within(frame..self.len, 0);
                self.len -= frame;
                if wanted {
                    return Ok(());
                }
            }
            match stream.read(&mut self.bytes[self.len..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.len += read,
            }
        }
    }

    /// The length of the frame at the front, when it is whole.
    fn frame_len(&self) -> Option<usize> {
        let declared = self.bytes[..self.len].get(16..20)?;
        let declared = u32::from_le_bytes(declared.try_into().ok()?) as usize;
        (self.len >= 24 + declared).then_some(24 + declared)
    }
}
