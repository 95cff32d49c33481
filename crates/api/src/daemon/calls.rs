//! What the daemon is, how it is doing, and who listens.

use std::time::Duration;

use super::{Daemon, fresh_token};
use crate::board::{Subscription, Wants, token_from};
use crate::fault::Fault;
use crate::hub::{Policy, Terms};
use crate::v1;

/// The budget of a subscription that asks for none, in bytes.
const BUDGET: usize = 4 << 20;

impl Daemon {
    /// See the service.
    pub fn info(&self) -> v1::InfoResponse {
        v1::InfoResponse {
            version: self.version.clone(),
            started_ms: self.started_ms,
            nodes: self.nodes.iter().map(|node| node.info().clone()).collect(),
        }
    }

    /// See the service.
    ///
    /// # Errors
    /// When there is no such node, or it has stopped.
    pub async fn status(&self, request: v1::StatusRequest) -> Result<v1::StatusResponse, Fault> {
        let mut nodes = Vec::new();
        for node in self.chosen(request.realm.as_ref())? {
            if let Some(node) = self.nodes.get(node) {
                nodes.push(node.status().await?);
            }
        }
        Ok(v1::StatusResponse {
            nodes,
            subscriptions: Some(self.board.status()),
        })
    }

    /// See the service.
    ///
    /// # Errors
    /// When it asks for nothing, a limit is reached, or there is nothing to pick up.
    pub fn subscribe(&self, request: v1::SubscribeRequest) -> Result<Subscription, Fault> {
        if !request.resume.is_empty() {
            let token = token_from(&request.resume)?;
            return Ok(self.board.resume(token, request.after)?);
        }
        let policy = match request.policy() {
            v1::Policy::Unspecified | v1::Policy::DropOldest => Policy::DropOldest,
            v1::Policy::PushBack => Policy::PushBack,
            v1::Policy::Close => Policy::Close,
        };
        if request.events.is_none() && request.messages.is_none() && !request.requests {
            return Err(Fault::invalid(
                "a subscription without events, messages or requests would never hear anything: \
                 say what it wants",
            ));
        }
        let realm = request.realm.as_ref();
        let named = realm.is_some_and(|of| !(of.network.is_empty() && of.chain.is_empty()));
        let node = match named {
            true => Some(self.node(realm)?.0),
            false => None,
        };
        let wants = Wants {
            node,
            events: request.events,
            messages: request.messages,
            requests: request.requests,
        };
        let budget = match request.budget_bytes {
            0 => BUDGET.min(self.limits.subscriptions.budget),
            asked => usize::try_from(asked).unwrap_or(usize::MAX),
        };
        let terms = Terms {
            budget,
            policy,
            lease: Duration::from_millis(request.lease_ms.into()),
        };
        Ok(self.board.open(fresh_token(), wants, terms)?)
    }

    /// See the service.
    ///
    /// # Errors
    /// When the token is none.
    pub fn unsubscribe(
        &self,
        request: &v1::UnsubscribeRequest,
    ) -> Result<v1::UnsubscribeResponse, Fault> {
        let ended = self.board.end(token_from(&request.token)?);
        Ok(v1::UnsubscribeResponse { ended })
    }
}
