//! What finders find.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use peerage_core::{Endpoint, Network};
use peerage_discv5::Record;

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
    /// What it says of itself.
    pub claims: Claims,
}

/// Who found a candidate: `discv5`, `dns`, a list.
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
}

impl Claims {
    /// The record, if that is what it is.
    pub const fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::None => None,
        }
    }
}

/// Whatever finds candidates. It works while it is asked: nobody who wants no candidates pays for
/// searches.
pub trait Finder: Send {
    /// What it calls itself in the candidates it finds.
    fn source(&self) -> Source;

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
