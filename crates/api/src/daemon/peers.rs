//! Peers and bans.

use std::sync::Arc;
use std::time::Duration;

use peerage::node::book::{Address, Identity, Key, Prefix, Role, Subject};
use peerage::node::peers::{Dead, Misdeed, Phase, SessionId, Snapshot};
use peerage::{ConnectedAddr, networks};

use super::{Daemon, key, subject};
use crate::convert;
use crate::fault::Fault;
use crate::seat::{Served, Shown};
use crate::v1;

/// How many peers a list has when nothing is said, and at the most.
const LISTED: [usize; 2] = [1000, 10_000];

/// How long a peer stays away that was told to cool down, when nothing is said.
const COOL: Duration = Duration::from_secs(60 * 60);

impl Daemon {
    /// See the service.
    ///
    /// # Errors
    /// When there is no such node, or it has stopped.
    pub async fn list_peers(
        &self,
        request: v1::ListPeersRequest,
    ) -> Result<v1::ListPeersResponse, Fault> {
        let [usual, most] = LISTED;
        let limit = match request.limit {
            0 => usual,
            limit => usize::try_from(limit).unwrap_or(most).min(most),
        };
        let mut all = Vec::new();
        for node in self.chosen(request.realm.as_ref())? {
            let Some(node) = self.nodes.get(node) else {
                continue;
            };
            let realm = node.info().realm.clone().unwrap_or_default();
            for (peer, facts) in node.peers().await? {
                let wanted = peer.phase == Phase::Active || request.pending;
                if wanted && peer.id.0 > request.after {
                    if all.len() == limit {
                        return Ok(v1::ListPeersResponse {
                            peers: all,
                            more: true,
                        });
                    }
                    all.push(convert::peer(&realm, &peer, facts.as_deref()));
                }
            }
        }
        let more = false;
        Ok(v1::ListPeersResponse { peers: all, more })
    }

    async fn shown(&self, peer: Option<&v1::PeerRef>) -> Result<(&Arc<dyn Served>, Shown), Fault> {
        let (node, id) = self.peer(peer)?;
        let peers = node.peers().await?;
        let found = peers.into_iter().find(|(peer, _)| peer.id == id);
        Ok((node, found.ok_or(Dead(id))?))
    }

    /// See the service.
    ///
    /// # Errors
    /// When there is no such peer.
    pub async fn get_peer(
        &self,
        request: v1::GetPeerRequest,
    ) -> Result<v1::GetPeerResponse, Fault> {
        let (node, (peer, facts)) = self.shown(request.peer.as_ref()).await?;
        let realm = node.info().realm.clone().unwrap_or_default();
        Ok(v1::GetPeerResponse {
            peer: Some(convert::peer(&realm, &peer, facts.as_deref())),
        })
    }

    /// The node that an address is for: the one named, or the one whose network has its scheme.
    pub(super) fn node_for(
        &self,
        realm: Option<&v1::Realm>,
        address: &str,
    ) -> Result<&Arc<dyn Served>, Fault> {
        let named = realm.is_some_and(|realm| !realm.network.is_empty());
        match networks::by_scheme(address) {
            Some(network) if !named => {
                let realm = v1::Realm {
                    network: network.network().0.to_owned(),
                    chain: realm.map(|realm| realm.chain.clone()).unwrap_or_default(),
                };
                Ok(self.node(Some(&realm))?.1)
            }
            Some(_) | None => Ok(self.node(realm)?.1),
        }
    }

    async fn pin(
        &self,
        realm: Option<&v1::Realm>,
        address: &str,
        role: Role,
    ) -> Result<v1::PeerRef, Fault> {
        let node = self.node_for(realm, address)?;
        let (identity, at) = node.destination(address)?;
        let key = node.pin(identity, at, role).await?;
        Ok(v1::PeerRef {
            realm: node.info().realm.clone(),
            session: 0,
            key: key.to_string(),
        })
    }

    /// See the service.
    ///
    /// # Errors
    /// When the address is none of the network's, or the book does not take it.
    pub async fn add_peer(
        &self,
        request: v1::AddPeerRequest,
    ) -> Result<v1::AddPeerResponse, Fault> {
        let realm = request.realm.as_ref();
        if request.candidate {
            let node = self.node_for(realm, &request.address)?;
            let (identity, at) = node.destination(&request.address)?;
            let key = node.add(identity, at).await?;
            let peer = Some(v1::PeerRef {
                realm: node.info().realm.clone(),
                session: 0,
                key: key.to_string(),
            });
            return Ok(v1::AddPeerResponse { peer });
        }
        let peer = self.pin(realm, &request.address, Role::Static);
        let peer = Some(peer.await?);
        Ok(v1::AddPeerResponse { peer })
    }

    /// See the service.
    ///
    /// # Errors
    /// As [`Daemon::add_peer`].
    pub async fn trust_peer(
        &self,
        request: v1::TrustPeerRequest,
    ) -> Result<v1::TrustPeerResponse, Fault> {
        let role = Role::Trusted;
        let peer = self.pin(request.realm.as_ref(), &request.address, role);
        let peer = Some(peer.await?);
        Ok(v1::TrustPeerResponse { peer })
    }

    /// See the service.
    ///
    /// # Errors
    /// When there is no key, or no such node.
    pub async fn remove_peer(
        &self,
        request: v1::RemovePeerRequest,
    ) -> Result<v1::RemovePeerResponse, Fault> {
        let peer = request.peer.unwrap_or_default();
        let (_, node) = self.node(peer.realm.as_ref())?;
        if peer.key.is_empty() {
            return Err(Fault::invalid("say which peer is meant, by its key"));
        }
        let key = match key(&peer.key) {
            Ok(key) => key,
            // As it was added.
            Err(_) => match node.destination(&peer.key)? {
                (Some(identity), _) => identity.into(),
                (None, Address::At(endpoint)) => endpoint.into(),
                (None, named @ Address::Named(_)) => Key::Address(named),
            },
        };
        let removed = match request.forget {
            true => node.forget(key).await?,
            false => node.unpin(key).await?,
        };
        Ok(v1::RemovePeerResponse { removed })
    }

