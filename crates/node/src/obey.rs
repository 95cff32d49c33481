//! What the application wants.

use peerage_book::{By, Key, Role};
use peerage_core::{ConnectedAddr, UnixTime};
use peerage_peers::{Dead, Parting, SessionId, Snapshot};
use tokio::sync::oneshot;

use crate::command::{Command, Sent};
use crate::figures::{Overview, Peer};
use crate::finding::{FinderReport, Found};
use crate::handle::{Audience, Removed, RequestError};
use crate::network::Network;
use crate::owner::Owner;
use crate::subscribe::Subscriber;

/// The most candidates on one page: what is copied while nothing else happens.
const PAGE: usize = 1_000;

/// Answers; whoever asked may have gone.
fn reply<A>(to: oneshot::Sender<A>, answer: A) {
    let _gone = to.send(answer);
}

impl<N: Network> Owner<N> {
    pub(crate) fn obey(&mut self, command: Command<N>) {
        let now = self.now();
        self.may_dial |= command.may_change_book();
        match command {
            Command::Peers(answer) => reply(answer, self.table.peers(now)),
            Command::Peer(id, answer) => {
                let shown = self.table.peer_at(now, id);
                reply(answer, shown.map(|shown| self.shown(shown)));
            }
            Command::List(answer) => {
                let all = self.table.peers(now).into_iter();
                reply(answer, all.map(|shown| self.shown(shown)).collect());
            }
            Command::Subscribe(wants, answer) => {
                let (subscriber, subscription) = Subscriber::new(wants);
                self.subscribers.push(subscriber);
                reply(answer, subscription);
            }
            Command::Overview(answer) => reply(answer, self.overview()),
            Command::Reports(answer) => reply(answer, self.reports()),
            Command::Look(look) => look(&self.book),
            Command::Stories(key, answer) => reply(answer, self.book.story(&key)),
            Command::Entry(key, answer) => reply(answer, self.book.get(&key)),
            Command::Page(which, after, most, answer) => {
                let page = self.book.page(which, after.as_ref(), most.min(PAGE));
                reply(answer, page);
            }
            Command::Add(tip, answer) => {
                let now = self.book_now();
                reply(answer, self.book.add(now, *tip));
            }
            Command::Import(snapshot, answer) => {
                let now = self.book_now();
                let imported = self.book.take_in(now, *snapshot);
                let _ended = self.end_banned();
                reply(answer, imported);
            }
            Command::Pin(identity, address, role, answer) => {
                let now = self.book_now();
                let pinned = self.book.pin(now, identity, address, role);
                if let Ok(key) = &pinned {
                    self.stands(key);
                }
                reply(answer, pinned);
            }
            Command::Unpin(key, answer) => {
                let now = self.book_now();
                let was = self.book.unpin(now, &key);
                self.stands(&key);
                reply(answer, was);
            }
            Command::SetRole(key, role, answer) => reply(answer, self.set_role(&key, role)),
            Command::Hurry(key, answer) => {
                let now = self.book_now();
                reply(answer, self.book.hurry(now, &key));
            }
            Command::Remove(key, answer) => reply(answer, self.remove(&key)),
            Command::Ban(subject, term, words, answer) => {
                let now = self.book_now();
                let banned = self.book.ban(now, subject, By::Operator, term, &words);
                let _ended = self.end_banned();
                reply(answer, banned);
            }
            Command::Unban(subject, answer) => {
                let now = self.book_now();
                reply(answer, self.book.lift(now, &subject));
            }
            Command::Bans(answer) => {
                let bans = self.book.bans().iter();
                let bans = bans.map(|(of, ban)| (of.clone(), ban.clone()));
                reply(answer, bans.collect());
            }
            Command::Disconnect(id, say, why, answer) => {
                let why = why.map(|why| *why);
                reply(answer, self.table.disconnect(now, id, say, why));
            }
            Command::Misbehaved(id, misdeed, answer) => {
                let noted = self.table.misbehaved(now, id, misdeed);
                let shown = self.table.peer_at(now, id);
                reply(answer, noted.map(|()| shown.map(|peer| peer.strikes)));
            }
            Command::Useful(id, answer) => {
                self.table.useful(now, id);
                let is_here = self.table.profile(id).is_some();
                reply(answer, is_here.then_some(()).ok_or(Dead(id)));
            }
            Command::Send(id, message, answer) => {
                let len = N::len(&message);
                reply(answer, self.table.send(now, id, message, len));
            }
            Command::Gossip(id, message, answer) => {
                let len = N::len(&message);
                reply(answer, self.table.gossip(now, id, message, len));
            }
            Command::Broadcast(message, answer) => {
                let len = N::len(&message);
                let sent = self.table.broadcast(now, &message, len, |_, _| true);
                reply(answer, sent);
            }
            Command::Request(id, key, message, answer) => {
                let len = N::len(&message);
                match self.table.request(now, id, key.clone(), (message, len)) {
                    Ok(()) => drop(self.asked.insert((id, key), answer)),
                    Err(error) => reply(answer, Err(error.into())),
                }
            }
            Command::GossipTo(to, message, answer) => {
                reply(answer, self.gossip_to(to, &message));
            }
            Command::Cancel(id, key, answer) => {
                let was = self.table.cancel_request(now, id, &key);
                if let Some(asked) = self.asked.remove(&(id, key)) {
                    reply(asked, Err(RequestError::Overdue));
                }
                reply(answer, was);
            }
            Command::SetProfile(id, profile, answer) => {
                reply(answer, self.table.set_profile(now, id, *profile));
            }
            Command::Respond(token, message, answer) => {
                let len = N::len(&message);
                reply(answer, self.table.respond(now, token, message, len));
            }
            Command::Refuse(token, answer) => reply(answer, self.table.refuse(now, token)),
            Command::HoldBack(id, hold, answer) => {
                reply(answer, self.table.hold_back(now, id, hold));
            }
            Command::SetStatus(status, answer) => {
                reply(answer, self.table.set_status(now, status));
            }
            Command::Reconfigure(change, answer) => {
                reply(answer, self.reconfigure(*change));
            }
            Command::Stop(answer) => self.stop(Some(answer)),
        }
    }

