//! A machine that notes what it hears, and says what it is told to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerage_core::Wakeup;
use peerage_sim::{Machine, Network, Now, Output, Seed, Weather, epoch};

/// What a machine heard: when, from whom, what.
pub(crate) type Heard = (Now, SocketAddr, Vec<u8>);

#[derive(Debug, Default)]
pub(crate) struct Ear {
    outbox: VecDeque<Output<Heard>>,
    pub(crate) alarm: Option<Instant>,
    /// When the alarm rang.
    pub(crate) rang: Vec<Now>,
}

impl Ear {
    pub(crate) fn say(&mut self, to: SocketAddr, what: impl Into<Vec<u8>>) {
        let datagram = what.into();
        self.outbox.push_back(Output::Transmit { to, datagram });
    }
}

impl Machine for Ear {
    type Event = Heard;

    fn handle_datagram(&mut self, now: Now, from: SocketAddr, datagram: &mut [u8]) {
        self.outbox
            .push_back(Output::Event((now, from, datagram.to_vec())));
    }

    fn handle_timeout(&mut self, now: Now) {
        if self.alarm.take_if(|at| *at <= now.at).is_some() {
            self.rang.push(now);
        }
    }

    fn poll(&mut self) -> Option<Output<Heard>> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Wakeup> {
        self.alarm.map(|at| Wakeup {
            at,
            why: "an alarm",
        })
    }
}

pub(crate) fn network(seed: u64, weather: Weather) -> Network<Ear> {
    Network::new(epoch(), Seed(seed), weather)
}

pub(crate) fn addr(n: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([20, 0, n, 1], port))
}

/// Everything heard within so long, by host.
pub(crate) fn listen(network: &mut Network<Ear>, span: Duration) -> Vec<(usize, Heard)> {
    let until = network.now() + span;
    let mut heard = Vec::new();
    while let Some((host, event)) = network.poll_event(until) {
        heard.push((host.index(), event));
    }
    heard
}
