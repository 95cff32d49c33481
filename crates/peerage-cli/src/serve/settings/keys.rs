//! Every key of the configuration, once: the file that `peerage config init` writes, the reference in
//! `docs/daemon.md` and `peerage config show` are all made from this table.

/// When a change of a key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// After the file was read again.
    Reload,
    /// After a restart.
    Restart,
}

impl When {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Restart => "restart",
        }
    }
}

/// One key.
pub(super) struct Key {
    /// Its path; keys of a `[[node]]` begin with `node.`.
    pub(super) name: &'static str,
    /// A value that can stand in a file.
    pub(super) example: &'static str,
    /// What counts when nothing is said; empty where something must be said.
    pub(super) default: &'static str,
    /// What it is for.
    pub(super) what: &'static str,
    pub(super) when: When,
}

impl Key {
    /// The path within a `[[node]]`, if it is one of those.
    pub(super) fn of_node(&self) -> Option<&'static str> {
        self.name.strip_prefix("node.")
    }
}

/// The environment and the flags that speak of a key.
pub(super) const OVER: [(&str, &str, &str); 7] = [
    ("data", "--data", "PEERAGE_DATA"),
    ("status", "--status", "PEERAGE_STATUS"),
    ("log.level", "--log-level", "PEERAGE_LOG_LEVEL"),
    ("log.format", "--log-format", "PEERAGE_LOG_FORMAT"),
    ("api.grpc", "--grpc", "PEERAGE_GRPC"),
    ("api.http", "--http", "PEERAGE_HTTP"),
    ("api.token_file", "--token-file", "PEERAGE_TOKEN_FILE"),
];

const fn key(
    name: &'static str,
    example: &'static str,
    default: &'static str,
    what: &'static str,
    when: When,
) -> Key {
    Key {
        name,
        example,
        default,
        what,
        when,
    }
}

use When::{Reload, Restart};

/// All of them, in the order of the file.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("data", "\"/var/lib/peerage\"", "$XDG_DATA_HOME/peerage",
        "Where books and the node's key are kept. One daemon at a time.", Restart),
    key("status", "\"30s\"", "30s", "How often figures are told.", Reload),
    key("log.level", "\"info\"", "info, and warn with --json",
        "The least that matters enough for the log: error, warn, info, debug.", Reload),
    key("log.format", "\"text\"", "text", "How the log is written: text or json.", Reload),
    key("api.grpc", "\"unix:api.sock\"", "nowhere",
        "Where gRPC is served: unix:PATH, or IP:PORT with a token.", Restart),
    key("api.http", "\"127.0.0.1:9910\"", "nowhere",
        "Where HTTP is served: it reads without a token on loopback, and changes with it.", Restart),
    key("api.token_file", "\"token\"", "none",
        "The file with the token of those who may change things.", Restart),
    key("api.tls.cert", "\"api.pem\"", "none",
        "The certificate that gRPC over TCP shows, and those above it, in PEM. All three or none.",
        Restart),
    key("api.tls.key", "\"api.key\"", "none", "Its key, which nobody else may read.", Restart),
    key("api.tls.client_ca", "\"clients.pem\"", "none",
        "The authority that signed the certificates of clients: who has none is not let in.", Restart),
    key("node.network", "\"zcash\"", "", "ethereum, zcash or decred.", Restart),
    key("node.chain", "\"mainnet\"", "mainnet", "The chain of the network.", Restart),
    key("node.listen", "[\"0.0.0.0:8233\"]",
        "the chain's port on every IPv4 interface; nowhere with proxy or isolated",
        "Where others can dial us; [] for nowhere.", Restart),
    key("node.key", "\"node.key\"", "node.key in the data directory",
        "The key file of this node alone.", Restart),
    key("node.isolated", "false", "false", "Tell nothing at all about this node.", Restart),
    key("node.proxy", "\"socks5h://127.0.0.1:9050\"", "none",
        "Dial through this SOCKS5 proxy only.", Restart),
    key("node.local", "false", "true where all listeners are on the loopback interface",
        "Whether strangers may tell of local addresses.", Restart),
    key("node.services", "0", "0", "Service bits to claim (Zcash, Decred).", Reload),
    key("node.height", "0", "none",
        "The height of our best block, to claim and to judge versions by (Zcash, Decred).", Reload),
    key("node.head", "\"22000000:1740000000\"", "the wall clock decides",
        "Our best block, NUMBER or NUMBER:TIME, to judge forks by (Ethereum).", Reload),
    key("node.capabilities", "[\"eth/69\"]", "the usual ones",
        "What is offered instead (Ethereum).", Reload),
    key("node.static", "[\"zec://node.example.org\"]", "[]",
        "Peers to be connected to always.", Reload),
    key("node.trusted", "[\"zec://192.0.2.10\"]", "[]",
        "The same, and no automatic ban concerns them.", Reload),
    key("node.bans", "[\"192.0.2.0/24\", { of = \"198.51.100.7\", for = \"24h\", why = \"spam\" }]",
        "[]", "Whom to have nothing to do with: addresses, ranges, identities.", Reload),
    key("node.ping", "\"15s\"", "15 s Ethereum, 59 s Zcash, 107 s Decred",
        "How often a peer is pinged, where that is more often than is customary.", Restart),
    key("node.limits.inbound", "125", "125 Zcash, 117 Decred, 30 Ethereum",
        "The most peers that dialled us.", Reload),
    key("node.limits.outbound", "75", "75 Zcash, 8 Decred, 100 Ethereum",
        "The most peers that we dial.", Reload),
    key("node.seeds.table", "true", "true", "Ask the seeds of the chain's table.", Restart),
    key("node.seeds.dns", "[]", "[]", "Host names whose addresses are peers.", Restart),
    key("node.seeds.https", "[]", "[]", "Seeders to ask over HTTPS (feature https).", Restart),
    key("node.seeds.peers", "[]", "[]", "Peers to ask for others at the beginning.", Restart),
    key("node.discovery.on", "true", "true on Ethereum, without proxy and isolated",
        "Whether discovery v5 runs (Ethereum).", Restart),
    key("node.discovery.bind", "[\"0.0.0.0:30303\"]", "as listen",
        "Its UDP sockets, one of each family.", Restart),
    key("node.discovery.boot", "[]", "those of the chain's table",
        "Records (enr:…) of the nodes to ask first.", Restart),
    key("node.outside.external", "[\"198.51.100.7\"]", "[]",
        "Where others reach the node, whatever else says so: ADDR or ADDR:PORT, once a family.", Restart),
    key("node.outside.stun", "[\"stun.example.org\"]", "[]",
        "STUN servers to ask where the node is seen, and how its NAT behaves.", Restart),
    key("node.outside.map_ports", "false", "false",
        "Ask the router for the node's ports.", Restart),
    key("node.outside.network", "\"wired\"", "as the system tells",
        "The kind of network: wired, wifi or mobile.", Restart),
];

