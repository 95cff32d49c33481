//! DNS seeds: names whose addresses are peers.

use std::future::Future;
use std::sync::Arc;

use peerage_core::{Endpoint, Failure, Reason};
use peerage_net::{Host, ReachError, Target, resolve};
use tokio::time::Instant;

use crate::candidate::Source;
use crate::seeds::{Seed, Told};

/// What a finder of DNS seeds calls itself.
pub const DNS: Source = Source("dns");

/// Who turns a name into addresses.
pub trait Resolve: Clone + Send + Sync + 'static {
    /// The addresses of `name`, with `port`.
    ///
    /// # Errors
    /// When there are none, or nobody says so by `deadline`.
    fn resolve(
        &self,
        name: &str,
        port: u16,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<Endpoint>, ReachError>> + Send;
}

/// The operating system's resolver.
///
/// # Privacy
/// Whoever runs it, and whoever sees its packets, learns that a node of this network starts here. A
/// node that dials through a proxy never uses it: it asks [`Peers`](crate::gossip::Peers) by their
/// names instead, which the proxy resolves.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Resolve for System {
    async fn resolve(
        &self,
        name: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<Vec<Endpoint>, ReachError> {
        resolve(name, port, deadline).await
    }
}

/// A DNS seed.
#[derive(Clone, Debug)]
pub struct DnsSeed<R = System> {
    target: Target,
    resolver: R,
}

impl<R: Resolve> DnsSeed<R> {
    /// The seed of that name, whose peers listen on that port. An address is its own answer.
    pub const fn new(target: Target, resolver: R) -> Self {
        Self { target, resolver }
    }
}

impl<R: Resolve> Seed for DnsSeed<R> {
    const SOURCE: Source = DNS;

    fn name(&self) -> Arc<str> {
        match &self.target.host {
            Host::Name(name) => (**name).into(),
            Host::Ip(_) => self.target.to_string().into(),
        }
    }

    async fn ask(&self, deadline: Instant) -> Result<Vec<Told>, Reason> {
        let port = self.target.port;
        let name = match &self.target.host {
            Host::Name(name) => name,
            Host::Ip(ip) => return Ok(vec![Endpoint::new(*ip, port).into()]),
        };
        let found = self.resolver.resolve(name, port, deadline).await;
        let found = found.map_err(|error| error.reason())?;
        Ok(found.into_iter().map(Told::from).collect())
    }
}
