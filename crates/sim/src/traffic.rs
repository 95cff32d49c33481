//! What became of the datagrams.

/// Counts of datagrams. What was sent and repeated is what was delivered, dropped for one of the
/// reasons, or is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Sent by machines.
    pub sent: u64,
    /// Their bytes, without UDP and IP headers.
    pub bytes_sent: u64,
    /// Repeated by the network, each counted once more.
    pub duplicated: u64,
    /// Delivered to machines.
    pub delivered: u64,
    /// Their bytes.
    pub bytes_delivered: u64,
    /// Held back so that later ones overtake them.
    pub held: u64,

    /// Dropped: lost by chance.
    pub lost: u64,
    /// Dropped: sender and receiver are on different sides of a partition.
    pub cut: u64,
    /// Dropped: a NAT had no mapping for it, or did not let the sender in.
    pub blocked: u64,
    /// Dropped: nobody has that address.
    pub unroutable: u64,
    /// Dropped: the sender or the receiver is unplugged or stopped.
    pub unplugged: u64,
    /// Under way now.
    pub under_way: u64,
}

impl Traffic {
    /// Those dropped, for whatever reason.
    pub const fn dropped(&self) -> u64 {
        self.lost + self.cut + self.blocked + self.unroutable + self.unplugged
    }
}