#[cfg(test)]
mod tests {
    use super::KEYS;
    use crate::serve::config::{Source, parse};

    /// A table that is left and taken up again would begin a second `[[node]]`.
    #[test]
    fn the_keys_of_one_table_stand_together() {
        let within = |name: &'static str| name.rsplit_once('.').map_or("", |(table, _)| table);
        let mut tables: Vec<_> = KEYS.iter().map(|key| within(key.name)).collect();
        tables.dedup();
        let mut once = tables.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(tables.len(), once.len(), "{tables:?}");
    }

    #[test]
    fn the_reference_in_the_docs_is_this_table() {
        let mut rows =
            String::from("| key | example | default | counts after |\n|---|---|---|---|\n");
        for key in KEYS {
            let default = if key.default.is_empty() {
                "must be given"
            } else {
                key.default
            };
            let (name, example, when) = (key.name, key.example, key.when.name());
            rows += &format!("| `{name}` | `{example}` | {default} | {when} |\n");
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/daemon.md");
        let docs = std::fs::read_to_string(path).unwrap();
        assert!(docs.contains(&rows), "docs/daemon.md should have\n{rows}");
    }

    /// The fields that the reader of files knows in a table, by its own complaint.
    fn known(table: &str, begin: &str) -> Vec<String> {
        let text = format!("{begin}nonsense = 1\n");
        let path = "t".into();
        let error = parse(&Source { path, text }).map(drop).unwrap_err();
        let error = error.to_string();
        let (_, list) = error.split_once("expected ").unwrap();
        let list = list.split(';').next().unwrap();
        let names = list.split('`').skip(1).step_by(2);
        names.map(|name| format!("{table}{name}")).collect()
    }

    /// A key that is added to the reader and not to the table, or the other way round, is noticed.
    #[test]
    fn the_table_has_every_key_that_a_file_may_have_and_no_other() {
        let mut all = Vec::new();
        for (table, begin) in [
            ("", ""),
            ("log.", "[log]\n"),
            ("api.", "[api]\n"),
            ("api.tls.", "[api.tls]\n"),
            ("node.", "[[node]]\nnetwork = \"zcash\"\n"),
            ("node.limits.", "[[node]]\n[node.limits]\n"),
            ("node.seeds.", "[[node]]\n[node.seeds]\n"),
            ("node.discovery.", "[[node]]\n[node.discovery]\n"),
            ("node.outside.", "[[node]]\n[node.outside]\n"),
        ] {
            all.extend(known(table, begin));
        }
        let is_table = |name: &str| {
            all.iter()
                .any(|other| other.starts_with(&format!("{name}.")))
        };
        let mut leaves: Vec<_> = all.iter().filter(|name| !is_table(name)).collect();
        let mut table: Vec<_> = KEYS.iter().map(|key| key.name.to_owned()).collect();
        leaves.sort();
        table.sort();
        assert_eq!(leaves, table.iter().collect::<Vec<_>>());
    }
}
