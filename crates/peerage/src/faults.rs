//! Peers that misbehave on purpose, as values.
//!
//! For whoever has to show that a node copes: the demo, the tests, and users of this library. On the
//! version/verack networks each fault is a [`script`] of plain acts, so it replays the same
//! everywhere; [`AnyNode::misbehave`](crate::networks::AnyNode::misbehave) plays one on any network.

use std::time::Duration;

use bytes::Bytes;
use peerage_core::Kind;
use peerage_net::Conn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

pub use crate::family::script;

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $fault:ident = $name:literal, $kind:ident, $words:literal;)+) => {
        /// A way for a peer to be broken. Not every network knows them all.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[doc = $doc])+ $fault,)+ }

        impl Fault {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$fault),+];

            /// Lower-case name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$fault => $name),+ }
            }

            /// The reason a node must give for it.
            pub const fn expected(self) -> Kind {
                match self { $(Self::$fault => Kind::$kind),+ }
            }

            /// What such a peer does, in at most 20 columns.
            pub const fn in_words(self) -> &'static str {
                match self { $(Self::$fault => $words),+ }
            }
        }
    };
}

faults! {
    /// Accepts the connection and never says a word.
    Silent = "silent", Timeout, "accepts, is silent";
    /// Speaks a protocol version that is too old.
    Obsolete = "obsolete", Obsolete, "software far too old";
    /// Speaks for another chain of the same network.
    WrongNetwork = "wrong network", WrongNetwork, "of another chain";
    /// Sends more than an unintroduced peer may.
    Flooding = "flooding", Flood, "floods strangers";
    /// Is another kind of service altogether.
    Garbage = "garbage", NotThisProtocol, "a web server";
    /// Hangs up at once.
    Closing = "closing", Closed, "hangs up at once";
    /// Is on the same network id, but its chain begins with another block.
    WrongGenesis = "wrong genesis", WrongGenesis, "of another genesis";
    /// Follows a fork that nobody else does.
    WrongFork = "wrong fork", WrongFork, "of a fork of its own";
    /// Has no free slot, and says so.
    Full = "full", PeerFull, "has no free slot";
    /// Calls itself by a name that it has not proved.
    WrongIdentity = "wrong identity", WrongIdentity, "lies about its name";
}

/// One act of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Writes bytes.
    Send(Bytes),
    /// Reads and forgets whatever comes, until the other side closes or the script's time is over.
    Listen,
}

/// Plays a script over a connection, then closes it.
///
/// Ends by `deadline`, or when the other side closes.
pub async fn play(acts: &[Act], mut conn: impl Conn, deadline: Instant) {
    let performance = async {
        let mut forgotten = [0; 1024];
        for act in acts {
            match act {
                Act::Send(bytes) => conn.write_all(bytes).await?,
                Act::Listen => while conn.read(&mut forgotten).await? > 0 {},
            }
        }
        conn.shutdown().await?;
        // What the other side has already sent is read, so that closing does not reset the
        // connection and take our last bytes with it.
        let grace = Instant::now() + Duration::from_millis(200);
        let drained = async {
            while conn.read(&mut forgotten).await? > 0 {}
            Ok::<_, std::io::Error>(())
        };
        drop(timeout_at(grace, drained).await);
        Ok::<_, std::io::Error>(())
    };
    // A peer that hangs up on a broken one does what it should.
    drop(timeout_at(deadline, performance).await);
}
