//! The token of those who may change things.

use std::fmt;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

/// The fewest characters of a token: what guessing cannot find.
const LEAST: usize = 16;

/// The most bytes of a token's file.
const MOST: u64 = 4096;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token in {}", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// Others may read the file.
    #[error("others may read {}: `chmod 600` it", path.display())]
    Public {
        /// Where.
        path: PathBuf,
    },
    /// It is too short to be one, or not printable.
    #[error(
        "a token has at least {LEAST} printable characters on one line: write one as \
             `openssl rand -hex 32` does"
    )]
    Weak,
}

/// A token. It is compared in constant time and never shown.
#[derive(Clone)]
pub struct Token(Box<[u8]>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// A token from text; white space around it does not count.
    ///
    /// # Errors
    /// When it is too short, or not printable.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim().as_bytes();
        if text.len() < LEAST || !text.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError::Weak);
        }
        Ok(Self(text.into()))
    }

    /// Reads a token from a file that nobody else may read.
    ///
    /// # Errors
    /// When it cannot be read, others may read it, or it is none.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |error| TokenError::Read {
            path: path.to_owned(),
            error,
        };
        let meta = std::fs::metadata(path).map_err(failed)?;
        #[cfg(unix)]
        if std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o077 != 0 {
            let path = path.to_owned();
            return Err(TokenError::Public { path });
        }
        if meta.len() > MOST {
            return Err(TokenError::Weak);
        }
        Self::new(&std::fs::read_to_string(path).map_err(failed)?)
    }

    /// What a client shows: `Bearer TOKEN`, which no log shows.
    #[cfg(feature = "client")]
    pub(crate) fn header(&self) -> Option<tonic::metadata::MetadataValue<tonic::metadata::Ascii>> {
        let bytes = [b"Bearer ", &*self.0].concat();
        let mut header = tonic::metadata::MetadataValue::try_from(&*bytes).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    /// Whether `given` is it. How much of it is right takes no different time.
    pub fn is(&self, given: &[u8]) -> bool {
        self.0.ct_eq(given).into()
    }

    /// Whether an `authorization` header holds it: `Bearer TOKEN`.
    pub fn allows(&self, header: Option<&[u8]>) -> bool {
        let Some((scheme, given)) = header.and_then(|header| header.split_at_checked(7)) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"bearer ") && self.is(given.trim_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123";

    #[test]
    fn only_the_whole_token_opens() {
        let token = Token::new(&format!("{SECRET}\n")).unwrap();
        let with = |text: &str| token.allows(Some(text.as_bytes()));
        assert!(with(&format!("Bearer {SECRET}")));
        assert!(with(&format!("bearer  {SECRET} ")));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            SECRET,
            "Basic 0123456789abcdef0123",
        ] {
            assert!(!with(wrong), "{wrong}");
        }
        assert!(!with(&format!("Bearer {}", &SECRET[1..])));
        assert!(!with(&format!("Bearer {SECRET}4")));
        assert!(!token.allows(None));
        assert!(!format!("{token:?}").contains("0123"));
    }

    #[test]
    fn a_weak_token_is_none() {
        for weak in ["", "short", "0123456789abcde", "two words are no token"] {
            assert!(matches!(Token::new(weak), Err(TokenError::Weak)), "{weak}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("peerage-token-{}", std::process::id()));
        std::fs::write(&path, SECRET).unwrap();
        let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o640);
        assert!(matches!(Token::read(&path), Err(TokenError::Public { .. })));
        mode(0o600);
        assert!(Token::read(&path).unwrap().is(SECRET.as_bytes()));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Token::read(&path), Err(TokenError::Read { .. })));
    }
}
