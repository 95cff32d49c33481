//! Peers played by hand.

use std::net::SocketAddr;

use peerage_core::Endpoint;
use tokio::net::{TcpListener, TcpSocket};

use crate::common::{Lines, secs};

fn addr(endpoint: Endpoint) -> SocketAddr {
    SocketAddr::new(endpoint.ip(), endpoint.port())
}

/// A connection to a node, from this address of loopback.
pub(crate) async fn connect(to: Endpoint, from: &str) -> Lines {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    Lines::new(socket.connect(addr(to)).await.unwrap())
}

/// The same, greeted by this name.
pub(crate) async fn greeted(to: Endpoint, name: &str) -> Lines {
    let mut lines = connect(to, "127.0.0.1").await;
    lines.say(&format!("hello {name} 7")).await.unwrap();
    assert!(lines.line().await.unwrap().starts_with("hello "));
    lines
}

/// One that waits to be dialled.
pub(crate) struct Waiting(TcpListener);

impl Waiting {
    pub(crate) async fn new() -> (Self, Endpoint) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap().into();
        (Self(listener), at)
    }

    /// The next connection, to which nothing is said.
    pub(crate) async fn silent(&self) -> Lines {
        Lines::new(self.0.accept().await.unwrap().0)
    }

    /// The next connection, greeted without a name, with these lines in the same breath.
    pub(crate) async fn greeted(&self, early: &str) -> Lines {
        let (io, _) = self.0.accept().await.unwrap();
        let mut lines = Lines::new(io);
        lines.say(&format!("hello - 7{early}")).await.unwrap();
        lines.line().await.unwrap();
        lines
    }
}

/// The next line that is no ping; pings are answered.
pub(crate) async fn line(lines: &mut Lines) -> Option<String> {
    let heard = async {
        loop {
            let line = lines.line().await?;
            match line.strip_prefix("ping ") {
                Some(nonce) => lines.say(&format!("pong {nonce}")).await.unwrap(),
                None => return Some(line),
            }
        }
    };
    let heard = tokio::time::timeout(secs(3_600), heard).await;
    heard.expect("a line within the hour")
}

/// Answers pings until the end.
pub(crate) fn lives(mut lines: Lines) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(line) = lines.line().await {
            if let Some(nonce) = line.strip_prefix("ping ")
                && lines.say(&format!("pong {nonce}")).await.is_err()
            {
                return;
            }
        }
    })
}
