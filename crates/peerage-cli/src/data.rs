//! The data directory: one store for the books of all networks, and what peers are called there.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use peerage::net::Host;
use peerage::networks::{AnyNetwork, Setup, by_name};
use peerage::node::book::{
    Address, Book, Config, Identity, Key, Name, Now, Prefix, Snapshot, Subject,
};
use peerage::node::store::{Options, Reader, Realm, Store, StoreError};
use peerage::{Destination, Endpoint, KeyError, NodeKey, Tables, UnixTime};

use crate::args::{NetworkArg, network_of, record};
use crate::output::{Failed, environment, misused, usage};
use crate::trouble;

/// The name of the store in a data directory.
const STORE: &str = "peerage.db";

/// The name of the key of a data directory.
const KEY: &str = "node.key";

/// How long the last changes of a command may take to reach the disk.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// Where everything that lasts is kept.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DataArg {
    /// The data directory; $XDG_DATA_HOME/peerage or ~/.local/share/peerage when not given.
    #[arg(long, value_name = "DIR", env = "PEERAGE_DATA")]
    pub(crate) data: Option<PathBuf>,
}

impl DataArg {
    /// The directory.
    pub(crate) fn folder(&self) -> Result<PathBuf, Failed> {
        if let Some(given) = &self.data {
            return Ok(given.clone());
        }
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let base = match (set("XDG_DATA_HOME"), set("HOME")) {
            (Some(base), _) => PathBuf::from(base),
            (None, Some(home)) => PathBuf::from(home).join(".local/share"),
            (None, None) => return Err(misused("there is no home directory: give --data DIR")),
        };
        Ok(base.join("peerage"))
    }

    /// The store, to be read. A daemon may write to it meanwhile.
    pub(crate) fn reader(&self) -> Result<Reader, Failed> {
        let folder = self.folder()?;
        Reader::open(&folder.join(STORE)).map_err(|error| store_failed(error, &folder))
    }

    /// The store, to be written to.
    pub(crate) fn store(&self) -> Result<Store, Failed> {
        open(&self.folder()?)
    }
}

/// Opens the store of a data directory, which is made if there is none.
pub(crate) fn open(folder: &Path) -> Result<Store, Failed> {
    make(folder)?;
    let opened = Store::open(&folder.join(STORE), Options::default());
    opened.map_err(|error| store_failed(error, folder))
}

/// Makes a directory that only its owner may read.
fn make(folder: &Path) -> Result<(), Failed> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let made = builder.create(folder);
    made.map_err(|error| trouble::folder(folder, error))
}

/// What is wrong with the store of a directory.
pub(crate) fn store_failed(error: StoreError, folder: &Path) -> Failed {
    let folder = folder.display();
    if matches!(error, StoreError::InUse { .. }) {
        let doing = format!(
            "the data directory {folder} belongs to a running peerage: stop that first, or give \
             another --data"
        );
        return environment(error, doing);
    }
    let is_usage = matches!(
        error,
        StoreError::Missing { .. } | StoreError::Foreign { .. } | StoreError::Newer { .. }
    );
    if is_usage {
        usage(error)
    } else {
        environment(error, format!("cannot use the data directory {folder}"))
    }
}

/// Whether a data directory has its key yet.
pub(crate) fn has_key(folder: &Path) -> bool {
    folder.join(KEY).exists()
}

/// The key in a file.
pub(crate) fn key_at(file: &Path) -> Result<NodeKey, Failed> {
    NodeKey::read(file).map_err(trouble::key)
}

/// The key of a data directory, made once.
pub(crate) fn key(folder: &Path) -> Result<NodeKey, Failed> {
    let file = folder.join(KEY);
    if file.exists() {
        return key_at(&file);
    }
    make(folder)?;
    let key = NodeKey::generate();
    let written = key.write_new(&file);
    written.map_err(|error| {
        if let KeyError::Write { error, .. } = error {
            return trouble::folder(folder, error);
        }
        environment(error, "cannot make a key")
    })?;
    Ok(key)
}

/// The present.
pub(crate) fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let wall = since.map_or(0, |since| since.as_secs());
    Now {
        at: Instant::now(),
        wall: UnixTime(i64::try_from(wall).unwrap_or(i64::MAX)),
    }
}

/// A book with what the store has of a realm. Nobody dials from it.
fn remembered(store: &Store, realm: &Realm) -> Result<Book, Failed> {
    let failed = |error| environment(error, "cannot read the book");
    let loaded = store.reader().and_then(|reader| reader.load(realm));
    let mut book = fresh()?;
    // What has no room any more is let go of, as a node would.
    let now = now();
    let _imported = book.import(now, loaded.map_err(failed)?.snapshot);
    // Nobody else has the store, so nobody has these sessions any more.
    let _cut = book.cut_sessions(now);
    Ok(book)
}

/// An empty book.
fn fresh() -> Result<Book, Failed> {
    let mut seed = [0; 16];
    // A fresh key is fresh randomness.
    seed.copy_from_slice(&NodeKey::generate().secret_bytes()[..16]);
    // What a node on a test network took in is not thrown out here; a node judges by its own rules.
    let config = Config {
        local: true,
        ..Config::default()
    };
    Book::new(config, seed, now()).map_err(usage)
}

