//! The name of a node.

use std::fmt;

/// A node's identity: keccak256 of its public key, `x‖y` (EIP-778, "v4" identity scheme).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 32]);

impl NodeId {
    /// The bytes, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The identity that 64 lower- or upper-case hexadecimal digits spell, with or without `0x`.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
        }
        Some(Self(bytes))
    }

    /// The XOR distance, most significant byte first.
    #[must_use]
    pub fn xor(&self, other: &Self) -> [u8; 32] {
        let mut distance = self.0;
        for (byte, with) in distance.iter_mut().zip(other.0) {
            *byte ^= with;
        }
        distance
    }

    /// The logarithmic distance: 0 for the node itself, else the bit length of the XOR, 1 to 256.
    pub fn log_distance(&self, other: &Self) -> u16 {
        let mut leading = 0;
        for (ours, theirs) in self.0.iter().zip(other.0) {
            let differs = ours ^ theirs;
            leading += u16::try_from(differs.leading_zeros()).unwrap_or(0);
            if differs != 0 {
                break;
            }
        }
        256 - leading
    }

    /// The first 16 bytes: the key of the header mask of packets to this node.
    pub(crate) fn mask_key(&self) -> [u8; 16] {
        let mut key = [0; 16];
        key.copy_from_slice(&self.0[..16]);
        key
    }
}

/// All 64 hexadecimal digits.
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The first eight digits, enough to tell nodes apart in a log.
impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(last: u8) -> NodeId {
        let mut bytes = [0; 32];
        bytes[31] = last;
        NodeId(bytes)
    }

    #[test]
    fn the_log_distance_is_the_bit_length_of_the_xor() {
        for (a, b, distance) in [(7, 7, 0), (0, 1, 1), (2, 3, 1), (0, 2, 2), (0, 0x80, 8)] {
            assert_eq!(id(a).log_distance(&id(b)), distance, "{a} {b}");
        }
        assert_eq!(NodeId([0; 32]).log_distance(&NodeId([0xff; 32])), 256);
    }

    #[test]
    fn hexadecimal_text_goes_both_ways() {
        let id = NodeId([0xa4; 32]);
        assert_eq!(NodeId::from_hex(&id.to_string()), Some(id));
        assert_eq!(NodeId::from_hex(&format!("0x{id}")), Some(id));
        assert_eq!(NodeId::from_hex("a4"), None);
        assert_eq!(NodeId::from_hex(&"+4".repeat(32)), None);
        assert_eq!(format!("{id:?}"), "a4a4a4a4…");
    }
}
