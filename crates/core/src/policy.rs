//! The caller's say in a handshake.

use std::convert::Infallible;
use std::fmt::{Debug, Display};

/// Decides whether a peer is wanted. `View` is what may be relied on about it at that moment, and
/// each network has its own.
///
/// A closure `FnMut(&View) -> Result<(), R>` is a policy.
pub trait Policy<View> {
    /// What it rejects with; travels back to the caller unchanged.
    type Rejection: Debug + Display;

    /// Accepts or rejects. The network says when it asks; never twice with the same knowledge.
    ///
    /// # Errors
    /// When the peer is not wanted.
    fn judge(&mut self, view: &View) -> Result<(), Self::Rejection>;

    /// What the peer is told of a rejection, where its protocol has a word for it.
    fn refusal(_rejection: &Self::Rejection) -> Refusal {
        Refusal::Unwanted
    }
}

/// What a peer is told when it is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// There is no free slot.
    Full,
    /// It is connected already.
    Duplicate,
    /// It offers nothing that is of use here.
    Useless,
    /// It is not wanted, and why is our own business.
    Unwanted,
}

impl<F, View, R: Debug + Display> Policy<View> for F
where
    F: FnMut(&View) -> Result<(), R>,
{
    type Rejection = R;

    fn judge(&mut self, view: &View) -> Result<(), R> {
        self(view)
    }
}

/// Wants everybody whom the network's own rules accept.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptAll;

impl<View> Policy<View> for AcceptAll {
    type Rejection = Infallible;

    fn judge(&mut self, _: &View) -> Result<(), Infallible> {
        Ok(())
    }
}
