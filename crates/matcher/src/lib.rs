//! Pairs volunteers with clients: complete search, in exact order, at a cost that does not grow with
//! the queue.
//!
//! A volunteer **announces** a free slot; a client **offers** a session description and asks for a
//! volunteer. Whoever comes second is matched at once if anyone eligible waits, and with the best
//! one: preferred NAT before shared personal compartment before age. The volunteer gets the offer,
//! its **answer** goes back to the client.
//!
//! - [`Matcher`] is all of it: one structure with one owner, time in, [`Action`]s out.
//! - [`Config`] is what an operator decides; [`Extras`] are off by default.
//! - [`record`] holds what both sides say, [`nat`] and [`geography`] what matching reads of it.
//! - [`Matcher::explain_offer`] tells how many volunteers each [`Rule`] keeps from a client.
//!
//! `docs/matcher.md` states the order, the NAT tables, what each operation costs and how this
//! differs from the reference.
//!
//! What it does not do: open sockets, read clocks, draw randomness, hold callers, look into session
//! descriptions, find out where anyone is, or keep anything across a restart.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use peerage_matcher::{
//!     Action, Announcement, Answer, Asn, CompartmentId, Compartments, Config, ConnectionId,
//!     Country, Geography, Matcher, NatType, NetworkProtocol, Offer, Properties, VolunteerId,
//! };
//!
//! let now = Instant::now();
//! let mut matcher = Matcher::new(Config::default(), [0; 16], now)?;
//! let everyone = [CompartmentId([1; 32])];
//! let compartments = Compartments { personal: &[], common: &everyone };
//! let seen_in = |letters: &[u8; 2], asn| Properties {
//!     nat: NatType::OPEN,
//!     geography: Geography::known(Country::new(*letters).unwrap(), Asn(asn)),
//!     ..Properties::default()
//! };
//!
//! let volunteer = VolunteerId([2; 32]);
//! let connection = ConnectionId([3; 32]);
//! let announcement = Announcement {
//!     volunteer,
//!     connection,
//!     properties: seen_in(b"DE", 3320),
//!     address: "192.0.2.1:4000".parse::<std::net::SocketAddr>().unwrap().into(),
//!     priority: false,
//!     newcomer: false,
//!     load: 0,
//!     deadline: Some(now + Duration::from_secs(120)),
//! };
//! let announced = matcher.announce(now, announcement, compartments)?;
//! assert!(matcher.poll_action().is_none());
//!
//! let offer = Offer {
//!     properties: seen_in(b"IR", 44244),
//!     address: "198.51.100.7".parse().unwrap(),
//!     sponsor: None,
//!     network: NetworkProtocol::Tcp,
//!     destination: "example.org:443".into(),
//!     destination_entry: Default::default(),
//!     secret: Default::default(),
//!     description: b"the client's session description".to_vec().into(),
//!     deadline: Some(now + Duration::from_secs(10)),
//! };
//! let offered = matcher.offer(now, offer, compartments)?;
//! let Some(Action::Deliver { to, offer, .. }) = matcher.poll_action() else { panic!() };
//! assert_eq!(to, announced);
//! assert_eq!(&offer.description[..], b"the client's session description");
//!
//! let answer = Answer { version: 1, description: b"the volunteer's".to_vec().into() };
//! matcher.answer(now, &volunteer, &connection, answer)?;
//! let Some(Action::Answer { to, answer, .. }) = matcher.poll_action() else { panic!() };
//! assert_eq!(to, offered);
//! # assert_eq!(&answer.description[..], b"the volunteer's");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod action;
mod admission;
mod audit;
mod by_key;
mod choose;
mod clock;
pub mod config;
mod deadline;
mod entry;
pub mod error;
mod explain;
pub mod geography;
mod hash;
mod heap;
mod index;
mod key;
mod limits;
mod lingering;
mod matcher;
mod order;
mod pairs;
mod pool;
mod postings;
mod quality;
mod queue;
pub mod record;
mod rooms;
mod rules;
mod runs;
mod stats;
mod sweep;

pub use action::{Action, AnnouncementId, Cancelled, Match, OfferId, Shared, Taken};
pub use audit::Discrepancy;
pub use config::{Caps, Config, ConfigError, Extras, LoadLimit, NatRule, PollHints, Preference};
pub use error::{AnnouncementError, AnswerError, OfferError, Refused};
pub use explain::{Count, Explanation};
pub use geography::{Asn, Country, Geography, UnknownGeography};
pub use key::Rule;
pub use limits::{Limited, Limits, Rate};
pub use matcher::{Matcher, Phase};
pub use peerage_core::nat::{self, Behaviour, Class, NatType, NetworkType, PortMappings};
pub use quality::QualityRule;
pub use record::{
    Announcement, Answer, CompartmentId, Compartments, ConnectionId, NetworkProtocol, Offer,
    Properties, SponsorId, Versions, VolunteerId,
};
pub use rules::{AllowMatch, Area};
pub use stats::Stats;
