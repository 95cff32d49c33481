//! Keeps one peer of Decred always, and asks it for headers each time that it comes: a question with
//! its own deadline, whose answer is told apart from everything else the peer says.
//!
//! ```text
//! cargo run -p peerage --example keep_decred -- 127.0.0.1:18555 60
//! ```

use std::error::Error;
use std::time::Duration;

use peerage::decred::Message;
use peerage::node::book::{Address, Role};
use peerage::node::{Event, Node};
use peerage::verack::Command;
use peerage::verack::message::{Hash, Locators};
use peerage::{Decred, Endpoint, Greeter};
use tokio::time::{Instant, timeout_at};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example speaks to a person")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(peer), Some(seconds)) = (args.next(), args.next()) else {
        return Err("usage: keep_decred IP:PORT SECONDS".into());
    };
    let end = Instant::now() + Duration::from_secs(seconds.parse()?);
    let peer: Endpoint = peer.parse::<std::net::SocketAddr>()?.into();

    let (node, mut events) = Node::new(Greeter::<Decred>::new("simnet")?).start()?;
    // Static: it is dialled again for ever, whatever it does.
    node.pin(None, Address::At(peer), Role::Static).await??;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is of no use here")]
    while let Ok(Some(event)) = timeout_at(end, events.next()).await {
        match event {
            Event::Established { id, .. } => {
                let question = Message::GetHeaders(Locators {
                    version: 0,
                    hashes: Vec::new(),
                    stop: Hash([0; 32]),
                });
                let key = Command::from_static("headers");
                let node = node.clone();
                // Beside the loop, which goes on hearing.
                tokio::spawn(async move {
                    match node.request(id, key, question).await {
                        Ok((Message::Headers(headers), took)) => {
                            println!("{id} has sent {} headers after {took:?}", headers.len());
                        }
                        Ok(_) => println!("{id} has sent something else"),
                        Err(error) => println!("{id} has no answer: {error}"),
                    }
                });
            }
            Event::Closed(closed) => println!("{} is over: {}", closed.id, closed.reason),
            Event::Request { token, .. } => {
                let _refused = node.refuse(token).await?;
            }
            _ => {}
        }
    }
    for story in node.why(peer.into()).await? {
        println!("{story}");
    }
    node.stop().await;
    Ok(())
}
