//! Finding peers: a node of discovery v5, and the candidates that flow from it.
//!
//! Two nodes of one process find each other:
//!
//! ```
//! use peerage::find::{self, Bind, Finder, Search, Sockets};
//! use peerage::{Network, NodeKey};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bind = Bind::at("127.0.0.1:0".parse()?);
//! let sockets = Sockets::bind(&bind)?;
//! let first = find::start(find::setup(&NodeKey::generate(), &sockets), sockets)?;
//!
//! // The second knows the first, as everybody knows boot nodes.
//! let sockets = Sockets::bind(&bind)?;
//! let mut setup = find::setup(&NodeKey::generate(), &sockets);
//! setup.boot = vec![first.handle.record().await?];
//! let second = find::start(setup, sockets)?;
//!
//! let everybody = Search::wanting(|_| true);
//! let mut finder = first.handle.finder(Network("example"), everybody).await?;
//! let found = finder.next().await.expect("the service runs");
//! let record = found.claims.record().expect("discovery v5 finds records");
//! assert_eq!(record.node_id(), second.handle.node_id());
//! # Ok(())
//! # }
//! ```

mod seeds;

pub use peerage_find::*;

pub use self::seeds::{SeedError, peers, seeder_url, seeds};

use peerage_discv5::curve::SecretKey;
use peerage_discv5::record::Builder;

use crate::{NodeKey, os};

/// The setup of a discovery node with this key, which names the addresses of its sockets. Its
/// randomness is the operating system's.
///
/// Its record is numbered by the milliseconds since 1970, so that a node that keeps its key and
/// forgets its record is believed all the same. To continue a record instead, replace
/// [`Setup::record`].
pub fn setup(key: &NodeKey, sockets: &Sockets) -> Setup {
    let record = sockets.describe(Builder::new(os::milliseconds()));
    Setup::new(secret(key), record, os::random())
}

/// The key in the terms of discovery v5.
///
/// # Panics
/// Never: a node key is a key of this curve.
#[expect(
    clippy::expect_used,
    reason = "a node key is a key of this curve, which is tested"
)]
pub fn secret(key: &NodeKey) -> SecretKey {
    SecretKey::from_bytes(*key.secret_bytes()).expect("a node key is one of the curve")
}
