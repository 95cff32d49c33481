//! What a node keeps over restarts, and whom it keeps when its rules change.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use peerage_book::{Role, Subject};
use peerage_core::{Kind, Network};
use peerage_node::{Event, Setup};
use peerage_store::{Options, Realm, Store};

use crate::common::{Toy, node, secs};
use crate::finding::list;
use crate::stranger::{connect, line, lives};

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("peerage-node-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn store(&self, options: Options) -> Arc<Store> {
        Arc::new(Store::open(&self.0.join("book.db"), options).unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

fn with(setup: &mut Setup<Toy>, store: &Arc<Store>) {
    let realm = Realm::new(Network("toy"), &"main".into());
    setup.store = Some((Arc::clone(store), realm));
}

#[tokio::test(start_paused = true)]
async fn a_restart_brings_peers_and_bans_back() {
    let folder = Folder::new();
    let other = node(|_| ());
    let subject = Subject::Net("198.51.100.0/24".parse().unwrap());
    {
        let store = folder.store(Options::default());
        let mut node = node(|setup| {
            with(setup, &store);
            setup.finders = vec![list([other.at])];
        });
        node.established().await;
        let banned = node.handle.ban(subject.clone(), None, "for good").await;
        banned.unwrap().unwrap();
        node.handle.stop().await;
        let status = store.status();
        assert_eq!(status.written, status.offered, "what there was is written");
        assert!(status.written > 1);
    }
    let store = folder.store(Options::default());
    let mut node = node(|setup| with(setup, &store));
    node.established().await;
    let story = &node.handle.why(other.at.into()).await.unwrap()[0];
    assert_eq!(story.entry.successes, 2, "{story}");
    assert_eq!(node.handle.overview().await.unwrap().bans, 1);
    assert!(node.handle.unban(subject).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_seen_and_nothing_is_lost() {
    let folder = Folder::new();
    let store = folder.store(Options {
        queue: 32,
        batch: 8,
        max_bytes: 120_000,
        retry: std::time::Duration::from_millis(1),
        ..Options::default()
    });
    let far = |at: u16| {
        // A group of its own for each.
        let [first, second] = [at / 200, at % 200].map(|byte| u8::try_from(byte).unwrap());
        std::net::SocketAddr::from(([30 + first, second, 1, 1], 80)).into()
    };
    let other = node(|setup| {
        with(setup, &store);
        setup.peers.limits.active_out = 0;
        setup.finders = vec![list((0..1_000).map(far))];
    });
    let overview = loop {
        tokio::time::sleep(secs(1)).await;
        let overview = other.handle.overview().await.unwrap();
        let status = overview.store.as_ref().unwrap();
        if status.trouble.is_some() {
            break overview;
        }
    };
    let trouble = overview.store.unwrap().trouble.unwrap();
    assert!(trouble.to_string().contains("no room"), "{trouble}");
    assert_eq!(overview.known, 1_000);
    // Somebody made room.
    store.limit(1 << 30);
    other.handle.stop().await;
    drop(other);
    let realm = Realm::new(Network("toy"), &"main".into());
    let loaded = store.reader().unwrap().load(&realm).unwrap();
    assert_eq!(loaded.snapshot.entries.len(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_new_status_ends_those_who_are_of_no_use_by_name() {
    let mut node = node(|_| ());
    let mut old = connect(node.at, "127.0.0.1").await;
    old.say("hello olga 3").await.unwrap();
    let id = node.established().await;
    let mut new = connect(node.at, "127.0.0.1").await;
    new.say("hello nina 9").await.unwrap();
    let stays = node.established().await;
    let new = lives(new);
    let ended = node.handle.set_status(5).await.unwrap();
    assert_eq!(ended, [id]);
    let named = node
        .until(|event| match event {
            Event::Incompatible { id, key, reason } => Some((*id, key.to_string(), reason.kind)),
            _ => None,
        })
        .await;
    assert_eq!(named, (id, "6f6c6761".to_owned(), Kind::Obsolete));
    assert_eq!(node.closed().await.0, id);
    assert!(line(&mut old).await.unwrap().starts_with("hello"));
    assert_eq!(line(&mut old).await.as_deref(), Some("bye incompatible"));
    assert_eq!(node.active().await, [stays]);
    // Newcomers are judged by it too.
    let mut late = connect(node.at, "127.0.0.1").await;
    late.say("hello otto 3").await.unwrap();
    assert_eq!(node.closed().await.1.kind, Kind::Obsolete);
    new.abort();
}

/// A trusted peer is redialled for ever, a stranger is not pinned down.
#[tokio::test(start_paused = true)]
async fn a_static_peer_that_was_away_for_a_day_is_back_within_minutes() {
    // An address that nobody else has, so that nobody takes its port meanwhile.
    let (away, at) = crate::common::listener_at([127, 86, 40, 0].into());
    drop(away);
    let mut node = node(|_| ());
    node.pin(at, Role::Static).await;
    tokio::time::sleep(secs(86_400)).await;
    let back = std::net::SocketAddr::new(at.ip(), at.port());
    let other = crate::common::node(|setup| {
        setup.listeners = vec![peerage_net::Listener::bind(back).unwrap()];
    });
    let events =
        async { while !matches!(node.events.next().await, Some(Event::Established { .. })) {} };
    tokio::time::timeout(secs(600), events).await.unwrap();
    drop(other);
}
