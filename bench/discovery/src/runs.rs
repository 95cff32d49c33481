//! What is measured over loopback, for either implementation.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use peerage_bench_kit::{
    Error, Meter, REST, RUN_LIMIT, Report, measured, repeat, resident, within,
};
use peerage_discv5::NodeId;
use tokio::task::JoinSet;

use crate::node::{Ask, Node, secret};

/// How many nodes a lookup is to find.
const K: usize = 16;

/// Round trips between two nodes that have a session.
pub async fn round_trips<N: Node>(ask: Ask, count: u64, at_once: u64) -> Result<(), Error> {
    let (one, two) = (N::start(1, None).await?, N::start(2, None).await?);
    let to = two.record();
    one.ask(&to, Ask::Ping).await?;
    measured(N::NAME, count, at_once, None, move || {
        let (one, to) = (one.clone(), to.clone());
        async move { one.ask(&to, ask).await }
    })
    .await
}

/// Sessions: fresh nodes PING one that does not know them. Neither side looks for others: ours
/// would, the other implementation does so only when it is asked to.
pub async fn sessions<N: Node>(count: u64, at_once: u64) -> Result<(), Error> {
    let server = N::start_idle(0).await?;
    let mut clients = Vec::new();
    for number in 0..count {
        clients.push(N::start_idle(1 + number).await?);
    }
    let to = server.record();
    let (clients, next) = (Arc::new(clients), Arc::new(AtomicUsize::new(0)));
    let meter = Meter::start();
    repeat(count, at_once, move || {
        let (clients, next, to) = (clients.clone(), next.clone(), to.clone());
        async move {
            let client = &clients[next.fetch_add(1, Ordering::Relaxed)];
            client.ask(&to, Ask::Ping).await
        }
    })
    .await?;
    let (wall, cpu) = meter.finish().await;
    Report {
        name: N::NAME,
        count,
        at_once,
        wall,
        cpu,
        bytes: 0,
        rss: resident()?,
    }
    .print();
    Ok(())
}

/// Nodes that know one, and one another in the end: rounds of one lookup each, all at once. The
/// processor time of the first round includes starting them. Recall is the share of the true 16
/// nearest that the lookups found; a session has two ends.
pub async fn swarm<N: Node>(count: u64, rounds: u64) -> Result<(), Error> {
    let mut meter = Meter::start();
    let boot = N::start(0, None).await?;
    let record = boot.record();
    let mut nodes = vec![boot];
    for number in 1..count {
        nodes.push(N::start(number, Some(&record)).await?);
    }
    let ids: Vec<NodeId> = nodes.iter().map(N::id).collect();
    let mut told = String::new();
    let mut first = None;
    for round in 1..=rounds.max(1) {
        let mut lookups = JoinSet::new();
        for (number, node) in (0..).zip(&nodes) {
            let (node, target) = (node.clone(), NodeId(secret(round << 32 | number)));
            lookups.spawn(async move {
                let found = node.lookup(target).await?;
                Ok::<_, Error>((node.id(), target, found))
            });
        }
        let mut recall = 0.0;
        let done = within(RUN_LIMIT, async {
            while let Some(done) = lookups.join_next().await {
                let (own, target, found) = done??;
                recall += of_the_nearest(&ids, &own, &target, &found);
            }
            Ok(())
        });
        done.await?;
        let (wall, cpu) = meter.finish().await;
        let recall = recall / count as f64;
        let cpu_s = cpu.as_secs_f64();
        told += &format!(",\"recall_{round}\":{recall:.4},\"cpu_{round}_s\":{cpu_s:.4}");
        let (mut made, mut verified) = (0, 0);
        for node in &nodes {
            if let Some([sessions, records]) = node.work().await? {
                made += sessions;
                verified += records;
            }
        }
        told += &format!(",\"ends_{round}\":{made},\"verified_{round}\":{verified}");
        first.get_or_insert((wall.as_secs_f64(), cpu_s));
        meter = Meter::start();
    }
    let (wall, cpu) = first.unwrap_or_default();
    let (name, rss) = (N::NAME, resident()?);
    println!(
        "{{\"name\":\"{name}\",\"count\":{count},\"wall_s\":{wall:.4},\"cpu_s\":{cpu:.4},\
         \"rss\":{rss}{told}}}"
    );
    Ok(())
}

fn of_the_nearest(ids: &[NodeId], own: &NodeId, target: &NodeId, found: &[NodeId]) -> f64 {
    let mut nearest: Vec<_> = ids.iter().filter(|id| *id != own).collect();
    nearest.sort_by_key(|id| target.xor(id));
    nearest.truncate(K);
    let hits = nearest.iter().filter(|id| found.contains(id)).count();
    hits as f64 / nearest.len().max(1) as f64
}

/// Nodes that know nobody: how much resident memory each takes.
pub async fn idle<N: Node>(count: u64) -> Result<(), Error> {
    // One beforehand: tables and threads that any further node shares.
    let first = N::start(0, None).await?;
    tokio::time::sleep(REST).await;
    let before = resident()?;
    let meter = Meter::start();
    let mut nodes = vec![first];
    for number in 1..=count {
        nodes.push(N::start(number, None).await?);
    }
    tokio::time::sleep(REST).await;
    let (wall, cpu) = meter.finish().await;
    let rss = resident()?.saturating_sub(before);
    Report {
        name: N::NAME,
        count,
        at_once: count,
        wall,
        cpu,
        bytes: 0,
        rss,
    }
    .print();
    drop(nodes);
    Ok(())
}
