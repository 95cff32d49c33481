//! What the book knows.

use peerage::node::book::{Address, Book, Entry, Key};
use tokio::sync::oneshot;

use super::{Daemon, key};
use crate::convert::{self, count};
use crate::fault::Fault;
use crate::seat::Served;
use crate::v1;

/// How many candidates a list has when nothing is said, and at the most.
const LISTED: [usize; 2] = [100, 1000];

/// What `look` makes of a node's book.
pub(super) async fn looked<A: Send + 'static>(
    node: &dyn Served,
    look: impl FnOnce(&Book) -> A + Send + 'static,
) -> Result<A, Fault> {
    let (tell, told) = oneshot::channel();
    let look = Box::new(move |book: &Book| {
        // Whoever asked may have gone.
        let _gone = tell.send(look(book));
    });
    node.look(look).await?;
    told.await.map_err(|_| peerage::node::Stopped.into())
}

fn fits(entry: &Entry, which: v1::Which, agent: &str) -> bool {
    let is_tried = entry.last_success.is_some();
    let is_meant = match which {
        v1::Which::Unspecified | v1::Which::All => true,
        v1::Which::Tried => is_tried,
        v1::Which::New => !is_tried,
        v1::Which::Pinned => entry.role.is_pinned(),
    };
    let named = || {
        let shown = entry.agent.as_ref().map(ToString::to_string);
        shown.is_some_and(|shown| shown.to_lowercase().contains(agent))
    };
    is_meant && (agent.is_empty() || named())
}

impl Daemon {
    /// See the service.
    ///
    /// # Errors
    /// When there is no such node, or it has stopped.
    pub async fn query_book(
        &self,
        request: v1::QueryBookRequest,
    ) -> Result<v1::QueryBookResponse, Fault> {
        let (_, node) = self.node(request.realm.as_ref())?;
        let realm = node.info().realm.clone().unwrap_or_default();
        let [usual, most] = LISTED;
        let limit = match request.limit {
            0 => usual,
            limit => usize::try_from(limit).unwrap_or(most).min(most),
        };
        let skip = usize::try_from(request.skip).unwrap_or(usize::MAX);
        let look = move |book: &Book| {
            let (which, agent) = (request.which(), request.agent.to_lowercase());
            let mut matched = 0;
            let mut candidates = Vec::new();
            for entry in book.entries() {
                if !fits(&entry, which, &agent) {
                    continue;
                }
                if matched >= skip && candidates.len() < limit {
                    candidates.push(convert::candidate(&realm, &entry));
                }
                matched += 1;
            }
            v1::QueryBookResponse {
                candidates,
                matched: count(matched),
                known: count(book.len()),
            }
        };
        looked(&**node, look).await
    }

    /// See the service.
    ///
    /// # Errors
    /// When nobody can be meant by that, or there is no such node.
    pub async fn why(&self, request: v1::WhyRequest) -> Result<v1::WhyResponse, Fault> {
        let node = self.node_for(request.realm.as_ref(), &request.peer)?;
        let realm = node.info().realm.clone().unwrap_or_default();
        let key = match key(&request.peer) {
            Ok(key) => key,
            Err(_) => match node.destination(&request.peer)? {
                (Some(identity), _) => identity.into(),
                (None, Address::At(endpoint)) => endpoint.into(),
                (None, named @ Address::Named(_)) => Key::Address(named),
            },
        };
        let stories = node.why(key).await?;
        Ok(v1::WhyResponse {
            stories: stories
                .iter()
                .map(|of| convert::story(&realm, of))
                .collect(),
        })
    }
}
