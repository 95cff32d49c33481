//! What happens, in lanes that never share a queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use peerage_core::Endpoint;
use peerage_discv5::NodeId;
use peerage_discv5::discovery::Event;
use peerage_discv5::record::Family;
use tokio::sync::mpsc;

/// How many events of each lane wait for the application, at the most. A record has at most 300
/// bytes.
const LANE_LEN: usize = 1024;

/// How many foreign datagrams wait for the application, at the most 2 KiB each.
const FOREIGN_LEN: usize = 256;

/// What concerns this node itself: its record, its address, its network, the bans it imposes.
///
/// Nothing is lost, however late the application looks: of one subject the newest waits. It is
/// bounded by the number of subjects, a ban for each node being one.
#[derive(Debug)]
pub struct Control(mpsc::Receiver<Event>);

impl Control {
    /// The next event; `None` when the service has ended.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

/// What is heard of others: nodes found, entered and removed, sessions. When the application is
/// slower than the network, events are left out and counted.
#[derive(Debug)]
pub struct Gossip {
    events: mpsc::Receiver<Event>,
    lost: Arc<AtomicU64>,
}

impl Gossip {
    /// The next event; `None` when the service has ended.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// How many events were left out so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Datagrams that are no packets to this node: another protocol may share its port. At most 2047
/// bytes each; when the application is slow, datagrams are left out and counted.
#[derive(Debug)]
pub struct Foreign {
    datagrams: mpsc::Receiver<(Endpoint, Vec<u8>)>,
    lost: Arc<AtomicU64>,
}

impl Foreign {
    /// The next datagram and where it came from; `None` when the service has ended.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<(Endpoint, Vec<u8>)> {
        self.datagrams.recv().await
    }

    /// How many datagrams were left out so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// What an event of the control lane is about. The newest of one subject says all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Record,
    Elsewhere(Family),
    Discoverable,
    Outage,
    Ban(NodeId),
}

/// Which lane an event belongs to: the subject if it is control.
fn subject(event: &Event) -> Option<Subject> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not of ourselves is gossip"
    )]
    match event {
        Event::RecordChanged(_) => Some(Subject::Record),
        Event::Elsewhere(at) => Some(Subject::Elsewhere(Family::of(at.ip()))),
        Event::NotDiscoverable(_) => Some(Subject::Discoverable),
        Event::Outage | Event::OutageOver => Some(Subject::Outage),
        Event::Banned(node, _) => Some(Subject::Ban(*node)),
        _ => None,
    }
}

/// The sending ends, which belong to the owner task.
#[derive(Debug)]
pub(crate) struct Lanes {
    pub(crate) control: mpsc::Sender<Event>,
    /// What waits for room in the control lane.
    pending: BTreeMap<Subject, Event>,
    max_bans: usize,
    gossip: mpsc::Sender<Event>,
    gossip_lost: Arc<AtomicU64>,
    foreign: mpsc::Sender<(Endpoint, Vec<u8>)>,
    foreign_lost: Arc<AtomicU64>,
}

impl Lanes {
    pub(crate) fn new(max_bans: usize) -> (Self, Control, Gossip, Foreign) {
        // All but bans have a place beside those that wait.
        let (control, controls) = mpsc::channel(8);
        let (gossip, events) = mpsc::channel(LANE_LEN);
        let (foreign, datagrams) = mpsc::channel(FOREIGN_LEN);
        let (gossip_lost, foreign_lost) =
            (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let lanes = Self {
            control,
            pending: BTreeMap::new(),
            max_bans,
            gossip,
            gossip_lost: Arc::clone(&gossip_lost),
            foreign,
            foreign_lost: Arc::clone(&foreign_lost),
        };
        let lost = gossip_lost;
        let gossip = Gossip { events, lost };
        let lost = foreign_lost;
        let foreign = Foreign { datagrams, lost };
        (lanes, Control(controls), gossip, foreign)
    }

    /// Puts an event into its lane.
    pub(crate) fn tell(&mut self, event: Event) {
        match subject(&event) {
            None => left_out(&self.gossip_lost, self.gossip.try_send(event)),
            Some(_) if self.control.is_closed() => self.pending.clear(),
            Some(subject) => {
                // As many bans as may be in force: one beyond has lifted another.
                if let Subject::Ban(_) = subject
                    && self.pending.len() >= self.max_bans + 8
                    && !self.pending.contains_key(&subject)
                {
                    self.pending.pop_last();
                }
                self.pending.insert(subject, event);
                self.pump();
            }
        }
    }

    /// Moves what waits into the control lane, as far as there is room.
    pub(crate) fn pump(&mut self) {
        while !self.pending.is_empty() {
            let Ok(room) = self.control.try_reserve() else {
                return;
            };
            if let Some((_, event)) = self.pending.pop_first() {
                room.send(event);
            }
        }
    }

    /// Whether something waits for room in the control lane.
    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty() && !self.control.is_closed()
    }

