//! Keeps peers of Zcash's testnet: found by its seeds and by gossip, remembered in a file over
//! restarts, pinged, replaced when they leave. Tells who comes, who goes, and why.
//!
//! ```text
//! cargo run -p peerage --example keep_zcash -- peers.db 600
//! ```

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use peerage::node::store::{Options, Realm, Store};
use peerage::node::{Event, Node};
use peerage::{Greeter, Zcash, find};
use tokio::time::{Instant, timeout_at};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example speaks to a person")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(file), Some(seconds)) = (args.next(), args.next()) else {
        return Err("usage: keep_zcash FILE SECONDS".into());
    };
    let end = Instant::now() + Duration::from_secs(seconds.parse()?);

    let store = Arc::new(Store::open(Path::new(&file), Options::default())?);
    let realm = Realm {
        network: "zcash".into(),
        chain: "testnet".into(),
    };
    let greeter = Greeter::<Zcash>::new("testnet")?;
    let finders = find::seeds(&greeter)?;
    let mut node = Node::new(greeter)
        .with_finders(finders)
        .with_store(store, realm);
    node.setup_mut().peers.limits.active_out = 12;
    let (node, mut events) = node.start()?;

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is of no use here")]
    while let Ok(Some(event)) = timeout_at(end, events.next()).await {
        match event {
            Event::Established { id, profile, .. } => {
                println!("{id} is {}", profile.theirs.user_agent);
            }
            Event::Closed(closed) => println!("{} is over: {}", closed.id, closed.reason),
            // A client hands blocks and transactions on here. Without a chain nothing is known.
            Event::Request { token, .. } => {
                let _refused = node.refuse(token).await?;
            }
            _ => {}
        }
    }
    let figures = node.overview().await?;
    let (peers, known) = (figures.peers.established, figures.known);
    println!("{peers} peers at the end, {known} candidates known");
    node.stop().await;
    Ok(())
}
