//! Every call of the service, against a live daemon.

use peerage::{Decred, Ethereum, Zcash};
use peerage_api::fault::problem_of;
use peerage_api::{ApiLimits, v1};
use tonic::Code;

use crate::common::{Pair, Reading, Running, Served, add, everything, realm, soon};

fn named(peer: &v1::PeerRef) -> Option<v1::PeerRef> {
    Some(peer.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_networks_in_one_daemon_are_told_apart() {
    let (zcash, heard_z) = Running::<Zcash>::start("regtest");
    let (decred, heard_d) = Running::<Decred>::start("simnet");
    let (ethereum, heard_e) = Running::<Ethereum>::start("hoodi");
    let served = Served::new(ApiLimits::default(), |builder, tell| {
        add(builder, (&zcash, heard_z), "regtest", tell.clone());
        add(builder, (&decred, heard_d), "simnet", tell.clone());
        add(builder, (&ethereum, heard_e), "hoodi", tell);
    });
    let served = served.await;
    let mut client = served.client().await;
    let info = client.info(v1::InfoRequest {}).await.unwrap().into_inner();
    let realms: Vec<_> = info
        .nodes
        .iter()
        .map(|node| node.realm.clone().unwrap())
        .collect();
    let all = [
        realm("zcash", "regtest"),
        realm("decred", "simnet"),
        realm("ethereum", "hoodi"),
    ];
    assert_eq!(realms, all);
    assert_eq!(info.nodes[0].listens, [zcash.at.to_string()]);
    assert!(info.nodes[2].addresses[0].starts_with("enode://"));
    assert!(info.started_ms > 1_600_000_000_000);

    let status = |realm| v1::StatusRequest { realm };
    let every = client.status(status(None)).await.unwrap().into_inner();
    assert_eq!(every.nodes.len(), 3);
    let one = client
        .status(status(Some(realm("decred", ""))))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(one.nodes.len(), 1);
    let none = client
        .status(status(Some(realm("zcash", "mainnet"))))
        .await
        .unwrap_err();
    assert_eq!(none.code(), Code::NotFound);
    assert!(
        none.message().contains("zcash regtest, decred simnet"),
        "{}",
        none.message()
    );

    // What is for one node must name it, or have a scheme that does.
    let address = "127.0.0.1:9".to_owned();
    let unclear = v1::AddPeerRequest {
        realm: None,
        address,
        candidate: false,
    };
    let unclear = client.add_peer(unclear).await.unwrap_err();
    assert_eq!(unclear.code(), Code::InvalidArgument);
    let problem = problem_of(&unclear).unwrap().reason.unwrap();
    assert_eq!(
        (problem.stage(), problem.kind()),
        (v1::Stage::Input, v1::Kind::Usage)
    );
    assert_eq!(problem.words, unclear.message());
    let clear = v1::AddPeerRequest {
        realm: None,
        address: "dcr://127.0.0.1:9".into(),
        candidate: false,
    };
    let added = client
        .add_peer(clear)
        .await
        .unwrap()
        .into_inner()
        .peer
        .unwrap();
    assert_eq!(
        (added.realm, &*added.key),
        (Some(all[1].clone()), "127.0.0.1:9")
    );
    let wrong = v1::AddPeerRequest {
        realm: Some(all[0].clone()),
        address: "dcr://127.0.0.1:9".into(),
        candidate: false,
    };
    let wrong = client.add_peer(wrong).await.unwrap_err();
    assert!(wrong.message().contains("zec://"), "{}", wrong.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_from_first_to_last() {
    let pair = Pair::<Ethereum>::new("hoodi").await;
    let mut client = pair.served.client().await;
    let mut reading = Reading::new(&mut client, everything()).await;
    // Added by its address, it is dialled.
    let address = pair.other.address.clone();
    let asked = v1::TrustPeerRequest {
        realm: None,
        address: address.clone(),
    };
    let added = client
        .trust_peer(asked)
        .await
        .unwrap()
        .into_inner()
        .peer
        .unwrap();
    assert!(address.contains(&added.key));
    let established = reading.established().await;
    let peer = established.peer.clone().unwrap();
    assert_eq!(peer.key, added.key);
    assert_eq!(established.direction(), v1::Direction::Outbound);
    assert_eq!(established.address, pair.other.at.to_string());
    assert!(established.facts.iter().any(|fact| fact.name == "fork"));
    assert!(
        established.speaks.contains("eth/"),
        "{}",
        established.speaks
    );

    let listed = client.list_peers(v1::ListPeersRequest::default());
    let listed = listed.await.unwrap().into_inner();
    assert_eq!((listed.peers.len(), listed.more), (1, false));
    let shown = &listed.peers[0];
    assert_eq!(shown.peer, Some(peer.clone()));
    assert_eq!(
        (shown.phase(), shown.standing()),
        (v1::Phase::Active, v1::Standing::Trusted)
    );
    assert_eq!(
        (&shown.facts, &shown.speaks),
        (&established.facts, &established.speaks)
    );
    let after = v1::ListPeersRequest {
        after: peer.session,
        ..v1::ListPeersRequest::default()
    };
    assert!(
        client
            .list_peers(after)
            .await
            .unwrap()
            .into_inner()
            .peers
            .is_empty()
    );

    // By session, by key, by both; never by a key that is not this session's.
    let by = |session, key: &str| v1::GetPeerRequest {
        peer: Some(v1::PeerRef {
            realm: None,
            session,
            key: key.into(),
        }),
    };
    for request in [
        by(peer.session, ""),
        by(0, &peer.key),
        by(peer.session, &peer.key),
    ] {
        let got = client
            .get_peer(request)
            .await
            .unwrap()
            .into_inner()
            .peer
            .unwrap();
        assert_eq!(got.peer, Some(peer.clone()));
    }
    for (request, code) in [
        (by(peer.session + 1, &peer.key), Code::NotFound),
        (by(peer.session + 1, ""), Code::NotFound),
        (by(peer.session, "127.0.0.1:1"), Code::NotFound),
        (by(peer.session, "nonsense"), Code::InvalidArgument),
        (by(0, ""), Code::InvalidArgument),
    ] {
        assert_eq!(client.get_peer(request).await.unwrap_err().code(), code);
    }

    // What is known of it, and why it is here.
    let request = v1::QueryBookRequest {
        which: v1::Which::Pinned.into(),
        ..v1::QueryBookRequest::default()
    };
    let book = client.query_book(request).await.unwrap().into_inner();
    assert_eq!((book.candidates.len(), book.matched, book.known), (1, 1, 1));
    assert_eq!(
        book.candidates[0].spots[0].address,
        pair.other.at.to_string()
    );
    let tried = v1::QueryBookRequest {
        agent: "no such software".into(),
        ..v1::QueryBookRequest::default()
    };
    assert_eq!(
        client.query_book(tried).await.unwrap().into_inner().matched,
        0
    );
    let why = v1::WhyRequest {
        realm: None,
        peer: address,
    };
    let why = client.why(why).await.unwrap().into_inner();
    assert_eq!((why.stories.len(), &*why.stories[0].now), (1, "connected"));
    assert!(!why.stories[0].history.is_empty());

    // A report, then a ban: it goes, and the ban is listed.
    let report = |finding: v1::Finding| v1::ReportRequest {
        peer: named(&peer),
        finding: finding.into(),
    };
    let useful = client.report(report(v1::Finding::Useful)).await.unwrap();
    assert_eq!(useful.into_inner().strikes, Some(0));
    let struck = client
        .report(report(v1::Finding::Unsolicited))
        .await
        .unwrap();
    assert_eq!(struck.into_inner().strikes, Some(1));
    let v1::event::Of::Misbehaved(misbehaved) = reading.event().await else {
        panic!("a strike is told");
    };
    assert_eq!(
        (&*misbehaved.misdeed, misbehaved.peer),
        ("unsolicited", Some(peer.clone()))
    );
    let removed = v1::RemovePeerRequest {
        peer: named(&peer),
        forget: false,
    };
    assert!(
        client
            .remove_peer(removed.clone())
            .await
            .unwrap()
            .into_inner()
            .removed
    );
    assert!(
        !client
            .remove_peer(removed)
            .await
            .unwrap()
            .into_inner()
            .removed
    );
    let penalty = v1::PenaliseRequest {
        peer: named(&peer),
        penalty: v1::Penalty::Cool.into(),
        seconds: 600,
        why: "it lied".into(),
    };
    let banned = client
        .penalise(penalty.clone())
        .await
        .unwrap()
        .into_inner()
        .banned;
    let v1::event::Of::Closed(closed) = reading.event().await else {
        panic!("it goes");
    };
    assert_eq!(closed.peer, Some(peer.clone()));
    assert!(!closed.reason.unwrap().words.is_empty());
    let gone = client.penalise(penalty).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let bans = client
        .list_bans(v1::ListBansRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(bans.bans.len(), 1);
    assert_eq!(
        (&bans.bans[0].subject, &*bans.bans[0].why),
        (&banned, "it lied")
    );
    assert_eq!(bans.bans[0].until.unwrap() - bans.bans[0].since, 600);
    let unban = v1::UnbanRequest {
        realm: None,
        subject: banned,
    };
    assert!(
        client
            .unban(unban.clone())
            .await
            .unwrap()
            .into_inner()
            .lifted
    );
    assert!(!client.unban(unban).await.unwrap().into_inner().lifted);
    pair.ours.handle.stop().await;
    let stopped = client
        .status(v1::StatusRequest::default())
        .await
        .unwrap_err();
    assert_eq!(stopped.code(), Code::Unavailable);
    let _events = pair.events;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kick_and_a_failed_dial_are_told_with_their_reasons() {
    let mut pair = Pair::<Zcash>::new("regtest").await;
    let mut client = pair.served.client().await;
    let mut reading = Reading::new(&mut client, everything()).await;
    pair.meet().await;
    let peer = reading.established().await.peer;
    let say = v1::Parting::Breach.into();
    let request = v1::DisconnectRequest {
        peer: peer.clone(),
        say,
    };
    client.disconnect(request.clone()).await.unwrap();
    let v1::event::Of::Closed(closed) = reading.event().await else {
        panic!("it goes");
    };
    assert_eq!(
        (closed.ending(), closed.peer),
        (v1::Ending::Cancelled, peer)
    );
    let again = client.disconnect(request).await.unwrap_err();
    assert_eq!(again.code(), Code::NotFound);

    // Nobody listens there.
    let vacant = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = vacant.local_addr().unwrap();
    drop(vacant);
    let asked = v1::AddPeerRequest {
        realm: None,
        address: format!("zec://{at}"),
        candidate: false,
    };
    client.add_peer(asked).await.unwrap();
    let failed = async {
        loop {
            if let v1::event::Of::Failed(failed) = reading.event().await
                && failed
                    .peer
                    .as_ref()
                    .is_some_and(|peer| peer.key == at.to_string())
            {
                return failed;
            }
        }
    };
    let reason = soon("a failed dial", failed).await.reason.unwrap();
    assert_eq!(
        (reason.stage(), reason.kind()),
        (v1::Stage::Reach, v1::Kind::ConnectionRefused)
    );
    assert_eq!(
        (reason.retry(), reason.blame()),
        (v1::Retry::After, v1::Blame::Them)
    );
    assert!(
        reason.retry_after_ms > 0 && reason.advice.contains("port"),
        "{reason:?}"
    );
    let ban = v1::BanRequest {
        realm: None,
        subject: Some(v1::Subject {
            of: Some(v1::subject::Of::Net("192.0.2.0/24".into())),
        }),
        seconds: 0,
        why: "test".into(),
    };
    client.ban(ban.clone()).await.unwrap();
    let bans = client
        .list_bans(v1::ListBansRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((bans.bans[0].until, bans.bans[0].by_operator), (None, true));
    let nonsense = v1::BanRequest {
        subject: Some(v1::Subject {
            of: Some(v1::subject::Of::Net("nowhere".into())),
        }),
        ..ban
    };
    assert_eq!(
        client.ban(nonsense).await.unwrap_err().code(),
        Code::InvalidArgument
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_is_known_and_forgotten() {
    let pair = Pair::<Zcash>::new("regtest").await;
    let mut client = pair.served.client().await;
    let candidate = |address: &str| v1::AddPeerRequest {
        realm: None,
        address: address.to_owned(),
        candidate: true,
    };
    // Who has a name only is somebody that is always wanted, or nobody.
    let named = client.add_peer(candidate("zec://node.example:1")).await;
    let named = named.unwrap_err();
    assert_eq!(named.code(), Code::InvalidArgument);
    assert!(named.message().contains("a name"), "{}", named.message());
    let added = client
        .add_peer(candidate("zec://127.0.0.1:9"))
        .await
        .unwrap();
    let peer = added.into_inner().peer;
    let book = client.query_book(v1::QueryBookRequest::default()).await;
    let book = book.unwrap().into_inner();
    assert_eq!(book.known, 1);
    assert_eq!(book.candidates[0].peer, peer);
    assert_eq!(book.candidates[0].standing(), v1::Standing::Ordinary);
    // Only what is static or trusted can be that no more; any can be forgotten, once.
    for (forget, removed) in [(false, false), (true, true), (true, false)] {
        let peer = peer.clone();
        let request = v1::RemovePeerRequest { peer, forget };
        let answer = client.remove_peer(request).await.unwrap().into_inner();
        assert_eq!(answer.removed, removed, "{forget}");
    }
    let book = client.query_book(v1::QueryBookRequest::default()).await;
    assert_eq!(book.unwrap().into_inner().known, 0);
}
