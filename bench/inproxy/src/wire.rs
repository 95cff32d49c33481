//! A UDP forwarder between two ends, with delay and loss: what a long path does, on loopback.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peerage_bench_kit::Error;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What happens to a datagram on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weather {
    /// One way.
    pub delay: Duration,
    /// The share of datagrams that are lost, in each direction.
    pub loss: f64,
    /// Of the dice.
    pub seed: u64,
}

impl Weather {
    /// Whether there is any.
    pub fn is_fair(&self) -> bool {
        self.delay.is_zero() && self.loss == 0.0
    }
}

/// xorshift64*: the same seed loses the same datagrams.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

type Queue = Arc<(Mutex<VecDeque<(Instant, SocketAddr, Vec<u8>)>>, Notify)>;

async fn deliver(socket: Arc<UdpSocket>, queue: Queue) {
    loop {
        let next = queue.0.lock().unwrap().front().map(|(at, ..)| *at);
        match next {
            None => queue.1.notified().await,
            Some(at) if at > Instant::now() => tokio::time::sleep_until(at).await,
            Some(_) => {
                let first = queue.0.lock().unwrap().pop_front();
                if let Some((_, to, bytes)) = first {
                    let _ = socket.send_to(&bytes, to).await;
                }
            }
        }
    }
}

/// Forwards between `known` and whoever sends first besides. Give the others the address that comes back
/// instead of the known one's.
pub async fn forward(known: SocketAddr, weather: Weather) -> Result<SocketAddr, Error> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let options = socket2::SockRef::from(&socket);
    options.set_recv_buffer_size(4 << 20)?;
    options.set_send_buffer_size(4 << 20)?;
    let addr = socket.local_addr()?;
    let socket = Arc::new(socket);
    let queue: Queue = Arc::default();
    tokio::spawn(deliver(Arc::clone(&socket), Arc::clone(&queue)));
    tokio::spawn(async move {
        let mut dice = Dice(weather.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut other = None;
        let mut buffer = vec![0; 65_536];
        loop {
            let Ok((len, from)) = socket.recv_from(&mut buffer).await else {
                continue;
            };
            let to = if from == known {
                other
            } else {
                other = Some(from);
                Some(known)
            };
            let Some(to) = to else { continue };
            if dice.throw() < weather.loss {
                continue;
            }
            let at = Instant::now() + weather.delay;
            queue
                .0
                .lock()
                .unwrap()
                .push_back((at, to, buffer[..len].to_vec()));
            queue.1.notify_one();
        }
    });
    Ok(addr)
}
