//! Volunteers, clients and destinations that run.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;

use peerage_inproxy::AllowList;
use peerage_inproxy::client::{ClientConfig, Dialer, Where};
use peerage_inproxy::transport::Udp;
use peerage_inproxy::volunteer::{Event, Stopped, Totals, Volunteer, VolunteerConfig};
use peerage_net::Target;
use ring::digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{COMMON, OUTSIDE, Running, entry, udp};

/// A destination that echoes, as many at once as come.
pub(crate) async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    addr
}

pub(crate) fn target(addr: SocketAddr) -> Target {
    addr.to_string().parse().unwrap()
}

pub(crate) fn client(broker: &Running) -> Dialer<Udp> {
    let config = ClientConfig::new(Where::Common(vec![COMMON]), vec![entry()]);
    Dialer::new(broker.caller(), udp(), config, OUTSIDE)
}

/// A volunteer that runs.
pub(crate) struct Serving {
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) totals: Arc<Totals>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) running: JoinHandle<Stopped>,
}

impl Serving {
    pub(crate) fn new(broker: &Running, change: impl FnOnce(&mut VolunteerConfig)) -> Self {
        let mut config = VolunteerConfig {
            allow: AllowList {
                private: true,
                ..AllowList::public(1, 65_535)
            },
            ..VolunteerConfig::default()
        };
        change(&mut config);
        let (sender, events) = mpsc::channel(1024);
        let volunteer = Volunteer::new(broker.caller(), udp(), config, sender);
        let totals = volunteer.totals();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            if stopped.await.is_err() {
                pending::<()>().await;
            }
        };
        let running = tokio::spawn(volunteer.run(stopped));
        Self {
            events,
            totals,
            stop: Some(stop),
            running,
        }
    }

    /// The next event that `wanted` takes.
    pub(crate) async fn event<R>(&mut self, wanted: impl Fn(&Event) -> Option<R>) -> R {
        loop {
            let event = self.events.recv().await.expect("the volunteer goes on");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }

    pub(crate) async fn stop(mut self) -> Stopped {
        self.stop.take().unwrap().send(()).unwrap();
        (&mut self.running).await.unwrap()
    }
}

/// Sends so many bytes, ends, and hears them all again.
pub(crate) async fn echoed(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite, len: usize) {
    let (mut read, mut write) = tokio::io::split(stream);
    let send = async {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut chunk = vec![3_u8; 50_000];
        let mut left = len;
        while left > 0 {
            chunk[0] = chunk[0].wrapping_add(1);
            chunk.rotate_left(11);
            let part = &chunk[..left.min(chunk.len())];
            hash.update(part);
            write.write_all(part).await.unwrap();
            left -= part.len();
        }
        write.shutdown().await.unwrap();
        hash.finish()
    };
    let receive = async {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut chunk = vec![0; 50_000];
        loop {
            match read.read(&mut chunk).await.unwrap() {
                0 => return hash.finish(),
                len => hash.update(&chunk[..len]),
            }
        }
    };
    let (sent, heard) = tokio::join!(send, receive);
    assert_eq!(sent.as_ref(), heard.as_ref());
}
