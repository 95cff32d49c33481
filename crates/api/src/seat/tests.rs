//! What a node tells is told on, all of it.

use peerage::net::Listener;
use peerage::node::{Event, Node};
use peerage::{Kind, Reason, Zcash};

use super::*;
use crate::board::Wants;
use crate::hub::{Limits, Policy, Terms};
use crate::json::Described;

/// The list is complete, and every word in it is one of the interface.
#[test]
fn every_kind_of_event_has_its_place() {
    let heard: Vec<&str> = HEARD.iter().map(|(name, _)| *name).collect();
    assert_eq!(heard, Event::<Zcash>::NAMES);
    let pool = Described::new().0;
    let fields = |message: &str| -> Vec<String> {
        let message = pool.get_message_by_name(message).unwrap();
        let of = message.oneofs().find(|of| of.name() == "of").unwrap();
        of.fields().map(|field| field.name().to_owned()).collect()
    };
    let mut told: Vec<&str> = HEARD
        .iter()
        .flat_map(|(_, of)| of.iter().copied())
        .collect();
    let items = fields("peerage.v1.Item");
    told.retain(|name| match name.strip_prefix("Item.") {
        Some(item) => {
            assert!(items.iter().any(|of| of == item), "{item}");
            false
        }
        None => true,
    });
    told.sort_unstable();
    let mut events = fields("peerage.v1.Event");
    events.sort_unstable();
    assert_eq!(told, events);
    // A filter can name each of them.
    let kinds = pool.get_enum_by_name("peerage.v1.EventKind").unwrap();
    let mut named: Vec<String> = kinds
        .values()
        .filter_map(|value| Some(value.name().strip_prefix("EVENT_KIND_")?.to_lowercase()))
        .filter(|name| name != "unspecified")
        .collect();
    named.sort_unstable();
    assert_eq!(named, events);
}

fn word(of: &Of) -> &'static str {
    match of {
        Of::Established(_) => "established",
        Of::Closed(_) => "closed",
        Of::Failed(_) => "failed",
        Of::Misbehaved(_) => "misbehaved",
        Of::Incompatible(_) => "incompatible",
        Of::AlreadyConnected(_) => "already_connected",
        Of::Stalled(_) => "stalled",
        Of::Found(_) => "found",
        Of::Dialling(_) => "dialling",
        Of::LateAnswer(_) => "late_answer",
        Of::GivenUp(_) => "given_up",
    }
}

/// Those that need no peer; of the others, `tests/` have a live one.
#[tokio::test]
async fn what_happens_without_a_peer_is_told_under_its_own_name() {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let greeter = Greeter::<Zcash>::new("regtest").unwrap();
    let (handle, _events) = Node::new(greeter.clone())
        .with_listener(listener)
        .start()
        .unwrap();
    let info = v1::NodeInfo::default();
    let seat = Seat::new(handle.clone(), greeter, info, Arc::default());
    let board = Arc::new(Board::new(Limits::default()));
    let wants = Wants {
        events: Some(v1::EventFilter::default()),
        ..Wants::default()
    };
    let terms = Terms {
        budget: 1 << 20,
        policy: Policy::Close,
        lease: Duration::ZERO,
    };
    let mut subscription = board.open([7; 16], wants, terms).unwrap();
    let key: Key = "192.0.2.1:8233".parse().unwrap();
    let address: Address = Address::At(
        "192.0.2.1:8233"
            .parse::<std::net::SocketAddr>()
            .unwrap()
            .into(),
    );
    let (id, other) = (SessionId(4), SessionId(5));
    let (gave, why) = (3, "tried");
    let source = peerage::find::Source("dns");
    let lost = Duration::from_millis(1500);
    let reason = Reason {
        stage: peerage::core::Stage::Keep("ping"),
        kind: Kind::Obsolete,
        blame: Kind::Obsolete.blame(),
        retry: Kind::Obsolete.retry(),
        detail: peerage::Detail::none(),
        message: "too old".into(),
    };
    let events: [Event<Zcash>; 6] = [
        Event::Found {
            finder: 0,
            source,
            gave,
            new: vec![key.clone()],
        },
        Event::Dialling {
            id,
            key: key.clone(),
            address,
            why,
        },
        Event::Misbehaved {
            id,
            misdeed: Misdeed::BadMessage,
            strikes: 2,
        },
        Event::Incompatible {
            id,
            key: key.clone(),
            reason,
        },
        Event::AlreadyConnected {
            key: key.clone(),
            kept: id,
            dropped: other,
        },
        Event::Stalled { lost },
    ];
    for event in &events {
        assert!(!seat.heard(0, &board, event));
    }
    use tokio_stream::StreamExt as _;
    let opened = subscription.next().await.unwrap().unwrap();
    assert!(matches!(opened.of, Some(v1::item::Of::Opened(_))));
    let mut told = Vec::new();
    for event in &events {
        let item = subscription.next().await.unwrap().unwrap();
        let Some(v1::item::Of::Event(v1::Event { of: Some(of), .. })) = item.of else {
            panic!("{event:?}");
        };
        let (_, words) = HEARD
            .iter()
            .find(|(name, _)| *name == event.name())
            .unwrap();
        assert!(words.contains(&word(&of)), "{event:?} is told as {of:?}");
        told.push(of);
    }
    let [
        Of::Found(found),
        Of::Dialling(dialling),
        ..,
        Of::Stalled(stalled),
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!(
        (&*found.finder, found.gave, &found.new[..]),
        ("dns", 3, &[key.to_string()][..])
    );
    let peer = dialling.peer.as_ref().unwrap();
    assert_eq!((peer.session, &peer.key), (4, &key.to_string()));
    assert_eq!(
        (&*dialling.address, &*dialling.why),
        ("192.0.2.1:8233", "tried")
    );
    assert_eq!(stalled.lost_ms, 1500);
    handle.stop().await;
}
