//! `peerage peers`: the peers of a running daemon, seen and changed through its interface.

mod list;
mod watch;
mod words;

use clap::{Subcommand, ValueEnum};
use peerage::Tables;
use peerage::networks::AnyNetwork;
use peerage::node::store::Realm;
use peerage_api::v1;
use serde_json::json;

use self::words::{key_or_address, realm_words};
use crate::args::NetworkArg;
use crate::data::{self, Whom};
use crate::output::{Exit, Failed, Out, misused, progress};
use crate::remote::{Remote, Where, refused};
use crate::why::Live;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The daemon is the one of --api or PEERAGE_API; else the one whose place the configuration has under
[api] grpc, found as `serve` finds it, unless that names another data directory than --data; else
the one that answers at api.sock in the data directory.

PEER is an address (zec://host:port, dcr://host:port, enode://…), a record (enr:…), an identity in
hexadecimal or ip:port; SESSION is the number that list shows. Sessions are counted by each node, so
a daemon with several needs -n NETWORK, and --chain where it has two chains of one.

Exit code: 0 done, or somebody there; 1 if there is no such peer, or nobody; 2 wrong usage; 3 if no
daemon answers, or it wants its token.

Examples:
  peerage peers list -n zcash --sort rtt
  peerage peers watch --json
  peerage peers drop zec://203.0.113.9:8233
  peerage peers trust zec://node.example.org
  peerage peers send 7 -n zcash --message mempool"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The peers there are now, a line each.
    List(list::Args),
    /// What happens, a line each, until interrupted; also after the daemon was started anew.
    Watch(watch::Args),
    /// End the session with a peer, or an attempt. It may be dialled again.
    Drop(DropArgs),
    /// Be connected to a peer always, let it in always, and never ban it automatically.
    Trust(TrustArgs),
    /// Send a message of the network to a peer.
    Send(SendArgs),
}

/// Whose peers.
#[derive(Debug, clap::Args)]
struct Whose {
    /// The network; all of the daemon's when not given.
    #[arg(short = 'n', long, value_name = "NETWORK")]
    network: Option<NetworkArg>,

    /// The chain of the network; all of the daemon's when not given.
    #[arg(long)]
    chain: Option<String>,
}

impl Whose {
    fn network(&self) -> Option<&'static dyn AnyNetwork> {
        self.network.map(|network| network.0)
    }

    async fn realms(&self, remote: &mut Remote) -> Result<Vec<v1::Realm>, Failed> {
        remote.realms(self.network(), self.chain.as_deref()).await
    }
}

#[derive(Debug, clap::Args)]
struct DropArgs {
    /// Whom.
    #[arg(value_name = "PEER|SESSION")]
    peer: String,

    #[command(flatten)]
    whose: Whose,

    /// What it is told, in the words that its network has for it.
    #[arg(long, value_enum, default_value = "requested")]
    reason: Say,

    #[command(flatten)]
    at: Where,

    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// What a peer is told when we close.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Say {
    /// We wish so.
    Requested,
    /// We have no free slot.
    Full,
    /// It follows other rules than our chain does.
    Incompatible,
    /// It broke the protocol.
    Breach,
    /// This node stops.
    Quitting,
}

impl From<Say> for v1::Parting {
    fn from(say: Say) -> Self {
        match say {
            Say::Requested => Self::Requested,
            Say::Full => Self::Full,
            Say::Incompatible => Self::Incompatible,
            Say::Breach => Self::Breach,
            Say::Quitting => Self::Quitting,
        }
    }
}

#[derive(Debug, clap::Args)]
struct TrustArgs {
    /// The peer's address.
    #[arg(value_name = "PEER")]
    peer: String,

    #[command(flatten)]
    whose: Whose,

    #[command(flatten)]
    at: Where,

    /// One JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct SendArgs {
    /// To whom.
    #[arg(value_name = "SESSION|PEER")]
    peer: String,

    #[command(flatten)]
    whose: Whose,

    /// The message: the command on Zcash and Decred (inv), the specification's name on Ethereum
    /// (NewBlockHashes).
    #[arg(long, value_name = "NAME")]
    message: String,

    /// Its body in hexadecimal, as it stands on the wire without its envelope.
    #[arg(long, value_name = "HEX", default_value = "", value_parser = bytes)]
    payload: Body,

    /// The capability on Ethereum, without its version; eth when not given.
    #[arg(long, value_name = "NAME", default_value = "")]
    capability: String,

    /// It may be lost where the peer takes too little. Without it, such a peer is disconnected.
    #[arg(long)]
    gossip: bool,

    #[command(flatten)]
    at: Where,

    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Bytes from hexadecimal digits; a type of its own, for clap takes a list for many arguments.
#[derive(Clone, Debug)]
struct Body(Vec<u8>);

fn bytes(text: &str) -> Result<Body, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let decoded = hex::decode(digits).map_err(|error| error.to_string());
    decoded.map(Body)
}

pub(crate) async fn run(args: Args, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    match args.what {
        What::List(args) => list::run(&args, out).await,
        What::Watch(args) => watch::run(&args, out).await,
        What::Drop(args) => drop_peer(&args, tables, out).await,
        What::Trust(args) => trust(&args, out).await,
        What::Send(args) => send(&args, tables, out).await,
    }
}

