//! Keeps peers of Ethereum: found by discovery v5 under the node's own key, greeted if their forks
//! are ours, answered when they ask, and told when our head moves on.
//!
//! ```text
//! cargo run -p peerage --example keep_ethereum -- hoodi 600
//! ```

use std::error::Error;
use std::time::Duration;

use peerage::devp2p::{Message, eth};
use peerage::discv5::record::Unverified;
use peerage::find::{self, Bind, Search, Sockets};
use peerage::net::Listener;
use peerage::networks::Described;
use peerage::node::{Event, Keeps, Node};
use peerage::{Ethereum, Greeter, NodeKey, Protocol};
use tokio::time::{Instant, timeout_at};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example speaks to a person")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(chain), Some(seconds)) = (args.next(), args.next()) else {
        return Err("usage: keep_ethereum CHAIN SECONDS".into());
    };
    let end = Instant::now() + Duration::from_secs(seconds.parse()?);
    let key = NodeKey::generate();
    let mut greeter = Greeter::<Ethereum>::new(&chain)?.with_key(&key);
    let listener = Listener::bind("0.0.0.0:0".parse()?)?;
    Ethereum::set_listen_addr(greeter.local_mut(), listener.local_endpoint().ok());

    // Discovery, with the boot nodes of the chain's table.
    let sockets = Sockets::bind(&Bind::at("0.0.0.0:0".parse()?))?;
    let mut setup = find::setup(&key, &sockets);
    for record in &greeter.local().chain.discv5_records {
        setup.boot.push(record.parse::<Unverified>()?.verify()?);
    }
    let discovery = find::start(setup, sockets)?.handle;
    let wanted = Search::wanting(|record| record.raw("eth").is_some());
    let finder = discovery.finder(Ethereum::NETWORK, wanted).await?;

    let node = Node::new(greeter.clone())
        .with_listener(listener)
        .with_finders([Box::new(finder) as Box<dyn find::Finder>]);
    let (node, mut events) = node.start()?;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is of no use here")]
    while let Ok(Some(event)) = timeout_at(end, events.next()).await {
        match event {
            Event::Established { id, profile, .. } => {
                println!("{id} is {}", profile.hello.client_id)
            }
            Event::Closed(closed) => println!("{} is over: {}", closed.id, closed.reason),
            Event::Request { token, message } => match message {
                // Whoever has a chain answers from it; who has none says so.
                Message::Eth(eth::Message::Request(asked)) => {
                    let answer = Message::Eth(eth::Message::Response(asked.empty_answer()));
                    // It may have left before the answer.
                    let _sent = node.respond(token, answer).await?;
                }
                _ => {
                    let _refused = node.refuse(token).await?;
                }
            },
            _ => {}
        }
    }
    // A client calls this for each new head: peers that follow other forks then are named and left.
    let incompatible = node.set_status(Ethereum::status(greeter.local())).await?;
    println!("{} peers are of no use any more", incompatible.len());
    node.stop().await;
    discovery.close().await;
    Ok(())
}
