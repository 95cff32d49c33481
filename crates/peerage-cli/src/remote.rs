//! A daemon that runs: where it is, the calls it answers, and what it means when one fails.

use std::path::{Path, PathBuf};

use clap::Args;
use peerage::networks::AnyNetwork;
use peerage_api::client::{self, Client, Tls};
use peerage_api::json::Described;
use peerage_api::socket::At;
use peerage_api::token::Token;
use peerage_api::v1;
use prost::{Message, Name};
use serde_json::Value;
use tonic::{Code, Status};

use crate::data::DataArg;
use crate::output::{Exit, Failed, environment, failed, usage};
use crate::serve::settings::{self, Whereabouts};

/// The socket that is looked for in a data directory.
const SOCKET: &str = "api.sock";

/// Where the daemon is said to be.
#[derive(Clone, Debug, Args)]
pub(crate) struct ApiArg {
    /// Where the daemon answers: unix:/path/to/socket or ip:port. When not given, as the
    /// configuration of `serve` has it, or api.sock in the data directory.
    #[arg(long, value_name = "PLACE", env = "PEERAGE_API")]
    pub(crate) api: Option<At>,

    /// The file with the daemon's token, for ip:port. When not given, that of the configuration.
    #[arg(long, value_name = "FILE", env = "PEERAGE_TOKEN_FILE")]
    token_file: Option<PathBuf>,

    /// The authority that signed the daemon's certificate, in PEM, where it has an [api] tls.
    #[arg(long, value_name = "FILE", env = "PEERAGE_TLS_CA", requires_all = ["tls_cert", "tls_key"])]
    tls_ca: Option<PathBuf>,

    /// Our own certificate, in PEM.
    #[arg(
        long,
        value_name = "FILE",
        env = "PEERAGE_TLS_CERT",
        requires = "tls_ca"
    )]
    tls_cert: Option<PathBuf>,

    /// Its key, which nobody else may read.
    #[arg(
        long,
        value_name = "FILE",
        env = "PEERAGE_TLS_KEY",
        requires = "tls_ca"
    )]
    tls_key: Option<PathBuf>,

    /// The name that the daemon's certificate is for; its address when not given.
    #[arg(
        long,
        value_name = "NAME",
        env = "PEERAGE_TLS_NAME",
        requires = "tls_ca"
    )]
    tls_name: Option<String>,
}

/// A place where a daemon may answer.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    at: At,
    token: Option<Token>,
    tls: Option<Tls>,
}

impl ApiArg {
    /// The place that is named; else that of the configuration, unless `data` is given and the
    /// configuration is of another data directory; else the socket in the data directory.
    fn place(&self, config: Option<&Path>, data: &DataArg) -> Result<Place, Failed> {
        if let Some(at) = &self.api {
            let (at, file) = (at.clone(), self.token_file.as_deref());
            return self.with_tls(Place::new(at, file)?);
        }
        let Whereabouts {
            grpc,
            token_file,
            folder,
        } = settings::whereabouts(config, data)?;
        if let Some(at) = grpc {
            let file = self.token_file.as_deref().or(token_file.as_deref());
            return self.with_tls(Place::new(at.parse().map_err(usage)?, file)?);
        }
        let socket = folder.join(SOCKET);
        if socket.exists() {
            return Place::new(At::Unix(socket), None);
        }
        let (folder, socket) = (folder.display(), socket.display());
        Err(failed(
            Exit::Environment,
            format!(
                "no daemon was found: no configuration has `grpc` under [api], and there is no \
                 {SOCKET} in {folder}; run `peerage serve --grpc unix:{socket}`, or say where it \
                 answers with --api"
            ),
        ))
    }
}

impl ApiArg {
    /// The certificates, where they are given and the place is one for them.
    fn with_tls(&self, place: Place) -> Result<Place, Failed> {
        let given = (&self.tls_ca, &self.tls_cert, &self.tls_key);
        let (Some(authority), Some(own), Some(key)) = given else {
            return Ok(place);
        };
        let At::Tcp(at) = place.at else {
            return Ok(place);
        };
        let name = self.tls_name.clone().unwrap_or_else(|| at.ip().to_string());
        let tls = Some(Tls::read(authority, own, key, &name).map_err(usage)?);
        Ok(Place { tls, ..place })
    }

