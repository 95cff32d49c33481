//! What to try after the demo.

use std::time::Duration;

use peerage::networks::{Setup, by_name};
use peerage::{Direction, ProbeOptions};

use super::world::{Citizen, World};
use crate::output::{Failed, usage};

/// The longest one question may take, in seconds.
const LIMIT: Duration = Duration::from_secs(20);

/// The most bytes of a dialogue that are remembered. A version and a verack fit many times.
const TAPE_LIMIT: usize = 4096;

/// Commands to try next. They begin with what this program was called as, so that they can be
/// copied.
pub(super) async fn next_commands(world: &World) -> Result<Vec<String>, Failed> {
    let called = std::env::args().next().filter(|name| !name.is_empty());
    let plain = |name: &String| {
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
    };
    let me = called.filter(plain).unwrap_or_else(|| "peerage".into());
    let mut next = vec![format!(
        "{me} probe --transcript zec://mainnet.seeder.zfnd.org"
    )];
    next.extend(boot_node().map(|enode| format!("{me} probe {enode}")));
    next.push(format!(
        "{me} listen zcash --chain regtest --bind 127.0.0.1:18344"
    ));
    let healthy = world
        .citizens
        .iter()
        .find(|citizen| citizen.nature.is_healthy());
    if let Some(citizen) = healthy
        && let Some(frame) = first_frame(citizen).await?
    {
        let (realm, hex) = (citizen.realm(), hex::encode(frame));
        next.push(format!(
            "{me} decode frame -n {} --chain {} {hex}",
            realm.network, realm.chain
        ));
    }
    Ok(next)
}

/// A node on Ethereum that everybody begins with.
fn boot_node() -> Option<String> {
    let table = peerage::devp2p::Table::builtin();
    let chain = table.chain("mainnet")?;
    chain.boot_nodes.first().map(ToString::to_string)
}

/// The first message that a citizen says, if it is all there and can be read by itself.
async fn first_frame(citizen: &Citizen) -> Result<Option<Vec<u8>>, Failed> {
    let realm = citizen.realm();
    let Some(network) = by_name(realm.network) else {
        return Ok(None);
    };
    let node = network.node(&Setup::new(realm.chain)).map_err(usage)?;
    let options = ProbeOptions {
        limit: LIMIT,
        tape_limit: TAPE_LIMIT,
    };
    let probe = node.probe(&citizen.found_at, &options).await;
    let (Ok(facts), Some(dialogue)) = (probe.verdict, probe.dialogue) else {
        return Ok(None);
    };
    let lines = node.explain_dialogue(&dialogue, Some(&facts));
    let mut heard = lines
        .into_iter()
        .filter(|line| line.direction == Direction::Inbound);
    Ok(heard.next().and_then(|first| {
        let alone = node.explain(None, &first.bytes);
        let told = first.explained.error.is_none() && alone == first.explained;
        told.then_some(first.bytes)
    }))
}
