//! Thousands of hostile sockets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use peerage_bench_kit::canned::Canned;
use peerage_bench_kit::{Error, RUN_LIMIT, open_files, raw, within};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, stdin};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long one waits before it comes again, and before a byte or a ping of the slow ones.
const PAUSE: Duration = Duration::from_secs(1);

/// The time over which the crowd arrives.
const ARRIVAL: Duration = Duration::from_secs(1);

const KINDS: [&str; 6] = ["silent", "trickle", "garbage", "versions", "churn", "deaf"];

#[derive(Default)]
struct Counts {
    /// Connections begun.
    tries: AtomicU64,
    /// Those that came about.
    opened: AtomicU64,
    /// Handshakes that a hostile one brought to an end.
    greeted: AtomicU64,
}

/// So many sockets try and try again, each when it is shown the door. Tells of itself when each has
/// tried, and for each line of standard input until it ends.
pub async fn crowd(to: SocketAddr, count: u64, kind: &str, per_group: u64) -> Result<(), Error> {
    open_files(count + 100)?;
    let kinds: Vec<_> = match KINDS.iter().find(|known| **known == kind) {
        Some(one) => vec![*one],
        None if kind == "mixed" => KINDS.to_vec(),
        None => return Err(format!("nobody is {kind}").into()),
    };
    if count.div_ceil(per_group) > 0x7fff {
        return Err("there are 32,767 groups of addresses for the crowd".into());
    }
    let (counts, canned) = (Arc::new(Counts::default()), Arc::new(Canned::zcash()));
    let mut all = JoinSet::new();
    for number in 0..count {
        let kind = kinds[number as usize % kinds.len()];
        let (counts, canned) = (Arc::clone(&counts), Arc::clone(&canned));
        all.spawn(async move {
            sleep(ARRIVAL.mul_f64(number as f64 / count as f64)).await;
            loop {
                counts.tries.fetch_add(1, Ordering::Relaxed);
                // How it ends is no matter: it comes again.
                let _shown_the_door =
                    one(from(number, per_group), to, kind, &canned, &counts).await;
                sleep(PAUSE).await;
            }
        });
    }
    within(RUN_LIMIT, async {
        while counts.tries.load(Ordering::Relaxed) < count {
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    })
    .await?;
    tell(&counts);
    let mut asked = BufReader::new(stdin()).lines();
    while asked.next_line().await?.is_some() {
        tell(&counts);
    }
    Ok(())
}

fn tell(counts: &Counts) {
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{{\"name\":\"crowd\",\"tries\":{},\"opened\":{},\"greeted\":{}}}",
        of(&counts.tries),
        of(&counts.opened),
        of(&counts.greeted)
    );
}

/// An address of a group below 127.128.0.0.
fn from(number: u64, per_group: u64) -> Ipv4Addr {
    let [high, low] = (1 + (number / per_group) as u16).to_be_bytes();
    Ipv4Addr::new(127, high, low, 1 + (number % per_group % 250) as u8)
}

async fn one(
    from: Ipv4Addr,
    to: SocketAddr,
    kind: &str,
    canned: &Canned,
    counts: &Counts,
) -> io::Result<()> {
    let mut io = raw::connect_from(from, to).await?;
    counts.opened.fetch_add(1, Ordering::Relaxed);
    match kind {
        "silent" => {}
        "trickle" => {
            for byte in &canned.version {
                io.write_all(&[*byte]).await?;
                if timeout(PAUSE, until_closed(&mut io)).await.is_ok() {
                    return Ok(());
                }
            }
        }
        "garbage" => io.write_all(&[0xa5; 1024]).await?,
        "versions" => {
            // One is due; each further one is a breach of the protocol.
            let mut heard = [0; 512];
            loop {
                io.write_all(&canned.version).await?;
                if io.read(&mut heard).await? == 0 {
                    return Ok(());
                }
            }
        }
        "churn" => return Ok(()),
        "deaf" => {
            raw::greet(&mut io, canned).await?;
            counts.greeted.fetch_add(1, Ordering::Relaxed);
            loop {
                io.write_all(&canned.ping).await?;
                sleep(PAUSE).await;
            }
        }
        other => unreachable!("{other} is in the list"),
    }
    until_closed(&mut io).await
}

async fn until_closed(io: &mut TcpStream) -> io::Result<()> {
    let mut heard = [0; 512];
    while io.read(&mut heard).await? > 0 {}
    Ok(())
}