    pub(crate) fn foreign(&self, from: Endpoint, datagram: &[u8]) {
        // Nobody listens, as a rule: then nothing is copied.
        if !self.foreign.is_closed() {
            let sent = self.foreign.try_send((from, datagram.to_vec()));
            left_out(&self.foreign_lost, sent);
        }
    }

    pub(crate) fn lost(&self) -> (u64, u64) {
        let load = |lost: &AtomicU64| lost.load(Ordering::Relaxed);
        (load(&self.gossip_lost), load(&self.foreign_lost))
    }
}

/// Counts what did not fit. A lane that nobody listens to loses nothing.
fn left_out<T>(lost: &AtomicU64, sent: Result<(), mpsc::error::TrySendError<T>>) {
    if let Err(mpsc::error::TrySendError::Full(_)) = sent {
        lost.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn node(n: u16) -> NodeId {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        NodeId(id)
    }

    #[tokio::test]
    async fn a_full_gossip_lane_counts_what_it_leaves_out() {
        let (mut lanes, _control, mut gossip, _foreign) = Lanes::new(4);
        for n in 0..1030 {
            lanes.tell(Event::NodeAdded(node(n)));
        }
        assert_eq!(gossip.lost(), 6);
        for n in 0..1024 {
            assert_eq!(gossip.next().await, Some(Event::NodeAdded(node(n))));
        }
        lanes.tell(Event::NodeAdded(node(1031)));
        assert_eq!(gossip.next().await, Some(Event::NodeAdded(node(1031))));
    }

    #[tokio::test]
    async fn the_control_lane_keeps_the_newest_of_every_subject_beside_any_flood_of_gossip() {
        let (mut lanes, mut control, _gossip, _foreign) = Lanes::new(1024);
        for n in 0..2000 {
            lanes.tell(Event::NodeAdded(node(n)));
        }
        for n in 0..1000 {
            lanes.tell(Event::Banned(node(n), Duration::from_secs(1)));
        }
        for _ in 0..1000 {
            lanes.tell(Event::Outage);
            lanes.tell(Event::OutageOver);
        }
        assert!(lanes.is_pending());
        assert!(lanes.pending.len() <= 1000);
        let mut bans = 0;
        let mut last_outage = None;
        loop {
            lanes.pump();
            let pending = lanes.is_pending();
            let event = control.next().await.unwrap();
            if let Event::Banned(..) = event {
                bans += 1;
            } else {
                last_outage = Some(event);
            }
            if !pending && bans == 1000 && last_outage.is_some() {
                break;
            }
        }
        assert_eq!(last_outage, Some(Event::OutageOver));
    }

    #[test]
    fn a_lane_that_nobody_listens_to_costs_nothing() {
        let (mut lanes, control, gossip, foreign) = Lanes::new(4);
        drop((control, gossip, foreign));
        lanes.tell(Event::Outage);
        lanes.tell(Event::NodeAdded(node(1)));
        lanes.foreign(Endpoint::unspecified(1), b"x");
        assert!(!lanes.is_pending());
        assert_eq!(lanes.lost(), (0, 0));
    }
}
