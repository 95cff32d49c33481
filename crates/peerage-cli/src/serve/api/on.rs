//! The interface, served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use peerage::Greeter;
use peerage::networks::Described;
use peerage::node::{Event, HandleOf, Wired};
use peerage_api::grpc::{self, Access, Certificates};
use peerage_api::socket::{At, BindError};
use peerage_api::token::Token;
use peerage_api::{ApiLimits, Builder, Daemon, http, v1};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Places, Shown, Wanted};
use crate::output::{Failed, environment, misused, usage};

/// How long calls under way may take at the end.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// The places, taken before anything runs, so that it does not run where they cannot be had.
pub(crate) struct Gate {
    builder: Builder,
    grpc: Option<(At, grpc::Listener)>,
    http: Option<http::Listener>,
}

/// Where the events of a node go.
pub(crate) struct Feed<N: Wired>(Option<peerage_api::Feed<N>>);

impl<N: Wired + Described> Feed<N> {
    /// Whether an application answers, where a peer asks.
    pub(crate) fn tell(&self, event: &Event<N>) -> bool {
        self.0.as_ref().is_some_and(|feed| feed.tell(event))
    }
}

fn taken(error: BindError) -> Failed {
    let is_usage = matches!(
        error,
        BindError::NoToken { .. } | BindError::NoTokenForHttp { .. }
    );
    if is_usage {
        usage(error)
    } else {
        environment(error, "cannot serve the API")
    }
}

/// Who may use gRPC over TCP.
fn access(at: &At, wanted: &Wanted, token: Option<Token>) -> Result<Option<Access>, Failed> {
    let Some(files) = &wanted.tls else {
        return Ok(token.map(Access::Token));
    };
    let At::Tcp(_) = at else {
        return Err(misused(
            "api.tls is for gRPC over TCP, and api.grpc is a unix socket, which its owner alone may \
             open: leave one of them out",
        ));
    };
    let certificates = Certificates::read(&files.cert, &files.key, &files.client_ca);
    let certificates = certificates.map_err(|error| usage(error).within("api.tls".to_owned()))?;
    Ok(Some(Access::Certificates(Box::new(certificates), token)))
}

impl Gate {
    /// Takes the places that are wanted.
    pub(crate) async fn open(wanted: &Wanted) -> Result<Self, Failed> {
        let token = wanted.token_file.as_deref().map(Token::read).transpose();
        let token = token.map_err(usage)?;
        let grpc = match &wanted.grpc {
            Some(at) => {
                let at: At = at.parse().map_err(usage)?;
                let access = access(&at, wanted, token.clone())?;
                let listener = grpc::Listener::bind(&at, access).await;
                Some((at, listener.map_err(taken)?))
            }
            None => None,
        };
        if wanted.tls.is_some() && grpc.is_none() {
            return Err(misused(
                "api.tls is for gRPC over TCP: set api.grpc to ip:port, or leave it out",
            ));
        }
        let http = match wanted.http {
            Some(at) => Some(http::Listener::bind(at, token).await.map_err(taken)?),
            None => None,
        };
        Ok(Self {
            builder: Builder::new(env!("CARGO_PKG_VERSION"), ApiLimits::default()),
            grpc,
            http,
        })
    }

    /// Puts a node behind it.
    pub(crate) fn add<N: Wired + Described>(
        &mut self,
        handle: HandleOf<N>,
        greeter: Greeter<N>,
        node: Shown,
    ) -> Feed<N> {
        if self.grpc.is_none() && self.http.is_none() {
            return Feed(None);
        }
        let info = v1::NodeInfo {
            realm: Some(v1::Realm {
                network: node.network,
                chain: node.chain,
            }),
            listens: node.listens,
            addresses: node.addresses,
            record: node.record,
        };
        Feed(Some(self.builder.add(handle, greeter, info)))
    }

    /// Serves until it is stopped.
    pub(crate) fn serve(self) -> Served {
        let (end, ended) = watch::channel(false);
        let over = move || {
            let mut ended = ended.clone();
            async move {
                // Dropped is the end, too.
                let _dropped = ended.wait_for(|ended| *ended).await;
            }
        };
        if self.grpc.is_none() && self.http.is_none() {
            return Served {
                at: None,
                daemon: None,
                end,
                tasks: Vec::new(),
            };
        }
        let daemon = self.builder.build();
        let mut at = Places::default();
        let mut tasks = Vec::new();
        if let Some((place, listener)) = self.grpc {
            let addr = listener.local_addr().as_ref().map(SocketAddr::to_string);
            at.grpc = Some(addr.unwrap_or_else(|| place.to_string()));
            let (daemon, over) = (Arc::clone(&daemon), over());
            tasks.push(tokio::spawn(async move {
                // What it fails with then is that the place is gone, and so are its clients.
                drop(listener.serve(daemon, over).await);
            }));
        }
        if let Some(listener) = self.http {
            at.http = Some(listener.local_addr().to_string());
            let (daemon, over) = (Arc::clone(&daemon), over());
            tasks.push(tokio::spawn(async move {
                drop(listener.serve(daemon, over).await);
            }));
        }
        Served {
            at: Some(at),
            daemon: Some(daemon),
            end,
            tasks,
        }
    }
}

/// The interface at work.
pub(crate) struct Served {
    pub(crate) at: Option<Places>,
    daemon: Option<Arc<Daemon>>,
    end: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Served {
    /// Tells subscribers that it is over, and lets go of the places.
    pub(crate) async fn stop(self) {
        if let Some(daemon) = &self.daemon {
            daemon.close();
        }
        self.end.send_replace(true);
        for task in self.tasks {
            // A client that does not go is left behind.
            let _late = tokio::time::timeout(LAST_CALLS, task).await;
        }
    }
}
