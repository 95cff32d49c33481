//! `peerage peers list`.

use std::cmp::Reverse;

use clap::ValueEnum;
use peerage_api::v1;

use super::Whose;
use super::words::{bytes, direction, place, realm_words, rtt, span_ms, standing};
use crate::output::{Exit, Failed, Out, Tone, progress};
use crate::remote::{Remote, Where, refused};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    whose: Whose,

    /// Attempts as well as established peers.
    #[arg(long)]
    pending: bool,

    /// In which order.
    #[arg(long, value_enum, default_value = "session")]
    sort: Sort,

    #[command(flatten)]
    at: Where,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// The order of a list. Peers that are equal stay in the order of nodes and sessions.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    /// Node by node, the oldest session first.
    Session,
    /// The shortest round trip first; those not measured yet last.
    Rtt,
    /// The highest first; those that claim no height last.
    Height,
    /// The longest with us first.
    Age,
    /// Who moved the most bytes first.
    Traffic,
    /// By the name of the software.
    Agent,
}

impl Sort {
    fn sort(self, peers: &mut [v1::Peer]) {
        let moved = |peer: &v1::Peer| {
            let traffic = peer.traffic.unwrap_or_default();
            traffic.bytes_in.saturating_add(traffic.bytes_out)
        };
        match self {
            Self::Session => {}
            Self::Rtt => peers.sort_by_key(|peer| peer.rtt_us.unwrap_or(u64::MAX)),
            Self::Height => peers.sort_by_key(|peer| Reverse(peer.height)),
            Self::Age => peers.sort_by_key(|peer| Reverse(peer.age_ms)),
            Self::Traffic => peers.sort_by_key(|peer| Reverse(moved(peer))),
            Self::Agent => peers.sort_by(|one, other| one.agent.cmp(&other.agent)),
        }
    }
}

/// All peers of these nodes, page by page.
pub(super) async fn peers(
    remote: &mut Remote,
    realms: Vec<v1::Realm>,
    pending: bool,
) -> Result<Vec<v1::Peer>, Failed> {
    let mut all = Vec::new();
    for realm in realms {
        let mut after = 0;
        loop {
            let request = v1::ListPeersRequest {
                realm: Some(realm.clone()),
                pending,
                after,
                limit: 0,
            };
            let page = remote.client.list_peers(request).await.map_err(refused)?;
            let page = page.into_inner();
            let last = page.peers.last().and_then(|peer| peer.peer.as_ref());
            let last = last.map_or(0, |peer| peer.session);
            // A daemon that does not go on is not asked for ever.
            let goes_on = page.more && last > after;
            all.extend(page.peers);
            if !goes_on {
                break;
            }
            after = last;
        }
    }
    Ok(all)
}

pub(super) async fn run(args: &Args, out: &mut Out) -> Result<Exit, Failed> {
    let mut remote = args.at.connect().await?;
    let realms = args.whose.realms(&mut remote).await?;
    let mut peers = peers(&mut remote, realms, args.pending).await?;
    args.sort.sort(&mut peers);
    if args.json {
        for peer in &peers {
            out.json("peer", remote.show(peer)?)?;
        }
    } else {
        table(&peers, out)?;
    }
    if peers.is_empty() {
        progress("the daemon has no peers now; `peerage peers list --pending` shows attempts");
        return Ok(Exit::No);
    }
    Ok(Exit::Yes)
}

const HEAD: [&str; 9] = [
    "session", "node", "peer", "way", "standing", "height", "rtt", "age", "in/out",
];

fn row(peer: &v1::Peer) -> [String; 9] {
    let of = peer.peer.as_ref();
    let traffic = peer.traffic.unwrap_or_default();
    let realm = of.and_then(|of| of.realm.as_ref());
    [
        of.map_or(0, |of| of.session).to_string(),
        realm.map(realm_words).unwrap_or_default(),
        place(of, &peer.address),
        direction(peer.direction()).to_owned(),
        standing(peer.standing()).to_owned(),
        peer.height
            .map_or_else(|| "-".into(), |height| height.to_string()),
        rtt(peer.rtt_us),
        span_ms(peer.age_ms),
        format!("{}/{}", bytes(traffic.bytes_in), bytes(traffic.bytes_out)),
    ]
}

/// Columns as wide as their widest, and at the end what is of any length.
fn table(peers: &[v1::Peer], out: &mut Out) -> Result<(), Failed> {
    let rows: Vec<_> = peers.iter().map(row).collect();
    let wide = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max();
        let head = HEAD.get(column).map_or(0, |head| head.len());
        widest.unwrap_or(0).max(head)
    };
    let widths: Vec<_> = (0..HEAD.len()).map(wide).collect();
    let line = |cells: &[&str]| {
        let cells = cells.iter().zip(&widths);
        let cells = cells.map(|(cell, width)| format!("{cell:<width$}  "));
        cells.collect::<String>()
    };
    if rows.is_empty() {
        return Ok(());
    }
    let head = line(&HEAD) + "software";
    out.line(out.tone(Tone::Quiet, head))?;
    for (peer, row) in peers.iter().zip(&rows) {
        let cells = row.each_ref().map(String::as_str);
        let last = match peer.phase() {
            v1::Phase::Pending => format!("({})", peer.step),
            v1::Phase::Refusing => "(refusing)".to_owned(),
            v1::Phase::Active | v1::Phase::Unspecified => peer.agent.clone(),
        };
        out.line(line(&cells) + &last)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_is_by_its_own_figure_and_unknown_ones_come_last() {
        let peer = |session, rtt_us, height, age_ms, bytes_in, agent: &str| v1::Peer {
            peer: Some(v1::PeerRef {
                session,
                ..v1::PeerRef::default()
            }),
            rtt_us,
            height,
            age_ms,
            traffic: Some(v1::Traffic {
                bytes_in,
                ..v1::Traffic::default()
            }),
            agent: agent.to_owned(),
            ..v1::Peer::default()
        };
        let peers = [
            peer(1, None, Some(5), 10, 300, "b"),
            peer(2, Some(9), None, 30, 100, "c"),
            peer(3, Some(3), Some(7), 20, 200, "a"),
        ];
        let order = |sort: Sort| {
            let mut peers = peers.clone();
            sort.sort(&mut peers);
            peers.map(|peer| peer.peer.map_or(0, |peer| peer.session))
        };
        assert_eq!(order(Sort::Session), [1, 2, 3]);
        assert_eq!(order(Sort::Rtt), [3, 2, 1]);
        assert_eq!(order(Sort::Height), [3, 1, 2]);
        assert_eq!(order(Sort::Age), [2, 3, 1]);
        assert_eq!(order(Sort::Traffic), [1, 3, 2]);
        assert_eq!(order(Sort::Agent), [3, 1, 2]);
    }
}
