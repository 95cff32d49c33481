//! What the application wants.

use peerage_book::{By, Key};
use peerage_core::ConnectedAddr;
use peerage_peers::Parting;
use tokio::sync::oneshot;

use crate::finding::Found;
use crate::handle::Command;
use crate::network::Network;
use crate::owner::{Overview, Owner};

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
            Command::Overview(answer) => reply(answer, self.overview()),
            Command::Reports(answer) => {
                let reports = self.finders.iter().map(Found::report);
                reply(answer, reports.collect());
            }
            Command::Stories(key, answer) => reply(answer, self.book.story(&key)),
            Command::Pin(identity, address, role, answer) => {
                let now = self.book_now();
                reply(answer, self.book.pin(now, identity, address, role));
            }
            Command::Unpin(key, answer) => {
                let now = self.book_now();
                reply(answer, self.book.unpin(now, &key));
            }
            Command::Ban(subject, term, words, answer) => {
                let now = self.book_now();
                let banned = self.book.ban(now, subject, By::Operator, term, &words);
                self.end_banned();
                reply(answer, banned);
            }
            Command::Unban(subject, answer) => {
                let now = self.book_now();
                reply(answer, self.book.lift(now, &subject));
            }
            Command::Disconnect(id, say, answer) => {
                reply(answer, self.table.disconnect(now, id, say, None));
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
            Command::Respond(token, message, answer) => {
                let len = N::len(&message);
                reply(answer, self.table.respond(now, token, message, len));
            }
            Command::Refuse(token, answer) => reply(answer, self.table.refuse(now, token)),
            Command::SetStatus(status, answer) => {
                reply(answer, self.table.set_status(now, status));
            }
            Command::Stop(answer) => self.stop(Some(answer)),
        }
    }

    fn overview(&self) -> Overview {
        Overview {
            peers: self.table.overview(self.now()),
            known: self.book.len(),
            bans: self.book.bans().len(),
            store: self.store.as_ref().map(|(store, _)| store.status()),
            counters: self.counters,
        }
    }

    /// Ends the sessions of whoever is banned now.
    fn end_banned(&mut self) {
        let now = self.now();
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
                let _dead = self
                    .table
                    .disconnect(now, peer.id, Parting::Requested, Some(reason));
            }
        }
    }
}
