//! Discovery v5 in a simulated network: the machine as a host, and a swarm of them.

mod nearest;
mod plan;
mod report;
mod swarm;

use std::net::SocketAddr;

use peerage_core::Wakeup;
use peerage_discv5::discovery::{Action, Discovery, Event, Received};

pub use nearest::Nearest;
pub use plan::{MAX_NODES, Plan, PlanError};
pub use report::{Progress, Report, Round, run};
pub use swarm::{Swarm, secret_key};

use crate::machine::{Machine, Now, Output};

impl Machine for Discovery {
    type Event = Event;

    fn handle_datagram(&mut self, now: Now, from: SocketAddr, datagram: &mut [u8]) {
        // Nobody shares the port, and the machine has counted it.
        let (Received::Taken | Received::Foreign) =
            Self::handle_datagram(self, now.at, from, datagram);
    }

    fn handle_timeout(&mut self, now: Now) {
        Self::handle_timeout(self, now.at);
    }

    fn poll(&mut self) -> Option<Output<Event>> {
        self.poll_action().map(|action| match action {
            Action::Transmit { to, datagram } => Output::Transmit {
                to: to.socket_addr(),
                datagram,
            },
            Action::Event(event) => Output::Event(event),
        })
    }

    fn poll_timeout(&self) -> Option<Wakeup> {
        Self::poll_timeout(self)
    }
}
