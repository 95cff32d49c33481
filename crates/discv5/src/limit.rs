//! Lists of who may talk to us at all; rates by address group are [`peerage_core::limit`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;
pub use peerage_core::limit::{Limiter, Rate};

use crate::node_id::NodeId;

/// Which addresses may talk to us. The empty lists admit everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// If not empty, only addresses in these networks.
    pub permit: Vec<IpNet>,
    /// No address in these networks, whatever `permit` says.
    pub deny: Vec<IpNet>,
}

impl Access {
    /// Whether `ip` may talk to us, and we to it.
    pub fn admits(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&ip));
        !within(&self.deny) && (self.permit.is_empty() || within(&self.permit))
    }
}

/// Who is banned, and until when. Each machine has its own.
#[derive(Clone, Debug)]
pub struct Bans {
    nodes: BTreeMap<NodeId, Instant>,
    ips: BTreeMap<IpAddr, Instant>,
    max: usize,
}

impl Bans {
    /// At most so many nodes and so many addresses; beyond, the ban that ends first makes room.
    pub const fn new(max: usize) -> Self {
        Self {
            nodes: BTreeMap::new(),
            ips: BTreeMap::new(),
            max,
        }
    }

    /// Bans a node.
    pub fn ban_node(&mut self, node: NodeId, until: Instant) {
        insert_bounded(&mut self.nodes, node, until, self.max);
    }

    /// Bans an address, and with it everybody behind the same NAT.
    pub fn ban_ip(&mut self, ip: IpAddr, until: Instant) {
        insert_bounded(&mut self.ips, ip.to_canonical(), until, self.max);
    }

    /// Lifts the ban of a node.
    pub fn unban_node(&mut self, node: &NodeId) {
        self.nodes.remove(node);
    }

    /// Lifts the ban of an address.
    pub fn unban_ip(&mut self, ip: IpAddr) {
        self.ips.remove(&ip.to_canonical());
    }

    /// Whether the node is banned now.
    pub fn has_node(&self, now: Instant, node: &NodeId) -> bool {
        self.nodes.get(node).is_some_and(|until| *until > now)
    }

    /// Whether the address is banned now.
    pub fn has_ip(&self, now: Instant, ip: IpAddr) -> bool {
        let until = self.ips.get(&ip.to_canonical());
        until.is_some_and(|until| *until > now)
    }

    /// Forgets the bans that are over.
    pub fn expire(&mut self, now: Instant) {
        self.nodes.retain(|_, until| *until > now);
        self.ips.retain(|_, until| *until > now);
    }

    /// How many bans there are.
    pub fn len(&self) -> usize {
        self.nodes.len() + self.ips.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.ips.is_empty()
    }
}

fn insert_bounded<K: Ord + Copy>(
    bans: &mut BTreeMap<K, Instant>,
    key: K,
    until: Instant,
    max: usize,
) {
    bans.insert(key, until);
    while bans.len() > max {
        let first = bans.iter().min_by_key(|(_, until)| **until);
        let Some((&first, _)) = first else { break };
        bans.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::start;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn access_is_by_network_and_deny_wins() {
        let nets = |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect();
        let access = Access {
            permit: nets(&["10.0.0.0/8", "2001:db8::/32"]),
            deny: nets(&["10.1.0.0/16"]),
        };
        for (from, admitted) in [
            ("10.0.0.1", true),
            ("10.1.0.1", false),
            ("::ffff:10.1.0.1", false),
            ("::ffff:10.2.0.1", true),
            ("192.0.2.1", false),
            ("2001:db8::7", true),
        ] {
            assert_eq!(access.admits(ip(from)), admitted, "{from}");
        }
        assert!(Access::default().admits(ip("192.0.2.1")));
    }

    #[test]
    fn bans_end_and_are_bounded() {
        let now = start();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut bans = Bans::new(2);
        for n in 0..3 {
            bans.ban_node(NodeId([n; 32]), at(10 + u64::from(n)));
        }
        let banned = |bans: &Bans, when| [0, 1, 2].map(|n| bans.has_node(when, &NodeId([n; 32])));
        assert_eq!(banned(&bans, now), [false, true, true]);
        assert_eq!(banned(&bans, at(11)), [false, false, true]);
        bans.ban_ip(ip("::ffff:192.0.2.1"), at(5));
        assert!(bans.has_ip(now, ip("192.0.2.1")));
        bans.expire(at(11));
        assert_eq!(bans.len(), 1);
    }
}
