//! Messages to peers, and questions both ways.

use std::sync::Arc;
use std::time::Duration;

use peerage::node::Payload;
use peerage::node::peers::SessionId;
use tokio::time::timeout;
use tonic::Code;

use super::Daemon;
use crate::convert::{self, micros};
use crate::fault::Fault;
use crate::seat::{Served, given, seen, told};
use crate::select::{Ranked, fits, rank, share};
use crate::v1;

fn payload(message: Option<v1::Payload>) -> Result<Payload, Fault> {
    let message = message.ok_or_else(|| Fault::invalid("say what is to be sent"))?;
    if message.name.is_empty() && message.code.is_none() {
        return Err(Fault::invalid(
            "a message has a name, or a code and a capability",
        ));
    }
    Ok(given(message))
}

fn is_gossip(lane: v1::Lane) -> bool {
    match lane {
        v1::Lane::Unspecified | v1::Lane::Control => false,
        v1::Lane::Gossip => true,
    }
}

fn delivery(
    peer: Option<v1::PeerRef>,
    score: Option<v1::Score>,
    sent: Result<(), Fault>,
) -> v1::Delivery {
    let outcome = match &sent {
        Ok(()) => v1::Outcome::Sent,
        Err(fault) if fault.code == Code::ResourceExhausted => v1::Outcome::QueueFull,
        Err(fault) if fault.code == Code::FailedPrecondition => v1::Outcome::Unsupported,
        Err(_) => v1::Outcome::Gone,
    };
    v1::Delivery {
        peer,
        outcome: outcome.into(),
        reason: sent.err().map(|fault| convert::reason(&fault.reason)),
        score,
    }
}

impl Daemon {
    /// Who is meant, the best first.
    async fn ranked(
        &self,
        selector: &v1::Selector,
    ) -> Result<(&Arc<dyn Served>, Vec<Ranked>), Fault> {
        let (_, node) = self.node(selector.realm.as_ref())?;
        let peers = seen(&**node).await?.into_iter();
        let meant = peers.filter(|seen| fits(selector, seen));
        Ok((node, rank(meant.collect())))
    }

    /// See the service.
    ///
    /// # Errors
    /// When the message or the peer cannot be meant. What became of it is in the answer.
    pub async fn send(&self, request: v1::SendRequest) -> Result<v1::SendResponse, Fault> {
        let gossip = is_gossip(request.lane());
        let message = payload(request.message)?;
        let (node, id) = self.peer(request.peer.as_ref())?;
        let name = node.name_of(id).or(request.peer);
        let sent = node.send(id, &message, gossip).await;
        let sent = whole(sent)?;
        let delivery = Some(delivery(name, None, sent));
        Ok(v1::SendResponse { delivery })
    }

    /// See the service.
    ///
    /// # Errors
    /// When the message or the node cannot be meant, or nobody fits.
    pub async fn send_best(
        &self,
        request: v1::SendBestRequest,
    ) -> Result<v1::SendBestResponse, Fault> {
        let gossip = is_gossip(request.lane());
        let message = payload(request.message)?;
        let (node, mut peers) = self.ranked(&request.selector.unwrap_or_default()).await?;
        if peers.is_empty() {
            return Err(nobody());
        }
        peers.truncate(usize::try_from(request.count.max(1)).unwrap_or(usize::MAX));
        let deliveries = deliver(node, peers, &message, gossip).await?;
        Ok(v1::SendBestResponse { deliveries })
    }

    /// See the service.
    ///
    /// # Errors
    /// When the message or the node cannot be meant.
    pub async fn broadcast(
        &self,
        request: v1::BroadcastRequest,
    ) -> Result<v1::BroadcastResponse, Fault> {
        let wanted = request.share();
        let message = payload(request.message)?;
        let (node, mut peers) = self.ranked(&request.selector.unwrap_or_default()).await?;
        peers.truncate(share(wanted, peers.len(), request.limit));
        let deliveries = deliver(node, peers, &message, true).await?;
        Ok(v1::BroadcastResponse { deliveries })
    }

    /// See the service.
    ///
    /// # Errors
    /// When the message or the peer cannot be meant, or why there is no answer.
    pub async fn request(&self, request: v1::RequestRequest) -> Result<v1::RequestResponse, Fault> {
        use v1::request_request::To;
        let message = payload(request.message)?;
        let (node, id, score) = match &request.to {
            Some(To::Peer(peer)) => {
                let (node, id) = self.peer(Some(peer))?;
                (node, id, None)
            }
            Some(To::Best(selector)) => {
                let (node, peers) = self.ranked(selector).await?;
                let (score, best) = peers.into_iter().next().ok_or_else(nobody)?;
                (node, best.snapshot.id, Some(score))
            }
            None => {
                return Err(Fault::invalid(
                    "say who is asked: a peer, or the best of some",
                ));
            }
        };
        let limit = match request.timeout_ms {
            0 => self.limits.request,
            asked => Duration::from_millis(asked.into()).min(self.limits.request),
        };
        let peer = node.name_of(id);
        let answer = Some(&*request.answer).filter(|answer| !answer.is_empty());
        let asked = timeout(limit, node.request(id, &message, answer)).await;
        let answered = asked.map_err(|_| {
            Fault::of_kind(
                Code::DeadlineExceeded,
                peerage::Kind::Timeout,
                format!(
                    "no answer came within {} ms: ask another",
                    limit.as_millis()
                ),
            )
        })??;
        Ok(v1::RequestResponse {
            peer,
            message: Some(told(answered.payload)),
            took_us: micros(answered.took),
            score,
        })
    }

    /// See the service.
    ///
    /// # Errors
    /// When there is no such request, or the message does not answer it.
    pub async fn respond(&self, request: v1::RespondRequest) -> Result<v1::RespondResponse, Fault> {
        let message = request.message.map(given);
        for node in &self.nodes {
            if let Some(responded) = node.respond(request.request, message.as_ref()).await {
                return responded.map(|()| v1::RespondResponse {});
            }
        }
        Err(Fault::missing(
            "there is no such request: it was answered or given up, or its peer is gone",
        ))
    }
}

fn nobody() -> Fault {
    Fault::of_kind(
        Code::FailedPrecondition,
        peerage::Kind::Incompatible,
        "no established peer fits the selector: ask for less, or wait for more peers",
    )
}

/// A message that makes no sense for anybody fails the call; the rest is about the peer.
fn whole(sent: Result<(), Fault>) -> Result<Result<(), Fault>, Fault> {
    match sent {
        Err(fault) if fault.code == Code::InvalidArgument => Err(fault),
        Err(fault) if fault.code == Code::Unavailable => Err(fault),
        sent => Ok(sent),
    }
}

async fn deliver(
    node: &Arc<dyn Served>,
    peers: Vec<Ranked>,
    message: &Payload,
    gossip: bool,
) -> Result<Vec<v1::Delivery>, Fault> {
    let mut deliveries = Vec::new();
    for (score, peer) in peers {
        let id: SessionId = peer.snapshot.id;
        let name = node.name_of(id).or_else(|| {
            Some(v1::PeerRef {
                realm: node.info().realm.clone(),
                session: id.0,
                key: String::new(),
            })
        });
        let sent = whole(node.send(id, message, gossip).await)?;
        deliveries.push(delivery(name, Some(score), sent));
    }
    Ok(deliveries)
}
