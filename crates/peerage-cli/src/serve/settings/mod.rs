//! Where the settings of a daemon come from: the command line, the environment, files, defaults, in
//! this order; and `peerage config`, which writes, checks and shows them.

mod command;
mod keys;
mod show;
mod template;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

pub(crate) use self::command::{Args, run};
use super::api::{TlsFiles, Wanted};
use super::config::{self, File, Node, Source};
use super::level::{Format, Level};
use crate::args::span;
use crate::data::DataArg;
use crate::output::{Failed, misused};

/// What the command line and the environment may say of a daemon, whatever its networks.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Over {
    /// The configuration. Without it and without NETWORK: $PEERAGE_CONFIG, or else ./peerage.toml,
    /// then $XDG_CONFIG_HOME/peerage/config.toml, then /etc/peerage/config.toml.
    // By hand: clap would take the variable for a flag, and a flag beside NETWORK is a mistake.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    #[command(flatten)]
    pub(super) data: DataArg,

    /// How often figures are told; every 30 s when not given.
    #[arg(long, value_name = "TIME", value_parser = span, env = "PEERAGE_STATUS")]
    pub(super) status: Option<Duration>,

    /// The least that matters enough for the log on stderr; info when not given, and warn with
    /// --json, which tells everything on stdout.
    #[arg(long, value_name = "LEVEL", env = "PEERAGE_LOG_LEVEL")]
    pub(super) log_level: Option<Level>,

    /// How the log on stderr is written; text when not given.
    #[arg(long, value_name = "FORMAT", env = "PEERAGE_LOG_FORMAT")]
    pub(super) log_format: Option<Format>,

    /// Where gRPC is served: unix:/path/to/socket, or ip:port with --token-file. Nowhere when not
    /// given.
    #[arg(long, value_name = "PLACE", env = "PEERAGE_GRPC")]
    grpc: Option<String>,

    /// Where HTTP is served. Nowhere when not given.
    #[arg(long, value_name = "ADDR:PORT", env = "PEERAGE_HTTP")]
    http: Option<SocketAddr>,

    /// The file with the token of those who may change things over HTTP, and use gRPC over TCP.
    /// Nobody else may read it.
    #[arg(long, value_name = "FILE", env = "PEERAGE_TOKEN_FILE")]
    token_file: Option<PathBuf>,

    /// The same as --log-level debug: each failed attempt too.
    #[arg(short, long)]
    verbose: bool,

    /// The same as --log-level warn.
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
}

impl Over {
    /// The level of the log, where the command line or the environment name one.
    pub(super) const fn level(&self) -> Option<Level> {
        if self.verbose {
            Some(Level::Debug)
        } else if self.quiet {
            Some(Level::Warn)
        } else {
            self.log_level
        }
    }
}

/// How often figures are told when nothing is said.
pub(super) const STATUS: Duration = Duration::from_secs(30);

/// One file, read and found without a mistake.
pub(super) struct Layer {
    pub(super) source: Source,
    pub(super) file: File,
}

impl Layer {
    fn read(path: &Path) -> Result<Self, Failed> {
        let source = config::source(path)?;
        let file = config::parse(&source)?;
        Ok(Self { source, file })
    }

    /// Where paths in the file begin.
    pub(super) fn beside(&self) -> &Path {
        self.source.path.parent().unwrap_or(Path::new("."))
    }
}