    /// The daemon, if one runs: that of `--api` has to, another may.
    pub(crate) async fn running(&self, data: &DataArg) -> Result<Option<Remote>, Failed> {
        if self.api.is_some() {
            return self.place(None, data)?.connect().await.map(Some);
        }
        // No daemon runs by a configuration with a mistake, and `peerage config check` tells of it.
        let Ok(place) = self.place(None, data) else {
            return Ok(None);
        };
        // Whoever has no daemon has the store.
        Ok(place.connect().await.ok())
    }
}

impl Place {
    fn new(at: At, token_file: Option<&Path>) -> Result<Self, Failed> {
        // Whoever may open a unix socket needs no token.
        let file = token_file.filter(|_| matches!(at, At::Tcp(_)));
        let token = file.map(Token::read).transpose().map_err(usage)?;
        let tls = None;
        Ok(Self { at, token, tls })
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> Result<Remote, Failed> {
        let token = self.token.as_ref();
        let connected = match (&self.at, &self.tls) {
            (At::Tcp(at), Some(tls)) => client::connect_tls(*at, token, tls).await,
            (at, _) => client::connect(at, token).await,
        };
        let client = connected.map_err(|error| {
            let advice = "is `peerage serve` running, with that place as its --grpc?";
            environment(error, advice)
        })?;
        Ok(Remote {
            client,
            described: Described::new(),
        })
    }
}

/// Where the commands that need a daemon look for it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Where {
    #[command(flatten)]
    api: ApiArg,

    /// The configuration of the daemon; as `serve` finds it when not given.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    data: DataArg,
}

impl Where {
    pub(crate) fn place(&self) -> Result<Place, Failed> {
        self.api.place(self.config.as_deref(), &self.data)
    }

    pub(crate) async fn connect(&self) -> Result<Remote, Failed> {
        self.place()?.connect().await
    }
}

/// The daemon.
pub(crate) struct Remote {
    pub(crate) client: Client,
    described: Described,
}

impl Remote {
    /// A message as HTTP shows it.
    pub(crate) fn show<M: Message + Name>(&self, message: &M) -> Result<Value, Failed> {
        let shown = self.described.show(message);
        shown.map_err(|error| environment(error, "cannot show the answer"))
    }

    /// The realms of its nodes that are meant.
    pub(crate) async fn realms(
        &mut self,
        network: Option<&dyn AnyNetwork>,
        chain: Option<&str>,
    ) -> Result<Vec<v1::Realm>, Failed> {
        let info = self.client.info(v1::InfoRequest {}).await;
        let nodes = info.map_err(refused)?.into_inner().nodes;
        let all: Vec<_> = nodes.into_iter().filter_map(|node| node.realm).collect();
        let shown = |realm: &v1::Realm| format!("{} {}", realm.network, realm.chain);
        let has: Vec<_> = all.iter().map(shown).collect();
        let meant = |realm: &v1::Realm| {
            network.is_none_or(|network| realm.network == network.network().0)
                && chain.is_none_or(|chain| realm.chain == chain)
        };
        let found: Vec<_> = all.into_iter().filter(meant).collect();
        if found.is_empty() {
            let has = has.join(", ");
            return Err(failed(
                Exit::No,
                format!("the daemon has no such node: it has {has}"),
            ));
        }
        Ok(found)
    }
}

/// What it means that a call failed.
pub(crate) fn refused(status: Status) -> Failed {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others are faults of what lies between, or of the daemon"
    )]
    let exit = match status.code() {
        Code::InvalidArgument => Exit::Usage,
        Code::NotFound
        | Code::FailedPrecondition
        | Code::ResourceExhausted
        | Code::DeadlineExceeded => Exit::No,
        _ => Exit::Environment,
    };
    if status.code() == Code::Unauthenticated {
        return failed(
            exit,
            "the daemon wants its token: give --token-file with the file of its `token_file`",
        );
    }
    let cause = std::error::Error::source(&status);
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    failed(exit, format!("{}{cause}", status.message()))
}
