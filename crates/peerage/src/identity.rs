//! The secret of a node, kept in a file.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use peerage_core::{Detail, Failure, Kind, PeerText, Stage};

use crate::destination::PeerKey;
use crate::os;

/// The secret of a node: a key of secp256k1.
///
/// On Ethereum its public key is who the node is. On networks without identities it is what lets a
/// node recognise itself, across restarts and processes. One file serves all networks.
#[derive(Clone)]
pub struct NodeKey([u8; 32]);

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the key file {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file is there already, and keys are never overwritten.
    #[error("{path} exists already: choose another name, or remove it if its key is not needed")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no key.
    #[error(
        "{path} holds no key: 64 hexadecimal digits are expected, of a number that secp256k1 has a key for"
    )]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// Others may read the file.
    #[error("{path} can be read by others (mode {mode:03o}): run chmod 600 on it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl Failure for KeyError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn detail(&self) -> Detail {
        let (Self::Read { path, .. }
        | Self::Write { path, .. }
        | Self::Exists { path }
        | Self::NotAKey { path }
        | Self::Exposed { path, .. }) = self;
        let detail = Detail::none().with("path", PeerText::from(&*path.to_string_lossy()));
        if let Self::Exposed { mode, .. } = self {
            detail.with("mode", PeerText::from(&*format!("{mode:03o}")))
        } else {
            detail
        }
    }
}

impl NodeKey {
    /// The most bytes of a key file: 64 digits and some white space.
    const MAX_FILE_LEN: u64 = 256;

    /// A new random key.
    pub fn generate() -> Self {
        loop {
            // One draw in 2^128 is no key.
            if let Some(key) = Self::from_bytes(os::random()) {
                return key;
            }
        }
    }

    /// The key from its 32 bytes, most significant first; `None` when they are no key of secp256k1,
    /// on which Ethereum's identities are: zero, or not below the order of the curve.
    pub fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        /// The order of the curve. Source: SEC 2, section 2.4.1.
        const ORDER: [u8; 32] = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xff, 0xfe, 0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c,
            0xd0, 0x36, 0x41, 0x41,
        ];
        (bytes != [0; 32] && bytes < ORDER).then_some(Self(bytes))
    }

    /// The 32 secret bytes.
    pub const fn secret_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public key: who the node is where nodes have identities.
    pub fn public_key(&self) -> PeerKey {
        PeerKey(crate::ethereum::secret(self).id().0)
    }

    /// Reads a key file: 64 hexadecimal digits, white space around them ignored.
    ///
    /// # Errors
    /// When it cannot be read, holds no key, or can be read by others.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let unreadable = |error| KeyError::Read {
            path: path.into(),
            error,
        };
        let file = OpenOptions::new()
            .read(true)
            .open(path)
            .map_err(unreadable)?;
        check_mode(path, &file)?;
        let mut text = Vec::new();
        let mut bounded = file.take(Self::MAX_FILE_LEN + 1);
        bounded.read_to_end(&mut text).map_err(unreadable)?;
        let whole = text.len() as u64 <= Self::MAX_FILE_LEN;
        parse(text.trim_ascii())
            .filter(|_| whole)
            .and_then(Self::from_bytes)
            .ok_or_else(|| KeyError::NotAKey { path: path.into() })
    }

    /// Writes a new key file that only its owner may read.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn write_new(&self, path: &Path) -> Result<(), KeyError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(path).and_then(|mut file| {
            self.0
                .iter()
                .try_for_each(|byte| write!(file, "{byte:02x}"))?;
            writeln!(file)?;
            file.sync_all()
        });
        written.map_err(|error| {
            let path = path.into();
            if error.kind() == io::ErrorKind::AlreadyExists {
                KeyError::Exists { path }
            } else {
                KeyError::Write { path, error }
            }
        })
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(secret)")
    }
}

fn parse(digits: &[u8]) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    crate::hex::fill(digits, &mut key)?;
    Some(key)
}

#[cfg(unix)]
fn check_mode(path: &Path, file: &std::fs::File) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = file.metadata().map_err(|error| KeyError::Read {
        path: path.into(),
        error,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.is_file() && mode & 0o077 != 0 {
        return Err(KeyError::Exposed {
            path: path.into(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
const fn check_mode(_: &Path, _: &std::fs::File) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_number_that_the_curve_has_a_key_for() {
        assert!(NodeKey::from_bytes([0; 32]).is_none());
        assert!(NodeKey::from_bytes([0xff; 32]).is_none());
        let mut near = [0xff; 32];
        near[15] = 0xfd;
        let library = |bytes| peerage_ethereum::SecretKey::from_bytes(bytes).is_ok();
        assert!(NodeKey::from_bytes(near).is_some() && library(near));
        let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
        let order = parse(order.as_bytes()).unwrap();
        let mut below = order;
        below[31] -= 1;
        assert!(NodeKey::from_bytes(order).is_none() && !library(order));
        assert!(NodeKey::from_bytes(below).is_some() && library(below));
    }

    #[test]
    fn a_key_is_64_digits_and_nothing_else() {
        let key = parse("0f".repeat(32).as_bytes()).unwrap();
        assert_eq!(key, [0x0f; 32]);
        assert!(parse("0g".repeat(32).as_bytes()).is_none());
        assert!(parse("0f".repeat(31).as_bytes()).is_none());
        assert!(
            parse("é".repeat(32).as_bytes()).is_none(),
            "64 bytes that are no digits"
        );
    }
}
