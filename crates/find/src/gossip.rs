//! Peers that are asked for other peers, by `getaddr`, and let go again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use peerage_core::Reason;
use peerage_net::Target;
use tokio::time::Instant;

use crate::candidate::Source;
use crate::seeds::{Seed, Told};

/// What a finder that asks peers calls itself.
pub const GOSSIP: Source = Source("gossip");

/// What [`Greet::ask`] returns.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Vec<Told>, Reason>> + Send + 'a>>;

/// Who greets a peer and asks it for others, on one network and chain, by one route.
pub trait Greet: Send + Sync + 'static {
    /// Dials `target`, greets it, asks it for addresses, and hangs up once it has answered.
    fn ask<'a>(&'a self, target: &'a Target, deadline: Instant) -> Answer<'a>;
}

/// A peer that is asked for others. It may be named: the route resolves the name, which is how DNS
/// seeds are used through a proxy.
#[derive(Clone)]
pub struct Peers {
    target: Target,
    greeter: Arc<dyn Greet>,
}

impl Peers {
    /// The peer at `target`, greeted by `greeter`.
    pub fn new(target: Target, greeter: Arc<dyn Greet>) -> Self {
        Self { target, greeter }
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Seed for Peers {
    const SOURCE: Source = GOSSIP;

    fn name(&self) -> Arc<str> {
        self.target.to_string().into()
    }

    async fn ask(&self, deadline: Instant) -> Result<Vec<Told>, Reason> {
        self.greeter.ask(&self.target, deadline).await
    }
}