    fn overview(&self) -> Overview {
        Overview {
            peers: self.table.overview(self.now()),
            known: self.book.len(),
            bans: self.book.bans().len(),
            book: self.book.figures(),
            finders: self.reports(),
            store: self.store.as_ref().map(|(store, _)| store.status()),
            counters: self.counters,
            ended: self.tallies.ended.iter().map(|(of, n)| (*of, *n)).collect(),
            misdeeds: self
                .tallies
                .misdeeds
                .iter()
                .map(|(of, n)| (*of, *n))
                .collect(),
            undelivered: self.undelivered.len(),
            subscriptions: self.subscribers.len(),
        }
    }

    fn reports(&self) -> Vec<FinderReport> {
        self.finders.iter().map(Found::report).collect()
    }

    /// A session with what the handshake said and what the book knows.
    fn shown(&self, session: Snapshot<Key>) -> Peer<N> {
        let age = i64::try_from(session.age.as_secs()).unwrap_or(i64::MAX);
        let known = session.identity.as_ref();
        Peer {
            since: UnixTime((self.wall)().0.saturating_sub(age)),
            profile: self.table.profile(session.id).cloned(),
            known: known.and_then(|key| self.book.get(key)),
            session,
        }
    }

    /// What the operator holds of somebody has changed: its session hears of it.
    fn stands(&mut self, key: &Key) {
        if let Some(id) = self.table.session_of(key) {
            let (now, standing) = (self.now(), self.standing(key));
            // It is there.
            let _dead = self.table.set_standing(now, id, standing);
        }
    }

    fn set_role(&mut self, key: &Key, role: Role) -> Result<bool, peerage_book::Refused> {
        let now = self.book_now();
        let is_known = self.book.set_role(now, key, role)?;
        self.stands(key);
        Ok(is_known)
    }

    fn remove(&mut self, key: &Key) -> Removed {
        let now = self.now();
        let theirs = self.table.peers(now).into_iter();
        let theirs = theirs.filter(|peer| peer.identity.as_ref() == Some(key));
        let sessions: Vec<SessionId> = theirs.map(|peer| peer.id).collect();
        for id in &sessions {
            // It is there.
            let _dead = self.table.disconnect(now, *id, Parting::Requested, None);
        }
        // What ends above is told to the book later, and changes nothing there any more.
        let was_known = self.book.forget(key);
        Removed {
            was_known,
            sessions,
        }
    }

    fn gossip_to(&mut self, to: Audience, message: &crate::command::Message<N>) -> Sent {
        let (now, len) = (self.now(), N::len(message));
        let all = self.table.overview(now).established;
        let ids = match to {
            Audience::All => self.table.sample(all),
            Audience::Any(most) => self.table.sample(most),
            Audience::Root => self.table.sample(all.isqrt()),
            Audience::These(ids) => ids,
        };
        let mut sent = Sent::with_capacity(ids.len());
        for id in ids {
            sent.push((id, self.table.gossip(now, id, message.clone(), len)));
        }
        sent
    }

    /// Ends the attempts and sessions of whoever is banned now; returns which.
    pub(crate) fn end_banned(&mut self) -> Vec<SessionId> {
        let now = self.now();
        let mut ended = Vec::new();
        for peer in self.table.peers(now) {
            let identity = match &peer.identity {
                Some(Key::Identity(identity)) => Some(identity),
                Some(Key::Address(_)) | None => None,
            };
            let ip = match peer.addr {
                Some(
                    ConnectedAddr::InboundDirect { addr } | ConnectedAddr::OutboundDirect { addr },
                ) => Some(addr.ip()),
                Some(
                    ConnectedAddr::OutboundProxy { .. }
                    | ConnectedAddr::InboundProxy { .. }
                    | ConnectedAddr::Isolated { .. },
                )
                | None => None,
            };
            if let Err(reason) = self.book.admits(identity, ip) {
                let say = Parting::Requested;
                let disconnected = self.table.disconnect(now, peer.id, say, Some(reason));
                ended.extend(disconnected.is_ok().then_some(peer.id));
            }
        }
        ended
    }
}
