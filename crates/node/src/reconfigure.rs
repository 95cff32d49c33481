//! Changing a node while it runs.

use std::sync::Arc;

use peerage_book::{WishError, Wishes};
use peerage_peers::{AdmissionRules, Limits, Phase, SessionId, Types};

use crate::network::Network;
use crate::owner::Owner;

/// What is to change. What is not given stays as it is.
pub struct Change<N: Network> {
    /// How many sessions there may be. Whoever still fits stays; of those who are too many a few go
    /// at a time, see [`peerage_peers::Table::set_limits`].
    pub limits: Option<Limits>,
    /// Who may knock. Peers are not concerned; handshakes beyond the new `sockets` are ended.
    pub admission: Option<AdmissionRules>,
    /// The network with other tables or another head, and our side of the judgement by it. Attempts
    /// under way go on with what they began with; they and everybody who is here are judged anew.
    pub network: Option<(N, <N::Types as Types>::Status)>,
    /// Bans, and peers that are always wanted. Whoever is banned now is disconnected, with the ban
    /// as the reason.
    pub wishes: Wishes,
}

impl<N: Network> Default for Change<N> {
    fn default() -> Self {
        Self {
            limits: None,
            admission: None,
            network: None,
            wishes: Wishes::default(),
        }
    }
}

impl<N: Network> std::fmt::Debug for Change<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change")
            .field("limits", &self.limits)
            .field("admission", &self.admission)
            .field("network", &self.network.is_some())
            .field("wishes", &self.wishes)
            .finish()
    }
}

/// What a change did at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Attempts and sessions that ended because a ban concerns them now.
    pub banned: Vec<SessionId>,
    /// Peers that are of no use by the new tables.
    pub incompatible: Vec<SessionId>,
    /// Peers that are too many now and go in the next minutes: those who dialled us, and those
    /// whom we dialled.
    pub surplus: [usize; 2],
}

impl<N: Network> Owner<N> {
    /// Changes everything, or nothing if a wish cannot be granted.
    pub(crate) fn reconfigure(&mut self, change: Change<N>) -> Result<Changed, WishError> {
        let Change {
            limits,
            admission,
            network,
            wishes,
        } = change;
        let (now, book_now) = (self.now(), self.book_now());
        self.book.grant(book_now, &wishes)?;
        // Nothing below can fail.
        if let Some(rules) = admission {
            self.admission.set_rules(now, rules);
            while let Some(number) = self.admission.poll_displaced() {
                self.displace(number);
            }
        }
        let mut limits = limits.unwrap_or(self.table.limits());
        let sockets = self.admission.rules().sockets;
        limits.pending_in = limits.pending_in.max(sockets);
        self.table.set_limits(now, limits);
        self.renew_standings();
        let banned = self.end_banned();
        let incompatible = match network {
            Some((network, status)) => {
                self.network = Arc::new(network);
                self.table.set_status(now, status)
            }
            None => Vec::new(),
        };
        let [active_in, active_out] = self.table.overview(now).active;
        Ok(Changed {
            banned,
            incompatible,
            surplus: [
                active_in.saturating_sub(limits.active_in),
                active_out.saturating_sub(limits.active_out),
            ],
        })
    }

    /// Peers that became static or trusted while they are here, or ceased to be, count as such.
    pub(crate) fn renew_standings(&mut self) {
        let now = self.now();
        for peer in self.table.peers(now) {
            let Some(key) = peer.identity.filter(|_| peer.phase == Phase::Active) else {
                continue;
            };
            let standing = self.standing(&key);
            // It is there: it was named a moment ago.
            let _there = self.table.set_standing(now, peer.id, standing);
        }
    }
}
