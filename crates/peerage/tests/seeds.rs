//! Seeds of the version/verack family: peers that are asked for others.

use std::task::Poll;
use std::time::Duration;

use peerage::find::{self, Finder};
use peerage::net::{Listener, Target};
use peerage::networks::Builtin;
use peerage::verack::dialect::Message;
use peerage::verack::message::Listed;
use peerage::verack::policy::AcceptAll;
use peerage::verack::{Services, zcash};
use peerage::{Decred, Endpoint, Greeter, Kind, MessageOf, UnixTime, Zcash};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(20);

fn listed(n: u8) -> Listed {
    Listed {
        time: UnixTime(1_790_000_000),
        services: Services(1),
        endpoint: Endpoint::new([192, 0, 2, n].into(), 8233),
    }
}

/// A peer that says `first` as soon as it can, and `answer` when it is asked.
fn peer<N: Builtin>(
    chain: &'static str,
    first: Vec<MessageOf<N>>,
    answer: Vec<Listed>,
) -> (Target, JoinHandle<()>) {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let target = listener.local_endpoint().unwrap().into();
    let serves = async move {
        let greeter = Greeter::<N>::new(chain).unwrap();
        let guest = listener.accept().await.unwrap();
        let greeted = greeter
            .greet(guest, AcceptAll, Instant::now() + LIMIT)
            .await;
        let mut peer = greeted.unwrap();
        let version = peer.info().negotiated;
        for message in first {
            peer.send(&message).await.unwrap();
        }
        while let Ok(message) = peer.recv().await {
            if message.asks_for_addrs() {
                // The other end may have heard enough already.
                drop(peer.send(&N::Message::list(&answer, version)).await);
            }
        }
    };
    (target, tokio::spawn(serves))
}

async fn found(finder: &mut impl Finder, count: usize) -> Vec<Endpoint> {
    let mut all = Vec::new();
    for _ in 0..count {
        let candidate = finder.next().await.unwrap();
        assert_eq!(candidate.source, find::gossip::GOSSIP);
        all.extend(candidate.endpoints);
    }
    all
}

async fn tells<N: Builtin>(chain: &'static str) {
    let (target, served) = peer::<N>(chain, Vec::new(), vec![listed(1), listed(2), listed(3)]);
    let greeter = Greeter::<N>::new(chain).unwrap();
    let mut finder = find::peers(&greeter, [target]);
    let all = found(&mut finder, 3).await;
    assert_eq!(all, [1, 2, 3].map(|n| listed(n).endpoint));
    assert_eq!(finder.report().gave, 3);
    served.await.unwrap();
}

#[tokio::test]
async fn a_peer_tells_of_others_in_either_dialect() {
    tells::<Zcash>("regtest").await;
    tells::<Decred>("simnet").await;
}

#[tokio::test]
async fn its_own_announcement_is_not_taken_for_the_answer() {
    let own = zcash::Message::list(&[listed(9)], peerage::verack::ProtocolVersion(170_150));
    let (target, _) = peer::<Zcash>(
        "regtest",
        vec![own, zcash::Message::Ping(7)],
        vec![listed(1), listed(2)],
    );
    let greeter = Greeter::<Zcash>::new("regtest").unwrap();
    let mut finder = find::peers(&greeter, [target]);
    let all = found(&mut finder, 3).await;
    assert_eq!(all, [9, 1, 2].map(|n| listed(n).endpoint));
}

#[tokio::test]
async fn a_peer_that_never_comes_to_the_point_is_left() {
    let chatter = vec![zcash::Message::Ping(7); 100];
    let (target, _) = peer::<Zcash>("regtest", chatter, Vec::new());
    let greeter = Greeter::<Zcash>::new("regtest").unwrap();
    let mut finder = find::peers(&greeter, [target]);
    let report = std::future::poll_fn(|cx| {
        assert!(finder.poll_candidate(cx).is_pending(), "it told of nobody");
        let report = finder.report();
        match report.seeds[0].failed {
            0 => Poll::Pending,
            _ => Poll::Ready(report),
        }
    });
    let report = report.await;
    let trouble = report.seeds[0].trouble.as_ref().unwrap();
    assert_eq!(
        (trouble.kind, trouble.stage.name()),
        (Kind::Flood, "gossip")
    );
}

#[tokio::test]
async fn who_dials_through_a_proxy_asks_dns_seeds_as_peers() {
    let direct = Greeter::<Zcash>::new("mainnet").unwrap();
    let sources = |greeter: &Greeter<Zcash>| {
        let finders = find::seeds(greeter).unwrap();
        finders
            .iter()
            .map(|finder| finder.source().0)
            .collect::<Vec<_>>()
    };
    assert_eq!(sources(&direct), ["dns"]);
    let proxy = peerage::networks::socks5("socks5h://127.0.0.1:9050").unwrap();
    let proxied = direct.through(peerage::Route::Socks5(proxy));
    assert_eq!(sources(&proxied), ["gossip"], "nothing is resolved here");
    let names = find::seeds(&proxied).unwrap()[0].report().seeds;
    assert!(
        names
            .iter()
            .any(|seed| &*seed.seed == "dnsseed.z.cash:8233")
    );
    let decred = Greeter::<Decred>::new("mainnet").unwrap();
    let finders = find::seeds(&decred).unwrap();
    assert_eq!(finders.len(), 1);
    let report = finders[0].report();
    assert_eq!(report.source.0, "https");
    assert_eq!(&*report.seeds[0].seed, "https://mainnet-seed-1.decred.org");
    let regtest = Greeter::<Zcash>::new("regtest").unwrap();
    assert!(find::seeds(&regtest).unwrap().is_empty());
}
