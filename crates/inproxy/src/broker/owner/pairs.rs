//! Volunteers that were given a client and have not answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use peerage_matcher::{AnnouncementId, ConnectionId, Geography, VolunteerId};

use super::command::ConnectionNumber;

/// A volunteer that was given a client and has not answered.
pub(super) struct Pair {
    pub(super) id: AnnouncementId,
    pub(super) volunteer: VolunteerId,
    pub(super) at: ConnectionNumber,
    /// When the matcher ends it.
    pub(super) until: Instant,
    /// When it counts as gone, unless it is heard from before.
    pub(super) silent_at: Instant,
    pub(super) client: Geography,
    pub(super) personal: bool,
    /// The transport they share.
    pub(super) transport: u8,
}

impl Pair {
    fn next_at(&self) -> Instant {
        self.until.min(self.silent_at)
    }
}

/// Pairs by connection, by the HTTP connection whose end ends them, and by their time.
#[derive(Default)]
pub(super) struct Pairs {
    pub(super) by_id: BTreeMap<ConnectionId, Pair>,
    by_connection: BTreeSet<(ConnectionNumber, ConnectionId)>,
    by_time: BTreeSet<(Instant, ConnectionId)>,
}

impl Pairs {
    pub(super) fn insert(&mut self, id: ConnectionId, pair: Pair) {
        self.by_connection.insert((pair.at, id));
        self.by_time.insert((pair.next_at(), id));
        self.by_id.insert(id, pair);
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Pair> {
        let pair = self.by_id.remove(&id)?;
        self.by_connection.remove(&(pair.at, id));
        self.by_time.remove(&(pair.next_at(), id));
        Some(pair)
    }

    pub(super) fn of(&self, connection: ConnectionNumber) -> Vec<ConnectionId> {
        let from = (connection, ConnectionId([0; 32]));
        let to = (connection, ConnectionId([255; 32]));
        self.by_connection
            .range(from..=to)
            .map(|(_, id)| *id)
            .collect()
    }

    /// Notes that this volunteer was heard from; false if it has no such client.
    pub(super) fn heard(
        &mut self,
        volunteer: &VolunteerId,
        id: ConnectionId,
        silent_at: Instant,
    ) -> bool {
        let is_its = |pair: &Pair| pair.volunteer == *volunteer;
        if !self.by_id.get(&id).is_some_and(is_its) {
            return false;
        }
        if let Some(pair) = self.remove(id) {
            self.insert(id, Pair { silent_at, ..pair });
        }
        true
    }

    /// When [`Self::expire`] has something to do.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Forgets those whose time is over, which the matcher has ended, and gives back those who were
    /// silent for too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Pair> {
        let mut silent = Vec::new();
        while let Some(&(at, id)) = self.by_time.first()
            && at <= now
        {
            silent.extend(self.remove(id).filter(|pair| pair.until > now));
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use peerage_matcher::{
        Announcement, Compartments, Config, Geography, Matcher, NatType, NetworkType, PortMappings,
        Properties, Versions,
    };

    use super::*;

    const ID: ConnectionId = ConnectionId([1; 32]);
    const VOLUNTEER: VolunteerId = VolunteerId([2; 32]);

    fn pair(now: Instant, until: Instant, silent_at: Instant) -> Pair {
        Pair {
            id: announcement(now),
            volunteer: VOLUNTEER,
            at: ConnectionNumber(0),
            until,
            silent_at,
            client: Geography::UNKNOWN,
            personal: false,
            transport: 2,
        }
    }

    fn announcement(now: Instant) -> AnnouncementId {
        let mut matcher = Matcher::new(Config::default(), [0; 16], now).unwrap();
        let announcement = Announcement {
            volunteer: VOLUNTEER,
            connection: ID,
            properties: Properties {
                nat: NatType::UNKNOWN,
                mappings: PortMappings::NONE,
                network: NetworkType::Unknown,
                geography: Geography::UNKNOWN,
                versions: Versions::NONE,
            },
            address: "192.0.2.1:1"
                .parse::<std::net::SocketAddr>()
                .unwrap()
                .into(),
            priority: false,
            newcomer: false,
            load: 0,
            deadline: None,
        };
        let compartments = Compartments {
            personal: &[],
            common: &[peerage_matcher::CompartmentId([3; 32])],
        };
        matcher.announce(now, announcement, compartments).unwrap()
    }

    #[test]
    fn who_is_heard_from_is_not_silent_and_who_is_out_of_time_is_neither() {
        let now = Instant::now();
        let after = |ms| now + Duration::from_millis(ms);
        let mut pairs = Pairs::default();
        pairs.insert(ID, pair(now, after(1000), after(100)));
        assert_eq!(pairs.next_at(), Some(after(100)));
        let stranger = VolunteerId([9; 32]);
        assert!(!pairs.heard(&stranger, ID, after(900)));
        assert!(pairs.heard(&VOLUNTEER, ID, after(190)));
        assert!(pairs.expire(after(189)).is_empty());
        assert!(pairs.heard(&VOLUNTEER, ID, after(1100)));
        assert_eq!(pairs.next_at(), Some(after(1000)));
        assert!(pairs.expire(after(1000)).is_empty(), "its time is over");
        assert_eq!(pairs.next_at(), None);
        assert!(!pairs.heard(&VOLUNTEER, ID, after(2000)));
    }

    #[test]
    fn who_is_silent_is_given_back_once() {
        let now = Instant::now();
        let mut pairs = Pairs::default();
        pairs.insert(ID, pair(now, now + Duration::from_secs(9), now));
        assert_eq!(pairs.expire(now).len(), 1);
        assert!(pairs.expire(now).is_empty() && pairs.of(ConnectionNumber(0)).is_empty());
    }
}