    /// See the service.
    ///
    /// # Errors
    /// When there is no such attempt or session.
    pub async fn disconnect(
        &self,
        request: v1::DisconnectRequest,
    ) -> Result<v1::DisconnectResponse, Fault> {
        let say = convert::parting(request.say());
        let (node, id) = self.peer(request.peer.as_ref())?;
        node.disconnect(id, say).await?;
        Ok(v1::DisconnectResponse {})
    }

    /// See the service.
    ///
    /// # Errors
    /// When there is no such node, or it has stopped.
    pub async fn list_bans(
        &self,
        request: v1::ListBansRequest,
    ) -> Result<v1::ListBansResponse, Fault> {
        let mut bans = Vec::new();
        for node in self.chosen(request.realm.as_ref())? {
            let Some(node) = self.nodes.get(node) else {
                continue;
            };
            let realm = node.info().realm.clone().unwrap_or_default();
            let of_node = node.bans().await?;
            bans.extend(
                of_node
                    .iter()
                    .map(|(of, ban)| convert::ban(&realm, of, ban)),
            );
        }
        Ok(v1::ListBansResponse { bans })
    }

    /// See the service.
    ///
    /// # Errors
    /// When the subject makes no sense, or there are too many bans.
    pub async fn ban(&self, request: v1::BanRequest) -> Result<v1::BanResponse, Fault> {
        let (_, node) = self.node(request.realm.as_ref())?;
        let subject = subject(request.subject.as_ref())?;
        node.ban(subject, term(request.seconds), request.why)
            .await?;
        Ok(v1::BanResponse {})
    }

    /// See the service.
    ///
    /// # Errors
    /// When the subject makes no sense.
    pub async fn unban(&self, request: v1::UnbanRequest) -> Result<v1::UnbanResponse, Fault> {
        let (_, node) = self.node(request.realm.as_ref())?;
        let lifted = node.unban(subject(request.subject.as_ref())?).await?;
        Ok(v1::UnbanResponse { lifted })
    }

    /// See the service.
    ///
    /// # Errors
    /// When it says nothing, or there is no such session.
    pub async fn report(&self, request: v1::ReportRequest) -> Result<v1::ReportResponse, Fault> {
        let misdeed = match request.finding() {
            v1::Finding::Unspecified => {
                return Err(Fault::invalid("say what was found out about the peer"));
            }
            v1::Finding::Useful => None,
            v1::Finding::BadMessage => Some(Misdeed::BadMessage),
            v1::Finding::Unsolicited => Some(Misdeed::Unsolicited),
        };
        let strikes = match misdeed {
            Some(misdeed) => {
                let (node, id) = self.peer(request.peer.as_ref())?;
                node.misbehaved(id, misdeed).await?
            }
            None => {
                let (node, (peer, _)) = self.shown(request.peer.as_ref()).await?;
                node.useful(peer.id).await?;
                Some(peer.strikes)
            }
        };
        Ok(v1::ReportResponse { strikes })
    }

    /// See the service.
    ///
    /// # Errors
    /// When it says nothing, there is no such session, or nobody can be banned by it.
    pub async fn penalise(
        &self,
        request: v1::PenaliseRequest,
    ) -> Result<v1::PenaliseResponse, Fault> {
        let lasting = match request.penalty() {
            v1::Penalty::Unspecified => {
                return Err(Fault::invalid("say what is to be done to the peer"));
            }
            v1::Penalty::Kick if request.seconds != 0 => {
                return Err(Fault::invalid(
                    "a kick has no time: leave it out, or say PENALTY_COOL",
                ));
            }
            v1::Penalty::Kick => None,
            v1::Penalty::Cool => Some(Some(term(request.seconds).unwrap_or(COOL))),
            v1::Penalty::Ban => Some(term(request.seconds)),
        };
        let (node, (peer, _)) = self.shown(request.peer.as_ref()).await?;
        let banned = match lasting {
            None => {
                kick(&**node, peer.id).await?;
                None
            }
            Some(term) => {
                let subject = culprit(&peer).ok_or_else(|| {
                    Fault::of_kind(
                        tonic::Code::FailedPrecondition,
                        peerage::Kind::Usage,
                        "this peer has no identity and came through a proxy: nothing of it can be \
                         banned; kick it",
                    )
                })?;
                node.ban(subject.clone(), term, request.why).await?;
                // The ban has ended it, if it is one of those it concerns.
                let _ended = kick(&**node, peer.id).await;
                Some(convert::subject(&subject))
            }
        };
        Ok(v1::PenaliseResponse { banned })
    }
}

async fn kick(node: &dyn Served, id: SessionId) -> Result<(), Fault> {
    node.disconnect(id, peerage::node::peers::Parting::Requested)
        .await
}

fn term(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// Who is to be banned for a peer's deeds.
fn culprit(peer: &Snapshot<Key>) -> Option<Subject> {
    if let Some(Key::Identity(identity)) = &peer.identity {
        let identity: Identity = identity.clone();
        return Some(Subject::Identity(identity));
    }
    match peer.addr? {
        ConnectedAddr::OutboundDirect { addr } | ConnectedAddr::InboundDirect { addr } => {
            Some(Subject::Net(Prefix::host(addr.ip())))
        }
        ConnectedAddr::OutboundProxy { .. }
        | ConnectedAddr::InboundProxy { .. }
        | ConnectedAddr::Isolated { .. } => None,
    }
}
