//! How targets are reached, chosen at run time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use crate::{Connection, Connector, Direct, ReachError, Socks5, Stream, Target};

/// How targets are reached: one of the connectors, chosen at run time.
#[derive(Clone, Debug, Default)]
pub enum Route {
    /// Straight over TCP.
    #[default]
    Direct,
    /// Through a proxy, and never otherwise.
    Socks5(Socks5),
    /// By a connector from elsewhere, such as the volunteers of an in-proxy, and never otherwise.
    /// It is taken for a proxy: names are left to it.
    By(By),
}

impl Route {
    /// By this connector.
    pub fn by<C>(connector: C) -> Self
    where
        C: Connector + fmt::Debug + 'static,
    {
        Self::By(By(Arc::new(connector)))
    }
}

/// A connector of any kind.
#[derive(Clone, Debug)]
pub struct By(Arc<dyn Any>);

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<Connection<Stream>, ReachError>> + Send + 'a>>;

trait Any: fmt::Debug + Send + Sync {
    fn reach<'a>(&'a self, target: &'a Target, deadline: Instant) -> Connecting<'a>;
}

impl<C: Connector + fmt::Debug> Any for C {
    fn reach<'a>(&'a self, target: &'a Target, deadline: Instant) -> Connecting<'a> {
        Box::pin(async move {
            let connection = self.connect(target, deadline).await?;
            Ok(connection.map(Stream::other))
        })
    }
}

impl Connector for Route {
    type Io = Stream;

    async fn connect(
        &self,
        target: &Target,
        deadline: Instant,
    ) -> Result<Connection<Stream>, ReachError> {
        match self {
            Self::Direct => Ok(Direct.connect(target, deadline).await?.map(Stream::from)),
            Self::Socks5(socks) => Ok(socks.connect(target, deadline).await?.map(Stream::from)),
            Self::By(By(connector)) => connector.reach(target, deadline).await,
        }
    }
}
