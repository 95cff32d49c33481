//! Nodes of ours.

use std::net::SocketAddr;

use peerage_bench_kit::Error;
use peerage_discv5::curve::SecretKey;
use peerage_discv5::record::Builder;
use peerage_discv5::{NodeId, Record};
use peerage_find::{Bind, Handle, Setup, Sockets};

use crate::node::{Ask, Node, secret};

#[derive(Clone)]
pub struct Ours {
    handle: Handle,
    record: Record,
}

impl Ours {
    async fn start_with(number: u64, boot: Option<&Record>, upkeep: bool) -> Result<Self, Error> {
        let sockets = Sockets::bind(&Bind::at(SocketAddr::from(([127, 0, 0, 1], 0))))?;
        let record = sockets.describe(Builder::new(1));
        let key = SecretKey::from_bytes(secret(number))?;
        let mut setup = Setup::new(key, record, secret(!number));
        setup.boot.extend(boot.cloned());
        setup.upkeep = upkeep;
        let running = peerage_find::start(setup, sockets)?;
        let record = running.handle.record().await?;
        let handle = running.handle;
        Ok(Self { handle, record })
    }
}

impl Node for Ours {
    type Record = Record;

    const NAME: &'static str = "ours";

    async fn start(number: u64, boot: Option<&Record>) -> Result<Self, Error> {
        Self::start_with(number, boot, true).await
    }

    async fn start_idle(number: u64) -> Result<Self, Error> {
        Self::start_with(number, None, false).await
    }

    fn id(&self) -> NodeId {
        self.record.node_id()
    }

    fn record(&self) -> Record {
        self.record.clone()
    }

    fn addr(&self) -> SocketAddr {
        let at = self.record.udp4_endpoint();
        at.expect("it was bound").socket_addr()
    }

    async fn ask(&self, to: &Record, ask: Ask) -> Result<(), Error> {
        match ask {
            Ask::Ping => drop(self.handle.ping(to).await?),
            Ask::Own => {
                let found = self.handle.find_node(to, &[0]).await?;
                assert_eq!(found.len(), 1);
            }
            Ask::Talk => drop(self.handle.talk(to, b"bench", &[7; 64]).await?),
        }
        Ok(())
    }

    async fn work(&self) -> Result<Option<[u64; 2]>, Error> {
        let metrics = self.handle.metrics().await?.discovery;
        Ok(Some([metrics.handshakes, metrics.records_verified]))
    }

    async fn lookup(&self, target: NodeId) -> Result<Vec<NodeId>, Error> {
        let found = self.handle.lookup(target).await?;
        Ok(found.iter().map(Record::node_id).collect())
    }
}
