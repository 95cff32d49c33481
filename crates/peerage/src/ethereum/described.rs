//! Ethereum in terms that every network shares.

use std::sync::Arc;

use peerage_core::{Endpoint, PeerText};
use peerage_ethereum::capability::CapName;
use peerage_ethereum::{
    Best, CapabilitySpec, ChainTable, EthVersion, Head, Local, PeerInfo, Table,
};
use peerage_net::Connection;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Ethereum, address, explain, facts, faults};
use crate::destination::{Destination, PeerKey};
use crate::dialogue::Dialogue;
use crate::explain::{Explained, Line};
use crate::facts::PeerFacts;
use crate::faults::Fault;
use crate::greeter::Greeter;
use crate::networks::{
    BadOption, BoxFuture, Capability, ChainFacts, Described, NodeOption, Options,
};
use crate::os;

/// The capabilities besides eth that can be offered: how many message ids each takes.
///
/// Source: devp2p, `caps/snap.md`; go-ethereum, `eth/protocols/snap`.
const OTHERS: [(CapName, u32, usize); 2] = [(CapName::SNAP, 1, 8), (CapName::SNAP, 2, 10)];

/// The longest body of another capability's message, in bytes.
const OTHER_MAX_LEN: usize = 10 << 20;

/// A capability that somebody wants to offer.
fn spec(wanted: &Capability) -> Result<CapabilitySpec, BadOption> {
    let name = CapName::new(wanted.name.as_bytes());
    let eth = EthVersion::from_number(wanted.version).filter(|_| name == Some(CapName::ETH));
    if let Some(version) = eth {
        return Ok(version.spec());
    }
    let mut others = OTHERS.iter();
    let other = others.find(|(of, version, _)| (Some(*of), *version) == (name, wanted.version));
    let (name, version, ids) = other.copied().ok_or_else(|| BadOption {
        option: NodeOption::Capabilities,
        got: PeerText::from(&*wanted.to_string()),
        expected: "there are eth/68 to eth/72, snap/1 and snap/2".into(),
    })?;
    let limits = vec![Some(OTHER_MAX_LEN); ids];
    Ok(CapabilitySpec::new(
        peerage_ethereum::Capability { name, version },
        limits,
    ))
}

impl Described for Ethereum {
    const OPTIONS: &'static [NodeOption] = &[NodeOption::Head, NodeOption::Capabilities];
    const FAULTS: &'static [Fault] = faults::FAULTS;

    fn chains(table: &Table) -> Vec<ChainFacts> {
        let facts = |chain: &Arc<ChainTable>| ChainFacts {
            name: chain.name.as_str().into(),
            port: chain.port,
            magic: None,
        };
        table.chains.iter().map(facts).collect()
    }

    fn chain(local: &Local) -> &str {
        local.chain.name.as_str()
    }

    fn address_of(host: &str) -> String {
        address::of(host)
    }

    fn shown(destination: &Destination) -> String {
        address::shown(destination)
    }

    fn found_at(local: &Local, endpoint: Endpoint) -> Destination {
        Destination {
            key: Some(PeerKey(local.id().0)),
            ..endpoint.into()
        }
    }

    fn apply(local: &mut Local, options: &Options) -> Result<(), BadOption> {
        if let Some(head) = options.head {
            let now = || u64::try_from(os::wall_clock().0).unwrap_or(0);
            let head = Head {
                number: head.number,
                time: head.time.unwrap_or_else(now),
            };
            // Chosen to judge by; we do not have the block, so we do not claim it.
            local.tip.set(Some(Best { head, told: None }));
        }
        if !options.capabilities.is_empty() {
            let wanted = options.capabilities.iter().map(spec);
            local.capabilities = wanted.collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    fn set_listen_addr(local: &mut Local, addr: Option<Endpoint>) {
        local.listen_port = addr.map_or(0, |addr| addr.port());
    }

    fn set_agent(local: &mut Local, agent: PeerText) {
        local.client_id = agent;
    }

    fn facts(info: &PeerInfo, early: usize) -> PeerFacts {
        facts::facts(info, early)
    }

    fn explain(_: &Local, version: Option<u32>, frame: &[u8]) -> Explained {
        explain::explain(version, frame)
    }

    fn explain_dialogue(local: &Local, dialogue: &Dialogue, _: Option<&PeerFacts>) -> Vec<Line> {
        explain::explain_dialogue(local, dialogue)
    }

    fn misbehave<'a>(
        node: &'a Greeter<Self>,
        _: &'a Table,
        fault: Fault,
        connection: Connection<TcpStream>,
        deadline: Instant,
    ) -> BoxFuture<'a, ()> {
        Box::pin(faults::misbehave(node, fault, connection, deadline))
    }
}
