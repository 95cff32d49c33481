//! What the book knows.

use std::io::BufReader;

use peerage::node::book::{Address, Entry, Key, Which};
use peerage::node::store::lines;

use super::{Daemon, key};
use crate::convert::{self, count};
use crate::fault::Fault;
use crate::v1;

/// How many candidates a list has when nothing is said, and at the most.
const LISTED: [usize; 2] = [100, 1000];

/// How many candidates and bans are taken in at once. A node does nothing else meanwhile.
const IMPORTED: usize = 1000;

/// How many of those that are not taken are told.
const REFUSED: usize = 100;

const fn which(of: v1::Which) -> Which {
    match of {
        v1::Which::Unspecified | v1::Which::All => Which::All,
        v1::Which::Tried => Which::Tried,
        v1::Which::New => Which::New,
        v1::Which::Pinned => Which::Pinned,
        v1::Which::Busy => Which::Busy,
        v1::Which::Ready => Which::Ready,
        v1::Which::Waiting => Which::Waiting,
        v1::Which::Unfit => Which::Unfit,
    }
}

/// Whether its software has a name that contains this.
fn is_called(entry: &Entry, agent: &str) -> bool {
    let shown = entry.agent.as_ref().map(ToString::to_string);
    agent.is_empty() || shown.is_some_and(|shown| shown.to_lowercase().contains(agent))
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
        let (which, agent) = (which(request.which()), request.agent.to_lowercase());
        let (mut matched, mut candidates) = (0, Vec::new());
        let mut after = None;
        // A page at a time, so that the node does something else in between.
        loop {
            let page = node.page(which, after, most).await?;
            for (entry, _) in page.listed {
                if !is_called(&entry, &agent) {
                    continue;
                }
                if matched >= skip && candidates.len() < limit {
                    candidates.push(convert::candidate(&realm, &entry));
                }
                matched += 1;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(v1::QueryBookResponse {
            candidates,
            matched: count(matched),
            known: count(node.known().await?),
        })
    }

    /// See the service.
    ///
    /// # Errors
    /// When there are too many lines, there is no such node, or it has stopped.
    pub async fn import_book(
        &self,
        request: v1::ImportBookRequest,
    ) -> Result<v1::ImportBookResponse, Fault> {
        let (_, node) = self.node(request.realm.as_ref())?;
        if request.lines.lines().count() > IMPORTED {
            return Err(Fault::invalid(format!(
                "at most {IMPORTED} lines are taken at once: send the rest in another call"
            )));
        }
        let first = usize::try_from(request.first_line.saturating_sub(1)).unwrap_or(0);
        let read = lines::read(BufReader::new(request.lines.as_bytes()));
        let wrong = read.wrong.iter().map(|wrong| {
            let line = wrong.line + first;
            format!("line {line} is not taken: {}", wrong.why)
        });
        let mut refused: Vec<String> = wrong.collect();
        let imported = node.import(read.snapshot).await?;
        refused.extend(imported.refused.iter().map(|refused| {
            let cause = std::error::Error::source(refused);
            let cause = cause.map(|cause| format!(": {cause}"));
            format!("{refused}{}", cause.unwrap_or_default())
        }));
        refused.truncate(REFUSED);
        Ok(v1::ImportBookResponse {
            peers: count(imported.candidates),
            bans: count(imported.bans),
            refused,
            not_taken: count(read.wrong_count + imported.refused.len()),
        })
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
