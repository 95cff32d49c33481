//! Remembers peers: who was heard of and from whom, what became of each attempt, who is not wanted,
//! and whom to dial next.
//!
//! - [`Book`] is all of it for one network and chain: one structure with one owner, time in,
//!   [`Dial`]s, [`Action`]s and [`Change`]s out.
//! - A [`Tip`] is what a finder found; claims can exclude a candidate before it is ever dialled.
//! - Every dial ends in [`Book::outcome`] and every session in [`Book::left`], each with its
//!   [`Reason`](peerage_core::Reason): backoff, scores, bans and the [`Story`] of a peer read it.
//! - What fails while nothing works is nobody's fault: an outage of ours is recognised and its
//!   failures are taken back.
//! - [`Hearsay`] holds what one connection said of others; [`Book::gossip`] and [`Book::answer`]
//!   are the rules of what is believed and what is told.
//! - [`Snapshot`] and [`Change`] are for `peerage-store`, which keeps a book in a file.
//!
//! `docs/book.md` states every rule with its number and where it comes from.
//!
//! What it does not do: open sockets, read clocks, draw randomness, resolve names, decode messages,
//! count slots, or decide whether a record's fork fits.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use peerage_book::{Book, Config, Greeted, Key, Now, Occupied, Source, Tip};
//! use peerage_core::{Endpoint, Kind, Reason, Retry, Stage, UnixTime};
//!
//! let mut now = Now { at: Instant::now(), wall: UnixTime(1_800_000_000) };
//! // The seed must be secret and random; it is fixed here so that the example replays.
//! let mut book = Book::new(Config::default(), [7; 16], now)?;
//!
//! let good: Endpoint = "9.9.9.9:8233".parse::<std::net::SocketAddr>()?.into();
//! let dead: Endpoint = "8.8.8.8:8233".parse::<std::net::SocketAddr>()?.into();
//! for endpoint in [good, dead] {
//!     book.add(now, Tip::at(endpoint, Source::Seed("seeder.example.org".into())))?;
//! }
//!
//! let wanted = Occupied::with_free(2);
//! while let Some(dial) = book.next_dial(now, &wanted) {
//!     let result = if dial.key == Key::from(good) {
//!         Ok(Greeted::default())
//!     } else {
//!         Err(Reason {
//!             stage: Stage::Reach,
//!             kind: Kind::ConnectionRefused,
//!             blame: Kind::ConnectionRefused.blame(),
//!             retry: Kind::ConnectionRefused.retry(),
//!             detail: Default::default(),
//!             message: "connection refused".into(),
//!         })
//!     };
//!     book.outcome(now, dial.id, result)?;
//!     now = now.after(Duration::from_secs(1));
//! }
//!
//! let story = &book.story(&dead.into())[0];
//! assert_eq!(story.entry.failures, 1);
//! assert!(story.to_string().contains("connection_refused at reach"));
//! let wakeup = book.wakeup().unwrap();
//! assert_eq!(wakeup.why, "a backoff ends");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod audit;
mod ban;
mod bans;
mod book;
mod candidate;
mod cause;
mod change;
pub mod config;
mod dial;
mod excuse;
mod gossip;
mod history;
mod index;
mod key;
mod moment;
mod open;
mod outage;
mod outcome;
mod page;
mod pin;
mod prefix;
mod random;
mod score;
mod snapshot;
mod source;
mod story;
mod take_in;
mod tip;
mod wish;

pub use audit::Discrepancy;
pub use bans::{Ban, Bans, By, Subject, TooManyBans};
pub use book::{Action, Barred, Book, Yield};
pub use candidate::{Claims, DialId, Role, Spot, Verdict};
pub use cause::Cause;
pub use change::Change;
pub use config::{Config, ConfigError};
pub use dial::{Dial, Occupied};
pub use gossip::{GossipEntry, Hearsay, Taken, TooManyEntries};
pub use history::{Event, What};
pub use key::{Address, Identity, Key, Name, NotAKey};
pub use moment::Now;
pub use outcome::{Greeted, NotOpen};
pub use page::{Figures, Page, Which};
pub use prefix::{Group, Grouping, NotAPrefix, Prefix, Reach};
pub use score::Score;
pub use snapshot::{Entry, ImportError, Imported, Snapshot};
pub use source::{Source, SourceGroup};
pub use story::{Standing, Story};
pub use tip::{Added, Refused, Tip};
pub use wish::{BanWish, PinWish, WishError, Wishes};
