//! Pairs whose answer was passed on: what becomes of their paths, volunteers say.

use std::collections::{BTreeMap, VecDeque};

use peerage_matcher::{Class, ConnectionId, VolunteerId};

/// Pairs that are remembered; the oldest is forgotten for the next.
const MAX: usize = 16_384;

/// Pairs that were introduced to each other.
#[derive(Default)]
pub(super) struct Paths {
    pairs: BTreeMap<ConnectionId, (VolunteerId, (Class, Class))>,
    order: VecDeque<ConnectionId>,
}

impl Paths {
    pub(super) fn insert(
        &mut self,
        id: ConnectionId,
        volunteer: VolunteerId,
        classes: (Class, Class),
    ) {
        if self.order.len() >= MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.pairs.remove(&oldest);
        }
        self.order.push_back(id);
        self.pairs.insert(id, (volunteer, classes));
    }

    /// The classes of the volunteer's pair, once. Its place in the order stays until its turn comes.
    pub(super) fn take(
        &mut self,
        volunteer: &VolunteerId,
        id: ConnectionId,
    ) -> Option<(Class, Class)> {
        let (whose, _) = self.pairs.get(&id)?;
        if whose != volunteer {
            return None;
        }
        self.pairs.remove(&id).map(|(_, classes)| classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: (Class, Class) = (Class::Strict, Class::Unlimited);

    fn id(n: usize) -> ConnectionId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_le_bytes());
        ConnectionId(id)
    }

    #[test]
    fn only_its_volunteer_says_what_became_of_a_pair_and_once() {
        let mut paths = Paths::default();
        let (ours, other) = (VolunteerId([1; 32]), VolunteerId([2; 32]));
        paths.insert(id(1), ours, CLASSES);
        assert_eq!(paths.take(&other, id(1)), None);
        assert_eq!(paths.take(&ours, id(1)), Some(CLASSES));
        assert_eq!(paths.take(&ours, id(1)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut paths = Paths::default();
        let ours = VolunteerId([1; 32]);
        for n in 0..MAX + 10 {
            paths.insert(id(n), ours, CLASSES);
        }
        assert_eq!((paths.order.len(), paths.pairs.len()), (MAX, MAX));
        assert_eq!(paths.take(&ours, id(9)), None);
        assert!(paths.take(&ours, id(10)).is_some());
    }
}