/// Tells the stories of the realms that no node will have to the end: sessions of a process that
/// was killed are over. Those of a node are told by its start.
pub(crate) fn cut_sessions(store: &Store, served: &[Realm]) -> Result<(), Failed> {
    let failed = |error| environment(error, "cannot read the book");
    let realms = store.reader().and_then(|reader| reader.realms());
    for realm in realms.map_err(failed)? {
        if !served.contains(&realm) {
            edit(store, &realm, |_, _| Ok(()))?;
        }
    }
    Ok(())
}

/// Changes the book of a realm in a store that nobody else writes to; what it returns is on the
/// disk.
pub(crate) fn edit<T>(
    store: &Store,
    realm: &Realm,
    change: impl FnOnce(&mut Book, Now) -> Result<T, Failed>,
) -> Result<T, Failed> {
    let mut book = remembered(store, realm)?;
    let changed = change(&mut book, now())?;
    loop {
        let written = store.drain(realm, now().wall, &mut book);
        let flushed = store.flush(WRITE_LIMIT);
        flushed.map_err(|error| environment(error, "cannot write the book"))?;
        if written == 0 {
            return Ok(changed);
        }
    }
}

/// Whom somebody asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// One peer, or those known at one endpoint.
    Key(Key),
    /// Everybody at this address.
    Ip(IpAddr),
}

impl std::fmt::Display for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(key) => key.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

impl Whom {
    /// Whom a ban of this concerns: an identity wherever it is, an address whatever its port.
    pub(crate) fn subject(&self) -> Option<Subject> {
        Some(match self {
            Self::Key(Key::Identity(identity)) => Subject::Identity(identity.clone()),
            Self::Key(Key::Address(Address::At(at))) => Subject::Net(Prefix::host(at.ip())),
            Self::Key(Key::Address(Address::Named(_))) => return None,
            Self::Ip(ip) => Subject::Net(Prefix::host(*ip)),
        })
    }
}

/// Reads whom somebody means, and on which network where the text tells.
pub(crate) fn whom(
    text: &str,
    chosen: Option<NetworkArg>,
    chain: Option<&str>,
    tables: &Tables,
) -> Result<(Option<&'static dyn AnyNetwork>, Whom), Failed> {
    let chosen_network = chosen.map(|chosen| chosen.0);
    if text.starts_with("enr:") {
        let record = record(text).map_err(misused)?;
        let key = record.uncompressed_public_key().map_err(usage)?;
        let key = Identity::new(&key).map_err(usage)?.into();
        return Ok((by_name("ethereum"), Whom::Key(key)));
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse() {
        return Ok((chosen_network, Whom::Ip(ip)));
    }
    if let Ok(key) = text.parse::<Key>() {
        return Ok((chosen_network, Whom::Key(key)));
    }
    // Everything else names its network, or needs one to be understood.
    let network = network_of(text, chosen)?;
    let to = destination(network, text, chain, tables)?;
    Ok((Some(network), Whom::Key(key_of(&to)?)))
}

/// Where a peer of this network is, the chain's customary port filled in.
pub(crate) fn destination(
    network: &dyn AnyNetwork,
    text: &str,
    chain: Option<&str>,
    tables: &Tables,
) -> Result<Destination, Failed> {
    let mut setup = Setup::new(chain.unwrap_or("mainnet"));
    setup.tables = tables.clone();
    let node = network.node(&setup).map_err(usage)?;
    crate::args::destination(text, &*node)
}

/// A destination in the terms of the book: who where that is known, and where.
pub(crate) fn place(to: &Destination) -> Result<(Option<Identity>, Address), Failed> {
    let identity = to.key.map(|key| Identity::new(&key.0));
    let identity = identity.transpose().map_err(usage)?;
    let address = match &to.target.host {
        Host::Ip(ip) => Address::At(Endpoint::new(*ip, to.target.port)),
        Host::Name(name) => Address::Named(Name::new(name, to.target.port).map_err(usage)?),
    };
    Ok((identity, address))
}

/// What a destination is called in the book.
pub(crate) fn key_of(to: &Destination) -> Result<Key, Failed> {
    let (identity, address) = place(to)?;
    Ok(identity.map_or(Key::Address(address), Key::Identity))
}

/// Whom a ban concerns: an address, a range, or whatever names a peer.
pub(crate) fn subject(
    text: &str,
    chosen: Option<NetworkArg>,
    tables: &Tables,
) -> Result<Subject, Failed> {
    if let Ok(range) = text.parse::<Prefix>() {
        return Ok(Subject::Net(range));
    }
    let (_, whom) = whom(text, chosen, None, tables)?;
    whom.subject().ok_or_else(|| {
        misused(format!(
            "{text} is a name, whose addresses may change: ban an address, a range or an identity"
        ))
    })
}

/// A snapshot of one candidate as the line that an export has of it.
pub(crate) fn line(snapshot: &Snapshot) -> Vec<serde_json::Value> {
    let mut bytes = Vec::new();
    if peerage::node::store::lines::write(snapshot, &mut bytes).is_err() {
        // Memory takes whatever is written.
        return Vec::new();
    }
    let lines = bytes.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}