/// The peer that is meant, on the one node that it can be on.
async fn peer(
    remote: &mut Remote,
    text: &str,
    whose: &Whose,
    tables: &Tables,
) -> Result<v1::PeerRef, Failed> {
    let session = text.trim_start_matches('#').parse::<u64>().ok();
    if session == Some(0) {
        return Err(misused(
            "sessions begin at 1: `peerage peers list` shows them",
        ));
    }
    let named = match session {
        Some(_) => None,
        None => peerage::networks::by_scheme(text),
    };
    let network = whose.network().or(named);
    let realms = remote.realms(network, whose.chain.as_deref()).await?;
    let [realm] = &realms[..] else {
        let has: Vec<_> = realms.iter().map(realm_words).collect();
        let has = has.join(", ");
        return Err(misused(format!(
            "say on which node {text} is meant, with -n NETWORK and --chain: the daemon has {has}"
        )));
    };
    let mut peer = v1::PeerRef {
        realm: Some(realm.clone()),
        ..v1::PeerRef::default()
    };
    match session {
        Some(session) => peer.session = session,
        None => {
            let chosen = NetworkArg(crate::args::network(&realm.network).map_err(misused)?);
            match data::whom(text, Some(chosen), Some(&realm.chain), tables)?.1 {
                Whom::Key(key) => peer.key = key.to_string(),
                Whom::Ip(ip) => {
                    return Err(misused(format!(
                        "several peers may be at {ip}: say which, by SESSION or ip:port"
                    )));
                }
            }
        }
    }
    Ok(peer)
}

/// What the daemon says of its established peers.
pub(crate) async fn live(mut remote: Remote) -> Result<Vec<Live>, Failed> {
    let realms = remote.realms(None, None).await?;
    let peers = list::peers(&mut remote, realms, false).await?;
    let live = peers.iter().map(|peer| {
        let of = peer.peer.clone().unwrap_or_default();
        let realm = of.realm.unwrap_or_default();
        Ok(Live {
            realm: Realm {
                network: realm.network.as_str().into(),
                chain: realm.chain.as_str().into(),
            },
            key: of.key,
            words: words::present(peer),
            json: remote.show(peer)?,
        })
    });
    live.collect()
}

async fn drop_peer(args: &DropArgs, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    let mut remote = args.at.connect().await?;
    let peer = peer(&mut remote, &args.peer, &args.whose, tables).await?;
    let request = v1::DisconnectRequest {
        peer: Some(peer.clone()),
        say: v1::Parting::from(args.reason).into(),
    };
    remote.client.disconnect(request).await.map_err(refused)?;
    if args.json {
        out.json("dropped", json!({ "peer": remote.show(&peer)? }))?;
    } else {
        progress(&format!("the session with {} ends", args.peer));
    }
    Ok(Exit::Yes)
}

async fn trust(args: &TrustArgs, out: &mut Out) -> Result<Exit, Failed> {
    let mut remote = args.at.connect().await?;
    let network = args.whose.network();
    let realm = v1::Realm {
        network: network.map_or_else(String::new, |network| network.network().0.to_owned()),
        chain: args.whose.chain.clone().unwrap_or_default(),
    };
    let request = v1::TrustPeerRequest {
        realm: Some(realm),
        address: args.peer.clone(),
    };
    let answer = remote.client.trust_peer(request).await.map_err(refused)?;
    let peer = answer.into_inner().peer.unwrap_or_default();
    if args.json {
        out.json("trusted", json!({ "peer": remote.show(&peer)? }))?;
    } else {
        let realm = peer.realm.as_ref().map(realm_words).unwrap_or_default();
        progress(&format!("{} is trusted on {realm}", peer.key));
    }
    Ok(Exit::Yes)
}

async fn send(args: &SendArgs, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    let mut remote = args.at.connect().await?;
    let peer = peer(&mut remote, &args.peer, &args.whose, tables).await?;
    let lane = if args.gossip {
        v1::Lane::Gossip
    } else {
        v1::Lane::Control
    };
    let message = v1::Payload {
        name: args.message.clone(),
        code: None,
        capability: args.capability.clone(),
        body: args.payload.0.clone().into(),
    };
    let request = v1::SendRequest {
        peer: Some(peer),
        message: Some(message),
        lane: lane.into(),
    };
    let answer = remote.client.send(request).await.map_err(refused)?;
    let delivery = answer.into_inner().delivery.unwrap_or_default();
    let is_sent = delivery.outcome() == v1::Outcome::Sent;
    if args.json {
        out.json("delivery", remote.show(&delivery)?)?;
    } else {
        let to = delivery.peer.as_ref().map(key_or_address);
        let to = to.unwrap_or_else(|| args.peer.clone());
        let (name, bytes) = (&args.message, args.payload.0.len());
        let what = match &delivery.reason {
            None => "waits to be written to".to_owned(),
            Some(reason) => format!("was not sent ({}) to", reason.words),
        };
        progress(&format!("{name} of {bytes} bytes {what} {to}"));
    }
    Ok(if is_sent { Exit::Yes } else { Exit::No })
}
