//! What finders find.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use peerage_core::{Endpoint, Network, UnixTime};
use peerage_discv5::Record;

use crate::report::Report;

/// An address not yet dialled, and what is known of who may be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The network it is wanted for.
    pub network: Network,
    /// Where it can be dialled over TCP, the preferred first; none if it names no such place.
    pub endpoints: Vec<Endpoint>,
    /// The key that it must prove, as `x‖y`, where the network has identities.
    pub public_key: Option<[u8; 64]>,
    /// Who found it.
    pub source: Source,
    /// Which seed told of it, where the finder asks seeds: a host name, an address.
    pub told_by: Option<Arc<str>>,
    /// What it says of itself.
    pub claims: Claims,
}

/// Who found a candidate: `discv5`, `dns`, `https`, `gossip`, `list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(pub &'static str);

/// What a candidate says of itself. Nobody has checked it, but for the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claims {
    /// Nothing.
    None,
    /// A record that the holder of its key has signed.
    Record(Record),
    /// What somebody else says of it.
    Hearsay(Hearsay),
}

/// What a seeder or a peer says of another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hearsay {
    /// Its services, as bits of its network.
    pub services: Option<u64>,
    /// The protocol version it speaks.
    pub protocol_version: Option<u32>,
    /// When it was last seen, by whoever says so.
    pub last_seen: Option<UnixTime>,
}

impl Claims {
    /// The record, if that is what it is.
    pub const fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::None | Self::Hearsay(_) => None,
        }
    }
}

/// Whatever finds candidates. It works while it is asked: nobody who wants no candidates pays for
/// searches.
pub trait Finder: Send {
    /// What it calls itself in the candidates it finds.
    fn source(&self) -> Source;

    /// What it has asked and found so far.
    fn report(&self) -> Report;

    /// The next candidate; `None` when there will be none any more.
    fn poll_candidate(&mut self, cx: &mut Context<'_>) -> Poll<Option<Candidate>>;

    /// The next candidate; `None` when there will be none any more.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    fn next(&mut self) -> Next<'_, Self>
    where
        Self: Sized,
    {
        Next(self)
    }
}

/// So that finders of several kinds can stand in one list.
impl<F: Finder + ?Sized> Finder for Box<F> {
    fn source(&self) -> Source {
        (**self).source()
    }

    fn report(&self) -> Report {
        (**self).report()
    }

    fn poll_candidate(&mut self, cx: &mut Context<'_>) -> Poll<Option<Candidate>> {
        (**self).poll_candidate(cx)
    }
}

/// What [`Finder::next`] returns.
#[derive(Debug)]
#[must_use = "it does nothing unless awaited"]
pub struct Next<'a, F>(&'a mut F);

impl<F: Finder> Future for Next<'_, F> {
    type Output = Option<Candidate>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Candidate>> {
        self.0.poll_candidate(cx)
    }
}
