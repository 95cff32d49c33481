//! Text that a stranger wrote, and places in a text.

use std::fmt;
use std::sync::Arc;

/// Bytes a peer sent as text: bounded, kept exactly, and escaped whenever they are shown.
///
/// # Security
/// Shown text holds printable ASCII only, so a peer cannot drive a terminal or forge a log line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PeerText(Arc<[u8]>);

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
        for &byte in &*self.0 {
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

/// A place in a text file, as editors count: the first is line 1, column 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Place {
    /// The place of the character at byte `offset` of `text`; its end where it is shorter.
    pub fn of(text: &str, offset: usize) -> Self {
        let bytes = text.as_bytes();
        let before = &bytes[..offset.min(bytes.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n');
        let line_start = line_start.map_or(0, |newline| newline + 1);
        // A character starts at every byte that does not continue one.
        let starts = |bytes: &[u8]| bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        Self {
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            column: 1 + starts(&before[line_start..]),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
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

    #[test]
    fn a_place_is_counted_as_editors_do() {
        let text = "a\nb\u{e9}c = 1\r\n";
        let place = |offset| {
            let Place { line, column } = Place::of(text, offset);
            (line, column)
        };
        assert_eq!(place(0), (1, 1));
        assert_eq!(place(1), (1, 2));
        assert_eq!(place(2), (2, 1));
        assert_eq!(place(text.find('c').unwrap()), (2, 3));
        assert_eq!(place(text.len()), (3, 1));
        assert_eq!(place(usize::MAX), (3, 1));
    }
}
