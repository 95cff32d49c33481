//! Compartments as small numbers, counted by those who refer to them.

use hashbrown::HashTable;

use crate::hash::Keys;
use crate::pool::Pool;
use crate::record::CompartmentId;

/// What a room stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RoomKind {
    Personal,
    Common,
    /// The announcements of a common room whose quality is proven for one network of clients.
    Proven,
}

/// The full name of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RoomName {
    pub(crate) kind: RoomKind,
    pub(crate) id: [u8; 32],
}

impl RoomName {
    pub(crate) const fn personal(id: CompartmentId) -> Self {
        let kind = RoomKind::Personal;
        Self { kind, id: id.0 }
    }

    pub(crate) const fn common(id: CompartmentId) -> Self {
        let kind = RoomKind::Common;
        Self { kind, id: id.0 }
    }

    /// For clients of network `asn` in the common room numbered `common`. That number is taken for
    /// as long as anyone in the common room refers to it, so it names the room.
    pub(crate) fn proven(common: u32, asn: u32) -> Self {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&common.to_le_bytes());
        id[4..8].copy_from_slice(&asn.to_le_bytes());
        let kind = RoomKind::Proven;
        Self { kind, id }
    }

    /// The common room that a [`RoomKind::Proven`] one belongs to.
    pub(crate) const fn common_room(&self) -> u32 {
        let [a, b, c, d, ..] = self.id;
        u32::from_le_bytes([a, b, c, d])
    }
}

#[derive(Debug)]
struct Room {
    name: RoomName,
    refs: u32,
}

/// The rooms in use.
pub(crate) struct Rooms {
    rooms: Pool<Room>,
    /// Only ever asked for a name, so its order cannot matter.
    by_name: HashTable<u32>,
    keys: Keys,
}

impl Rooms {
    pub(crate) fn new(keys: Keys) -> Self {
        Self {
            rooms: Pool::new(),
            by_name: HashTable::new(),
            keys,
        }
    }

    fn hash(keys: &Keys, name: &RoomName) -> u64 {
        keys.bytes(name.kind as u8, &name.id)
    }

    /// The room's number, if anyone refers to it.
    pub(crate) fn find(&self, name: &RoomName) -> Option<u32> {
        let hash = Self::hash(&self.keys, name);
        let same = |&id: &u32| self.rooms[id].name == *name;
        self.by_name.find(hash, same).copied()
    }

    /// The room's number, with one more reference to it.
    pub(crate) fn refer(&mut self, name: RoomName) -> u32 {
        if let Some(id) = self.find(&name) {
            self.rooms[id].refs += 1;
            return id;
        }
        let id = self.rooms.add(Room { name, refs: 1 });
        let (rooms, keys) = (&self.rooms, &self.keys);
        let hash = Self::hash(keys, &name);
        self.by_name
            .insert_unique(hash, id, |&id| Self::hash(keys, &rooms[id].name));
        id
    }

    /// The same where [`Self::find`] was asked just before.
    pub(crate) fn refer_known(&mut self, name: RoomName, known: Option<u32>) -> u32 {
        match known {
            Some(id) => {
                self.rooms[id].refs += 1;
                id
            }
            None => self.refer(name),
        }
    }

    /// One reference less; the last one frees the number.
    pub(crate) fn release(&mut self, id: u32) {
        let room = &mut self.rooms[id];
        room.refs -= 1;
        if room.refs > 0 {
            return;
        }
        let hash = Self::hash(&self.keys, &room.name);
        if let Ok(entry) = self.by_name.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
        self.rooms.release(id);
    }

    pub(crate) fn name(&self, id: u32) -> RoomName {
        self.rooms[id].name
    }

    pub(crate) fn kind(&self, id: u32) -> RoomKind {
        self.rooms[id].name.kind
    }

    pub(crate) fn refs(&self, id: u32) -> u32 {
        self.rooms[id].refs
    }

    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_keeps_its_number_while_anyone_refers_to_it() {
        let mut rooms = Rooms::new(Keys::new([1; 16]));
        let personal = RoomName::personal(CompartmentId([7; 32]));
        let common = RoomName::common(CompartmentId([7; 32]));
        let id = rooms.refer(personal);
        assert_eq!(rooms.refer(personal), id);
        assert_ne!(rooms.refer(common), id);
        rooms.release(id);
        assert_eq!(rooms.find(&personal), Some(id));
        rooms.release(id);
        assert_eq!(rooms.find(&personal), None);
        assert_eq!(rooms.len(), 1);
    }
}
