//! `p2p_net_deadlock` and `p2p_disconnect_ban` between whole nodes, over loopback.

use peerage::Endpoint;
use peerage::node::book::{Address, Key, Role, Subject};
use peerage::node::peers::{Ending, SessionId};
use peerage::node::{Event, EventsOf, HandleOf, Keeps, Node};

use super::*;

/// A node that listens.
struct Running<N: Keeps> {
    handle: HandleOf<N>,
    events: EventsOf<N>,
    at: Endpoint,
}

fn start<D: Net + Keeps>() -> Running<D> {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let at = listener.local_endpoint().unwrap();
    let started = Node::new(node::<D>()).with_listener(listener).start();
    let (handle, events) = started.unwrap();
    Running { handle, events, at }
}

impl<N: Keeps> Running<N> {
    async fn until<A>(&mut self, wanted: impl Fn(Event<N>) -> Option<A>) -> A {
        loop {
            let event = timeout(LONG, self.events.next()).await.unwrap().unwrap();
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }

    async fn established(&mut self) -> SessionId {
        self.until(|event| {
            let Event::<N>::Established { id, .. } = event else {
                return None;
            };
            Some(id)
        })
        .await
    }

    async fn pin(&self, at: Endpoint) -> Key {
        let pinned = self.handle.pin(None, Address::At(at), Role::Static).await;
        pinned.unwrap().unwrap()
    }
}

async fn connected_nodes<D: Net + Keeps>() -> ([Running<D>; 2], [SessionId; 2]) {
    let (mut one, mut two) = (start::<D>(), start::<D>());
    one.pin(two.at).await;
    let ids = [one.established().await, two.established().await];
    ([one, two], ids)
}

/// Both say more, all at once, than any system holds for them.
async fn nodes_that_say_huge_things_at_once<
    D: Net + Keeps<Session: peerage::core::Session<Message = D::Message>>,
>(
    huge: D::Message,
) {
    const COUNT: usize = 7;
    let ([one, two], ids) = connected_nodes::<D>().await;
    let side = |mut node: Running<D>, id, huge: D::Message| async move {
        for _ in 0..COUNT {
            node.handle.send(id, huge.clone()).await.unwrap().unwrap();
        }
        for number in 0..COUNT {
            let heard = node.until(|event| {
                if let Event::<D>::Closed(closed) = event {
                    return Some(Err(closed.reason));
                }
                // They ask each other for addresses as well.
                matches!(event, Event::<D>::Message { message, .. } if message == huge)
                    .then_some(Ok(()))
            });
            assert_eq!(heard.await, Ok(()), "{number}");
        }
        node
    };
    let both = async { tokio::join!(side(one, ids[0], huge.clone()), side(two, ids[1], huge)) };
    let (one, two) = timeout(LONG, both).await.expect("both are stuck");
    assert_eq!(one.handle.peers().await.unwrap()[0].id, ids[0]);
    assert_eq!(two.handle.peers().await.unwrap()[0].id, ids[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2p_net_deadlock_of_nodes() {
    nodes_that_say_huge_things_at_once::<Zcash>(zcash::Message::Opaque {
        command: Command::from_static("block"),
        payload: vec![7; 2_000_000].into(),
    })
    .await;
}

/// By address and by range; the ban is seen from the other side too, ends sessions in both
/// directions, and a word ends it.
#[tokio::test(start_paused = true)]
async fn p2p_disconnect_ban_between_nodes() {
    async fn check<D: Net + Keeps>(range: &str) {
        let ([mut one, mut two], ids) = connected_nodes::<D>().await;
        let subject = Subject::Net(range.parse().unwrap());
        let banned = two.handle.ban(subject.clone(), None, "enough").await;
        banned.unwrap().unwrap();
        let closed = |event| {
            let Event::<D>::Closed(closed) = event else {
                return None;
            };
            Some(closed)
        };
        let ended = two.until(closed).await;
        assert_eq!((ended.id, ended.ending), (ids[1], Ending::Cancelled));
        assert!(ended.reason.message.contains("enough"), "{}", ended.reason);
        assert_eq!(one.until(closed).await.id, ids[0]);
        // It tries again and again, and is not let in.
        tokio::time::sleep(LONG).await;
        let overview = two.handle.overview().await.unwrap();
        assert!(overview.counters.banned > 10, "{:?}", overview.counters);
        assert_eq!(overview.peers.established, 0);
        assert!(two.handle.unban(subject).await.unwrap());
        two.established().await;
        one.established().await;
    }
    check::<Zcash>("127.0.0.1/32").await;
    check::<Decred>("127.0.0.0/8").await;
}
