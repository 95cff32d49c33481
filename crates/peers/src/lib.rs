//! Keeps peers: slots, duplicates, keepalive, requests, byte budgets and goodbyes, without a socket
//! or a clock.
//!
//! - [`Table`] is the machine: one structure with one owner, time in, [`Action`]s out. Its parts are
//!   the life of an attempt ([`Table::dial`], [`Table::admit`], [`Table::established`]), its end
//!   ([`Table::ended`], [`Table::disconnect`]), messages both ways ([`Table::received`],
//!   [`Table::request`], [`Table::poll_transmit`]) and the judgement of peers
//!   ([`Table::set_status`]).
//! - [`Types`] is what a network brings; [`Config`] is what it and the operator decide, with one
//!   value for each network.
//! - [`Admission`] guards a listener before the handshake.
//! - [`Inventory`] remembers which peers have which block or transaction.
//! - [`evict`] chooses who makes room.
//!
//! `docs/sessions.md` tells the life of a session.
//!
//! What it does not do: move bytes, encode messages, remember peers that left, or choose whom to
//! dial.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use peerage_core::{ConnectedAddr, Endpoint, Reason, Stage};
//! use peerage_peers::{
//!     Action, Config, Dial, Event, Greeted, Heard, Standing, Table, Tie, Types,
//! };
//!
//! /// A network whose peers are known by number, and whose messages are words.
//! #[derive(Debug)]
//! struct Words;
//!
//! impl Types for Words {
//!     type Identity = u32;
//!     type Profile = ();
//!     type Status = ();
//!     type Message = String;
//!     type Key = u64;
//!     fn judge(_: &(), _: &()) -> Result<(), Reason> {
//!         Ok(())
//!     }
//!     fn ping(nonce: u64) -> String {
//!         format!("ping {nonce}")
//!     }
//! }
//!
//! let mut now = Instant::now();
//! let mut table: Table<Words> = Table::new(Config::ethereum(), (), [7; 16], now)?;
//!
//! // A dial takes a slot; its task says how far it has come.
//! let addr: Endpoint = "192.0.2.1:30303".parse::<std::net::SocketAddr>().unwrap().into();
//! let dial = Dial { identity: 5, addr: Some(addr), standing: Standing::Ordinary };
//! let id = table.dial(now, dial)?;
//! table.stage(now, id, Stage::Greet("hello"))?;
//! let greeted = Greeted {
//!     identity: 5,
//!     addr: ConnectedAddr::OutboundDirect { addr },
//!     profile: (),
//!     standing: Standing::Ordinary,
//!     tie: Tie::between(&9, &5),
//! };
//! table.established(now, id, greeted)?;
//! let Some(Action::Event(Event::Established { identity: 5, .. })) = table.poll_action() else {
//!     panic!()
//! };
//!
//! // We ask; the task writes; the answer comes back by its key.
//! table.request(now, id, 77, ("how high?".to_owned(), 9))?;
//! assert!(matches!(table.poll_action(), Some(Action::Wake(_))));
//! assert_eq!(table.poll_transmit(now, id).as_deref(), Some("how high?"));
//! now += Duration::from_millis(80);
//! let answer = Heard::Answer { key: 77, message: "so high".to_owned() };
//! table.received(now, id, 7, answer).unwrap();
//! let Some(Action::Event(Event::Answer { key: 77, took, late: None, .. })) = table.poll_action()
//! else {
//!     panic!()
//! };
//! assert_eq!(took, Duration::from_millis(80));
//!
//! // A ping goes out when its time has come.
//! now = table.poll_timeout().unwrap().at;
//! table.handle_timeout(now);
//! # while table.poll_transmit(now, id).is_none() {
//! #     now = table.poll_timeout().unwrap().at;
//! #     table.handle_timeout(now);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod admission;
mod cause;
mod change;
mod clock;
mod close;
pub mod config;
pub mod error;
pub mod event;
pub mod evict;
pub mod group;
mod hosts;
pub mod inventory;
pub mod keepalive;
mod lanes;
pub mod meter;
mod open;
mod promote;
mod receive;
mod requests;
mod secret;
mod slot;
pub mod snapshot;
mod state;
mod status;
mod table;
#[cfg(test)]
mod testing;
mod theirs;
mod traffic;
mod types;
mod upkeep;

pub use admission::{Admission, AdmissionRules, NotAdmitted, Permit, Rate};
pub use cause::Cause;
pub use config::{Budgets, Conduct, Config, ConfigError, Deadlines, Limits, Rotation, Treatment};
pub use error::{Dead, NotSent, NotTaken, Refused};
pub use event::{Action, Closed, Ending, Event, Misdeed, Outcome, Phase};
pub use evict::EvictRules;
pub use group::{Group, Groups};
pub use inventory::{Inventory, InventoryRules, Item};
pub use keepalive::{Keepalive, Rtt};
pub use lanes::Overflow;
pub use meter::{Meter, Tally};
pub use open::{Admitted, Dial, Fate};
pub use promote::Greeted;
pub use receive::Heard;
pub use requests::RequestRules;
pub use snapshot::{Overview, Snapshot};
pub use table::Table;
pub use theirs::TheirRules;
pub use traffic::Broadcast;
pub use types::{Parting, SessionId, Standing, Tie, Token, Types};
