//! Nodes of the published crate `discv5`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use discv5::{ConfigBuilder, Discv5, IpMode, ListenConfig, NodeContact};
use enr::{CombinedKey, Enr};
use peerage_bench_kit::Error;
use peerage_discv5::NodeId;
use tokio::net::UdpSocket;

use crate::node::{Ask, Node, secret};

#[derive(Clone)]
pub struct Sigp {
    node: Arc<Discv5>,
    record: Enr<CombinedKey>,
}

impl Node for Sigp {
    type Record = Enr<CombinedKey>;

    const NAME: &'static str = "sigp";

    async fn start(number: u64, boot: Option<&Self::Record>) -> Result<Self, Error> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = socket.local_addr()?.port();
        let key = CombinedKey::secp256k1_from_bytes(&mut secret(number))?;
        let record = Enr::builder()
            .ip4(Ipv4Addr::LOCALHOST)
            .udp4(port)
            .build(&key)?;
        let listen = ListenConfig::FromSockets {
            ipv4: Some(Arc::new(socket)),
            ipv6: None,
        };
        let config = ConfigBuilder::new(listen).build();
        let mut node = Discv5::new(record.clone(), key, config)?;
        if let Some(boot) = boot {
            node.add_enr(boot.clone())?;
        }
        node.start().await.map_err(|error| format!("{error:?}"))?;
        let node = Arc::new(node);
        Ok(Self { node, record })
    }

    fn id(&self) -> NodeId {
        NodeId(self.record.node_id().raw())
    }

    fn record(&self) -> Self::Record {
        self.record.clone()
    }

    fn addr(&self) -> SocketAddr {
        self.record.udp4_socket().expect("it was bound").into()
    }

    async fn ask(&self, to: &Self::Record, ask: Ask) -> Result<(), Error> {
        let failed = |error| format!("{error:?}");
        match ask {
            Ask::Ping => drop(self.node.send_ping(to.clone()).await.map_err(failed)?),
            Ask::Own => {
                let asked = self.node.find_node_designated_peer(to.clone(), vec![0]);
                assert_eq!(asked.await.map_err(failed)?.len(), 1);
            }
            Ask::Talk => {
                let contact = NodeContact::try_from_enr(to.clone(), IpMode::Ip4);
                let contact = contact.map_err(|error| format!("{error:?}"))?;
                let asked = self.node.talk_req(contact, b"bench".to_vec(), vec![7; 64]);
                drop(asked.await.map_err(failed)?);
            }
        }
        Ok(())
    }

    async fn work(&self) -> Result<Option<[u64; 2]>, Error> {
        Ok(None)
    }

    async fn lookup(&self, target: NodeId) -> Result<Vec<NodeId>, Error> {
        let found = self.node.find_node(enr::NodeId::new(&target.0)).await;
        let found = found.map_err(|error| format!("{error:?}"))?;
        Ok(found.iter().map(|r| NodeId(r.node_id().raw())).collect())
    }
}