/// A variable of the environment that says anything.
fn set(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Where files are looked for, the strongest first.
pub(super) fn places() -> Vec<PathBuf> {
    let user = match (set("XDG_CONFIG_HOME"), set("HOME")) {
        (Some(base), _) => Some(PathBuf::from(base)),
        (None, Some(home)) => Some(PathBuf::from(home).join(".config")),
        (None, None) => None,
    };
    let user = user.map(|base| base.join("peerage/config.toml"));
    [
        Some("peerage.toml".into()),
        user,
        Some("/etc/peerage/config.toml".into()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The files that count, the strongest first: the one that is named, or those that are found.
pub(super) fn layers(config: Option<&Path>) -> Result<Vec<Layer>, Failed> {
    let variable = set("PEERAGE_CONFIG").map(PathBuf::from);
    match config.or(variable.as_deref()) {
        Some(path) => Ok(vec![Layer::read(path)?]),
        None => {
            let there = places().into_iter().filter(|path| path.exists());
            there.map(|path| Layer::read(&path)).collect()
        }
    }
}

/// Whose word a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Winner {
    /// The command line or the environment.
    Over,
    /// The file of this number.
    Layer(usize),
    /// Nobody's.
    Default,
}

/// Who wins: the one rule.
pub(super) fn winner<'a, T>(
    over: Option<T>,
    layers: &'a [Layer],
    of: impl Fn(&'a Layer) -> Option<T>,
) -> (Option<T>, Winner) {
    if over.is_some() {
        return (over, Winner::Over);
    }
    let mut found = layers.iter().enumerate();
    let found = found.find_map(|(at, layer)| Some((Some(of(layer)?), Winner::Layer(at))));
    found.unwrap_or((None, Winner::Default))
}

/// What the daemon as a whole is to do, each with whose word it is.
pub(super) struct Settings<'a> {
    pub(super) data: (Option<PathBuf>, Winner),
    pub(super) status: (Option<Duration>, Winner),
    pub(super) level: (Option<Level>, Winner),
    pub(super) format: (Option<Format>, Winner),
    /// Where gRPC is served, paths from where the daemon runs.
    pub(super) grpc: (Option<String>, Winner),
    pub(super) http: (Option<SocketAddr>, Winner),
    pub(super) token_file: (Option<PathBuf>, Winner),
    /// The three files come from one layer.
    pub(super) tls: (Option<TlsFiles>, Winner),
    /// All networks are named by one file: those of two are never mixed.
    pub(super) nodes: (Option<&'a [Spanned<Node>]>, Winner),
}

impl<'a> Settings<'a> {
    pub(super) fn of(over: &Over, layers: &'a [Layer]) -> Self {
        let nodes = |layer: &'a Layer| Some(&*layer.file.nodes).filter(|nodes| !nodes.is_empty());
        let data = |layer: &Layer| Some(layer.beside().join(layer.file.data.as_ref()?));
        Self {
            data: winner(over.data.data.clone(), layers, data),
            status: winner(over.status, layers, |layer| Some(layer.file.status?.0)),
            level: winner(over.level(), layers, |layer| {
                Some(layer.file.log.level.as_ref()?.0)
            }),
            format: winner(over.log_format, layers, |layer| {
                Some(layer.file.log.format.as_ref()?.0)
            }),
            grpc: winner(over.grpc.clone(), layers, |layer| {
                let at = layer.file.api.grpc.as_ref()?;
                Some(match at.strip_prefix("unix:") {
                    Some(path) => format!("unix:{}", layer.beside().join(path).display()),
                    None => at.clone(),
                })
            }),
            http: winner(over.http, layers, |layer| layer.file.api.http),
            token_file: winner(over.token_file.clone(), layers, |layer| {
                Some(layer.beside().join(layer.file.api.token_file.as_ref()?))
            }),
            tls: winner(None, layers, |layer| {
                Some(layer.file.api.tls.as_ref()?.within(layer.beside()))
            }),
            nodes: winner(None, layers, nodes),
        }
    }

    /// Where programs speak with the daemon.
    pub(super) fn api(&self) -> Wanted {
        Wanted {
            grpc: self.grpc.0.clone(),
            http: self.http.0,
            token_file: self.token_file.0.clone(),
            tls: self.tls.0.clone(),
        }
    }

    /// The data directory.
    pub(super) fn folder(&self) -> Result<PathBuf, Failed> {
        let data = self.data.0.clone();
        DataArg { data }.folder()
    }
}

/// Where a daemon answers that runs by the configuration, and its data directory.
#[cfg(feature = "api")]
#[derive(Debug)]
pub(crate) struct Whereabouts {
    pub(crate) grpc: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) folder: PathBuf,
}

/// Where a daemon answers, as `serve` would find it. A file that names another data directory than
/// `data` speaks of another daemon.
#[cfg(feature = "api")]
pub(crate) fn whereabouts(config: Option<&Path>, data: &DataArg) -> Result<Whereabouts, Failed> {
    let layers = layers(config)?;
    let over = Over {
        config: None,
        data: data.clone(),
        status: None,
        log_level: None,
        log_format: None,
        grpc: set("PEERAGE_GRPC").and_then(|at| at.into_string().ok()),
        http: None,
        token_file: set("PEERAGE_TOKEN_FILE").map(PathBuf::from),
        verbose: false,
        quiet: false,
    };
    let settings = Settings::of(&over, &layers);
    let folder = settings.folder()?;
    let named = |at: usize| Some(layers[at].beside().join(layers[at].file.data.as_ref()?));
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let is_other = match settings.grpc.1 {
        Winner::Layer(at) => named(at).is_some_and(|named| real(&named) != real(&folder)),
        Winner::Over | Winner::Default => false,
    };
    Ok(Whereabouts {
        grpc: settings.grpc.0.filter(|_| !is_other),
        token_file: settings.token_file.0,
        folder,
    })
}

/// No file names a network.
pub(super) fn nothing(layers: &[Layer]) -> Failed {
    if let Some(layer) = layers.first() {
        let begin = "begin with [[node]] and network = \"zcash\"";
        let error = misused(format!("it names no network: {begin}"));
        return layer.source.wrong(Range::default(), error);
    }
    let places: Vec<_> = places()
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    misused(format!(
        "name a NETWORK, or give --config FILE; there is none of {}: `peerage config init` writes \
         one",
        places.join(", ")
    ))
}
