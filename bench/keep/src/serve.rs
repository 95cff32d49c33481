//! The node that is called.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use peerage::net::Listener;
use peerage::node::peers::{Groups, Rate};
use peerage::node::{Event, HandleOf, Node};
use peerage::{Greeter, Zcash};
use peerage_bench_kit::{Error, cpu_time, open_files, raw, resident, say_listening};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

/// Connections that it may have at once.
const FILES: u64 = 12_000;

/// Slots for whoever dials us: more than are ever taken. Who gets a slot when there are few is a
/// question for eviction.
const SLOTS: usize = 10_000;

/// Serves until standard input ends, and tells of itself for each line of it.
///
/// Loopback counts as the world: each /24 of it is a group. Otherwise a node as it comes; with
/// `open`, whoever comes may come at any rate.
pub async fn serve(open: bool) -> Result<(), Error> {
    open_files(FILES)?;
    let listener = Listener::bind(raw::ANY_PORT)?;
    let at = listener.local_endpoint()?.socket_addr();
    let greeter = Greeter::<Zcash>::new("testnet")?;
    let mut node = Node::new(greeter).with_listener(listener);
    let setup = node.setup_mut();
    setup.admission.groups = Groups::strict();
    setup.peers.groups = Groups::strict();
    setup.peers.limits.active_in = SLOTS;
    if open {
        setup.admission.total = Rate {
            burst: 1_000_000,
            every: Duration::from_micros(1),
        };
    }
    let (handle, mut events) = node.start()?;
    let greeted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&greeted);
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if matches!(event, Event::<Zcash>::Established { .. }) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    say_listening(at);
    let mut asked = BufReader::new(stdin()).lines();
    while asked.next_line().await?.is_some() {
        tell(&handle, greeted.load(Ordering::Relaxed)).await?;
    }
    handle.stop().await;
    Ok(())
}

async fn tell(handle: &HandleOf<Zcash>, greeted: u64) -> Result<(), Error> {
    let overview = handle.overview().await?;
    let (peers, counters) = (&overview.peers, overview.counters);
    let (rss, cpu) = (resident()?, cpu_time().as_secs_f64());
    println!(
        "{{\"name\":\"serve\",\"greeted\":{greeted},\"established\":{},\"pending\":{},\"refused\":{},\
         \"accept_failed\":{},\"rss\":{rss},\"cpu_s\":{cpu:.6}}}",
        peers.established, peers.pending[0], counters.not_admitted, counters.accept_failed
    );
    Ok(())
}
