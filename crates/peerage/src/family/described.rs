//! The family in terms that every network shares.

use std::sync::Arc;

use peerage_core::{Endpoint, PeerText};
use peerage_net::Connection;
use peerage_verack::{ChainTable, Height, Local, PeerInfo, ProtocolVersion, Services, Table};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Builtin, explain, facts, script};
use crate::destination::Destination;
use crate::dialogue::Dialogue;
use crate::explain::{Explained, Line};
use crate::facts::PeerFacts;
use crate::faults::{Fault, play};
use crate::greeter::Greeter;
use crate::networks::{BadOption, BoxFuture, ChainFacts, Described, NodeOption, Options};

impl<D: Builtin> Described for D {
    const OPTIONS: &'static [NodeOption] = &[
        NodeOption::Services,
        NodeOption::Height,
        NodeOption::ProtocolVersion,
    ];
    const FAULTS: &'static [Fault] = &[
        Fault::Silent,
        Fault::Obsolete,
        Fault::WrongNetwork,
        Fault::Flooding,
        Fault::Garbage,
        Fault::Closing,
    ];

    fn chains(table: &Table) -> Vec<ChainFacts> {
        let facts = |chain: &Arc<ChainTable>| ChainFacts {
            name: chain.name.as_str().into(),
            port: chain.port,
            magic: Some(chain.magic),
        };
        table.chains.iter().map(facts).collect()
    }

    fn chain(local: &Local<D>) -> &str {
        local.chain.name.as_str()
    }

    fn address_of(host: &str) -> String {
        let scheme = <D as Builtin>::SCHEMES.first().copied().unwrap_or_default();
        format!("{scheme}{host}")
    }

    fn shown(destination: &Destination) -> String {
        Self::address_of(&destination.target.to_string())
    }

    fn found_at(_: &Local<D>, endpoint: Endpoint) -> Destination {
        endpoint.into()
    }

    fn apply(local: &mut Local<D>, options: &Options) -> Result<(), BadOption> {
        local.services = Services(options.services.unwrap_or_default());
        local.tip.set(options.height.map(Height));
        if let Some(version) = options.protocol_version {
            local.protocol_version = ProtocolVersion(version);
        }
        Ok(())
    }

    fn set_listen_addr(local: &mut Local<D>, addr: Option<Endpoint>) {
        local.listen_addr = addr;
    }

    fn set_agent(local: &mut Local<D>, agent: PeerText) {
        local.user_agent = agent;
    }

    fn facts(info: &PeerInfo, early: usize) -> PeerFacts {
        facts::facts::<D>(info, early)
    }

    fn explain(local: &Local<D>, version: Option<u32>, frame: &[u8]) -> Explained {
        explain::explain::<D>(&local.chain, agreed(local, version), frame)
    }

    fn explain_dialogue(
        local: &Local<D>,
        dialogue: &Dialogue,
        facts: Option<&PeerFacts>,
    ) -> Vec<Line> {
        let version = facts.and_then(PeerFacts::version);
        let version = agreed(local, version.map(|facts| facts.negotiated));
        explain::explain_dialogue::<D>(&local.chain, version, dialogue)
    }

    fn misbehave<'a>(
        node: &'a Greeter<D>,
        table: &'a Table,
        fault: Fault,
        connection: Connection<TcpStream>,
        deadline: Instant,
    ) -> BoxFuture<'a, ()> {
        let acts = script::<D>(fault, node.local(), table);
        Box::pin(async move { play(&acts, connection.io, deadline).await })
    }
}

/// What was agreed on, or the version we speak.
fn agreed<D>(local: &Local<D>, version: Option<u32>) -> ProtocolVersion {
    version.map_or(local.protocol_version, ProtocolVersion)
}
