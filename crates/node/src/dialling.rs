//! From the book's choice to a session's task.

use peerage_book::{Address, Dial, DialId, Key, Role};
use peerage_core::{Endpoint, Failure};
use peerage_peers::Standing;
use tokio::time::Instant;

use crate::events::Event;
use crate::network::{Network, Whom};
use crate::owner::Owner;
use crate::session::{Begin, Time};

/// The longest a static peer's name is resolved for, in seconds.
const RESOLVE_LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

impl<N: Network> Owner<N> {
    /// Dials whoever the book chooses, as long as there is room.
    pub(crate) fn dial(&mut self) {
        // The book is asked when something may have changed its answer, not with every message.
        if !self.may_dial || self.stopping.is_some() || self.is_behind() {
            return;
        }
        self.may_dial = false;
        loop {
            let now = self.book_now();
            self.occupied.free = self.table.free_dials();
            let wants = self.occupied.free > 0;
            let Some(dial) = self.book.next_dial(now, &self.occupied) else {
                if !wants || self.book.is_exhausted(now) {
                    self.is_hungry = wants;
                }
                return;
            };
            self.is_hungry = false;
            self.begin_dial(dial);
        }
    }

    fn begin_dial(&mut self, dial: Dial) {
        let now = self.now();
        let addr = match &dial.address {
            Address::At(endpoint) => Some(*endpoint),
            Address::Named(_) => None,
        };
        let asked = peerage_peers::Dial {
            identity: dial.key.clone(),
            addr,
            standing: self.standing(&dial.key),
        };
        match self.table.dial(now, asked) {
            Ok(id) => {
                self.counters.dialled += 1;
                self.dials_host(addr, &dial.key);
                self.publish(Event::Dialling {
                    id,
                    key: dial.key,
                    address: dial.address.clone(),
                    why: dial.why,
                });
                let whom = Whom {
                    address: dial.address,
                    identity: dial.identity,
                };
                let time = Time::of(&self.deadlines);
                self.begin(id, Some(dial.id), Begin::Dial(whom), time);
            }
            Err(refused) => self.book_outcome(dial.id, Err(refused.reason())),
        }
    }

    pub(crate) fn book_outcome(
        &mut self,
        dial: DialId,
        result: Result<peerage_book::Greeted, peerage_core::Reason>,
    ) {
        let now = self.book_now();
        // Every dial of the book has one outcome; a second one is not possible.
        let _open = self.book.outcome(now, dial, result);
    }

    /// What the operator holds of somebody.
    pub(crate) fn standing(&self, key: &Key) -> Standing {
        match self.book.get(key).map(|entry| entry.role) {
            Some(Role::Trusted) => Standing::Trusted,
            Some(Role::Static) => Standing::Static,
            Some(_) | None => Standing::Ordinary,
        }
    }

    /// Carries out what the book wants.
    pub(crate) fn book_actions(&mut self) {
        while let Some(action) = self.book.poll_action() {
            let peerage_book::Action::Resolve { key, name } = action;
            let deadline = Instant::now() + RESOLVE_LIMIT;
            self.resolving.spawn(async move {
                let found = peerage_net::resolve(name.host(), name.port(), deadline).await;
                let found: Result<Vec<Endpoint>, _> = found.map_err(|error| error.reason());
                (key, found)
            });
        }
    }
}
