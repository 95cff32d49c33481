//! WebRTC data channels: ICE, DTLS and SCTP (RFC 8831) from the crate `rtc`, over our own socket.
//!
//! The crate is the engine of `webrtc`, without its sockets, tasks and timers: those bind sockets of
//! their own, and wait 200 ms at each of three stages. What one end tells of the other is what QUIC
//! goes by too: candidates that the broker let pass, a check key, a fingerprint. There is neither
//! mDNS nor TURN nor a candidate that comes later.

mod flow;
mod sdp;
mod session;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ring::digest;
use rtc::crypto::{SignatureScheme, default_provider};
use rtc::peer_connection::certificate::{CertificateParams, RTCCertificate};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::udp::PreparedUdp;
use super::{Channel, Choice, Life, Path, Role, TransportError, set_up};
use crate::description::{Description, Fingerprint, TransportKind};
use flow::{Flow, Over};
use session::Session;

/// The certificate that DTLS shows, with its key. New for every match.
#[derive(Clone)]
pub(super) struct Certificate {
    certificate: RTCCertificate,
    fingerprint: Fingerprint,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Certificate")
            .field(&self.fingerprint)
            .finish()
    }
}

impl Certificate {
    pub(super) fn new() -> Result<Self, TransportError> {
        let provider = default_provider().map_err(set_up)?;
        // What browsers show.
        let scheme = SignatureScheme::EcdsaP256Sha256;
        let params = CertificateParams::new(vec!["webrtc".to_owned()]).map_err(set_up)?;
        let certificate =
            RTCCertificate::generate(provider.crypto(), scheme, params).map_err(set_up)?;
        let chain = &certificate.dtls_certificate.certificate;
        let shown = chain.first().ok_or_else(|| set_up("no certificate"))?;
        let mut fingerprint = Fingerprint([0; 32]);
        let hash = digest::digest(&digest::SHA256, shown);
        fingerprint.0.copy_from_slice(hash.as_ref());
        Ok(Self {
            certificate,
            fingerprint,
        })
    }

    pub(super) const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// What the driver and the two halves of a channel share.
struct Shared {
    flow: Mutex<Flow>,
    /// There is something for the driver to do.
    driver: Notify,
    /// It is over.
    over: Notify,
    /// How long a packet takes there and back.
    round_trip: Mutex<Duration>,
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn flow(&self) -> MutexGuard<'_, Flow> {
        held(&self.flow)
    }

    fn finish(&self, over: Over) {
        self.flow().finish(over);
        self.over.notify_waiters();
    }

    async fn until(&self, done: impl Fn(&Flow) -> bool) {
        loop {
            let notified = self.over.notified();
            if done(&self.flow()) {
                return;
            }
            notified.await;
        }
    }
}

/// Connects over the socket that was prepared.
pub(super) async fn connect(
    mut prepared: PreparedUdp,
    role: Role,
    remote: &Description,
    deadline: Instant,
) -> Result<Channel, TransportError> {
    let kind = TransportKind::WebRtc;
    let unspoken = |by_us| TransportError::NotSpoken { kind, by_us };
    let certificate = prepared.certificate.take().ok_or_else(|| unspoken(true))?;
    let dtls = remote.dtls.ok_or_else(|| unspoken(false))?;
    let choice = Choice::new(prepared.speaks, kind);
    let mut session = Session::new(prepared, certificate, role, (remote, dtls))?;
    let (local, addr) = session.open(deadline).await?;
    let shared = Arc::new(Shared {
        flow: Mutex::new(Flow::new()),
        driver: Notify::new(),
        over: Notify::new(),
        round_trip: Mutex::new(session.round_trip()),
    });
    // It ends by itself when either end closes or the other is gone.
    tokio::spawn(session.drive(Arc::clone(&shared)));
    let arrived = Arc::clone(&shared);
    Ok(Channel {
        read: Box::new(Half(Arc::clone(&shared), Direction::In)),
        write: Some(Box::new(Half(Arc::clone(&shared), Direction::Out))),
        life: Arc::new(WebRtcLife(shared)),
        linger: Some(Box::pin(async move {
            // In the other end, that is, which keeps it until it is read.
            arrived.until(Flow::has_arrived).await;
        })),
        path: Path {
            local,
            remote: addr,
            transport: kind,
            choice,
        },
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

struct Half(Arc<Shared>, Direction);

impl AsyncRead for Half {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut flow = self.0.flow();
        let read = flow.poll_read(cx, buffer);
        if flow.owes() {
            self.0.driver.notify_one();
        }
        read
    }
}

impl AsyncWrite for Half {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.0.flow().poll_write(cx, bytes);
        if written.is_ready() {
            self.0.driver.notify_one();
        }
        written
    }

    /// The driver sends as soon as it may; there is nothing to push.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.flow().end();
        self.0.driver.notify_one();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        match self.1 {
            Direction::In => self.0.flow().deafen(),
            Direction::Out => self.0.flow().end(),
        }
        self.0.driver.notify_one();
    }
}

struct WebRtcLife(Arc<Shared>);

impl Life for WebRtcLife {
    fn closed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.0.until(|flow| flow.over().is_some()))
    }

    fn abort(&self) {
        self.0.flow().close(true);
        self.0.driver.notify_one();
    }

    fn round_trip(&self) -> Duration {
        *held(&self.0.round_trip)
    }
}

impl Drop for WebRtcLife {
    fn drop(&mut self) {
        self.0.flow().close(false);
        self.0.driver.notify_one();
    }
}
