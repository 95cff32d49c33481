//! Text that a stranger wrote.

use std::fmt;

/// Bytes a peer sent as text: bounded, kept exactly, and escaped whenever they are shown.
///
/// # Security
/// Shown text holds printable ASCII only, so a peer cannot drive a terminal or forge a log line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PeerText(Box<[u8]>);

impl PeerText {
    /// The most bytes any protocol here allows in one text: a user agent's 256.
    pub const MAX_LEN: usize = 256;

    /// Keeps at most [`Self::MAX_LEN`] bytes; what lies beyond is cut.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes[..bytes.len().min(Self::MAX_LEN)].into())
    }

    /// The bytes as they came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether every byte is printable ASCII, 0x20 to 0x7e.
    pub fn is_printable(&self) -> bool {
        self.0.iter().all(|byte| (0x20..=0x7e).contains(byte))
    }
}

impl From<&str> for PeerText {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes())
    }
}

impl fmt::Display for PeerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in &self.0 {
            if (0x20..=0x7e).contains(&byte) && byte != b'\\' {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "{}", byte.escape_ascii())?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PeerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_drive_the_terminal() {
        let text = PeerText::new(b"/evil:1/\x1b[2J\n\\\xff");
        assert_eq!(text.to_string(), r"/evil:1/\x1b[2J\n\\\xff");
        assert!(!text.is_printable());
    }

    #[test]
    fn text_is_cut_at_its_bound() {
        assert_eq!(
            PeerText::new(&[b'a'; 1000]).as_bytes().len(),
            PeerText::MAX_LEN
        );
    }
}
