//! The names of messages.

use std::fmt;

use peerage_core::PeerText;

/// The name of a message, NUL padded to 12 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Command([u8; 12]);

impl Command {
    /// `version`
    pub const VERSION: Self = Self::from_static("version");
    /// `verack`
    pub const VERACK: Self = Self::from_static("verack");

    /// A command from a name of at most 12 bytes.
    ///
    /// # Panics
    /// At compile time, when the name is longer.
    pub const fn from_static(name: &'static str) -> Self {
        let name = name.as_bytes();
        let mut bytes = [0; 12];
        let mut at = 0;
        while at < name.len() {
            bytes[at] = name[at];
            at += 1;
        }
        Self(bytes)
    }

    /// A command from its 12 bytes, when they are printable ASCII and then NULs only.
    pub fn from_wire(bytes: [u8; 12]) -> Option<Self> {
        let len = bytes
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(bytes.len());
        let (name, padding) = bytes.split_at(len);
        let sound = name.iter().all(|byte| (0x20..=0x7e).contains(byte))
            && padding.iter().all(|&byte| byte == 0);
        sound.then_some(Self(bytes))
    }

    /// The name without its padding.
    pub fn name(&self) -> &str {
        let len = self
            .0
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(self.0.len());
        // Only printable ASCII gets in, so the fallback is never taken.
        std::str::from_utf8(&self.0[..len]).unwrap_or_default()
    }

    /// The 12 bytes as they go over the wire.
    pub const fn as_wire(&self) -> &[u8; 12] {
        &self.0
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of a header's command for people, escaped where it is no name.
pub fn shown(command: Option<Command>) -> PeerText {
    command.map_or_else(|| "(not a name)".into(), |command| command.name().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_printable_then_nul() {
        assert_eq!(
            Command::from_wire(*b"version\0\0\0\0\0"),
            Some(Command::VERSION)
        );
        assert!(Command::from_wire(*b"twelve bytes").is_some());
        assert_eq!(Command::from_wire(*b"ver\0ion\0\0\0\0\0"), None);
        assert_eq!(Command::from_wire(*b"vers\x7fon\0\0\0\0\0"), None);
    }
}
