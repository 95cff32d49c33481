//! Keeps books in one SQLite file: peers, bans, anchors and what happened, over restarts.
//!
//! - [`Store`] is the one writer of a file. It takes the [`Change`](peerage_book::Change)s of a book
//!   without ever making its owner wait, and writes them in a thread of its own, many in one
//!   transaction.
//! - [`Reader`] reads, also while a daemon writes: a whole book, or the story of one peer.
//! - [`lines`] writes and reads JSON lines.
//! - A [`Realm`] is a network and a chain; one file holds several.
//!
//! What was acknowledged is on the disk and stays there: the process may be killed at any moment.
//! A full disk is a [`StoreError`] that says so; nothing is lost, and writing goes on by itself once
//! there is room. `docs/book.md` describes the tables.
//!
//! What it does not do: decide anything about peers, or talk to another machine.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use peerage_book::{Book, Config, Now, Source, Tip};
//! use peerage_core::{Endpoint, Network, UnixTime};
//! use peerage_store::{Options, Realm, Store};
//!
//! # let folder = std::env::temp_dir().join(format!("peerage-store-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! let path = folder.join("book.db");
//! let realm = Realm::new(Network("zcash"), &"mainnet".into());
//! let now = Now { at: Instant::now(), wall: UnixTime(1_800_000_000) };
//!
//! let store = Store::open(&path, Options::default())?;
//! let mut book = Book::new(Config::default(), [7; 16], now)?;
//! let peer: Endpoint = "9.9.9.9:8233".parse::<std::net::SocketAddr>()?.into();
//! book.add(now, Tip::at(peer, Source::Seed("seeder.example.org".into())))?;
//! store.drain(&realm, now.wall, &mut book);
//! store.flush(Duration::from_secs(60))?;
//! store.close()?;
//!
//! // After a restart:
//! let store = Store::open(&path, Options::default())?;
//! let loaded = store.reader()?.load(&realm)?;
//! let mut book = Book::new(Config::default(), [8; 16], now)?;
//! assert_eq!(book.import(now, loaded.snapshot).candidates, 1);
//! assert!(book.get(&peer.into()).is_some());
//! # store.close()?;
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod apply;
mod error;
mod file;
mod form;
pub mod lines;
mod options;
mod read;
mod realm;
mod schema;
mod store;

pub use error::{FormError, LineError, StoreError};
pub use lines::Lines;
pub use options::Options;
pub use read::{Loaded, Reader};
pub use realm::Realm;
pub use store::{NotTaken, Status, Store};
