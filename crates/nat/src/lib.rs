//! What stands between us and the others, and which address of ours to tell them.
//!
//! - [`stun`]: the messages of RFC 8489 and RFC 5780, bounded.
//! - [`Survey`]: measures how the NAT before us maps and filters, and says on what evidence; a
//!   [`Watch`] says when to measure again.
//! - [`Responder`]: the server that a survey asks: two addresses, two ports, limits.
//! - [`external`]: decides which address is ours, from what is configured, mapped, voted and seen.
//!
//! ```text
//!  servers ─► Survey ─► Report ──► NatType ─► matching
//!                         │
//!  votes ── mapping ── configuration ──► External ─► the record
//! ```
//!
//! All of it is pure: time and seeds come in, datagrams and decisions go out. Sockets, port mapping
//! and the watch of the network are in `peerage-outside`.
//!
//! ```
//! use std::time::Instant;
//! use peerage_nat::survey::{Action, Settings, SocketId, Survey};
//! use peerage_nat::{Family, Responder, Sites, ResponderLimits};
//!
//! let now = Instant::now();
//! let end = |text: &str| text.parse::<std::net::SocketAddr>().unwrap().into();
//! let sites = Sites::two(end("192.0.2.1:3478"), end("192.0.2.2:3479"))?;
//! let mut server = Responder::new(sites, ResponderLimits::default());
//! let mut survey = Survey::new(now, Family::V4, &[end("192.0.2.1:3478")], Settings::default(), [7; 16]);
//! let us = |socket: SocketId| end(&format!("198.51.100.7:{}", 40_000 + u16::from(socket.0)));
//! let report = loop {
//!     match survey.poll_action() {
//!         Some(Action::Open(socket)) => survey.handle_opened(now, socket, us(socket)),
//!         Some(Action::Transmit { socket, to, datagram }) => {
//!             let leg = server.leg_at(to).unwrap();
//!             if let Some(reply) = server.handle_datagram(now, leg, us(socket), &datagram) {
//!                 survey.handle_datagram(now, socket, server.site(reply.leg), &reply.datagram);
//!             }
//!         }
//!         Some(Action::Close(_)) => {}
//!         Some(Action::Done(report)) => break report,
//!         None => survey.handle_timeout(survey.poll_timeout().unwrap().at),
//!     }
//! };
//! assert_eq!(report.nat(), peerage_core::nat::NatType::OPEN);
//! assert_eq!(report.is_translated(), Some(false));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod external;
mod family;
pub mod responder;
pub mod stun;
pub mod survey;
mod transactions;
pub mod watch;

pub use external::{Claim, Decision, External, Source};
pub use family::Family;
pub use responder::{Leg, Reply, Responder, ResponderLimits, Sites};
pub use survey::{Report, Settings, Survey};
pub use watch::Watch;
