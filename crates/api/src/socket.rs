//! Where the interface listens: a unix socket that only its owner may use, or TCP.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where gRPC listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// A unix socket: whoever may open the file may use the interface.
    Unix(PathBuf),
    /// TCP: a token or certificates say who may.
    Tcp(SocketAddr),
}

/// Text that says no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a place is unix:/path/to/socket or ip:port")]
pub struct NoPlace;

impl FromStr for At {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(NoPlace);
            }
            return Ok(Self::Unix(path.into()));
        }
        let addr = text.strip_prefix("tcp:").unwrap_or(text);
        addr.parse().map(Self::Tcp).map_err(|_| NoPlace)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(addr) => addr.fmt(f),
        }
    }
}

/// Why a place cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The system does not give it.
    #[error("cannot listen at {at}")]
    Listen {
        /// Where.
        at: String,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// Somebody answers there.
    #[error("a daemon that runs already answers at {}: stop it, or choose another path", path.display())]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// There is a file that is no socket.
    #[error("{} is no socket: remove it, or choose another path", path.display())]
    NotASocket {
        /// Where.
        path: PathBuf,
    },
    /// Others could put another socket in its place.
    #[error("others may write to {}: choose a directory of your own, or `chmod go-w` it", folder.display())]
    OpenFolder {
        /// Which.
        folder: PathBuf,
    },
    /// There is neither a token nor a certificate.
    #[error("gRPC over TCP at {at} needs a token: set token_file, or use a unix socket")]
    NoToken {
        /// Where.
        at: SocketAddr,
    },
    /// Others than this machine could read.
    #[error("HTTP at {at}, which is no loopback address, needs a token: set token_file")]
    NoTokenForHttp {
        /// Where.
        at: SocketAddr,
    },
    /// This system has no unix sockets.
    #[error("this system has no unix sockets: use ip:port and a token")]
    NoUnix,
}

pub(crate) fn failed(at: impl fmt::Display) -> impl FnOnce(std::io::Error) -> BindError {
    let at = at.to_string();
    move |error| BindError::Listen { at, error }
}

/// A unix socket; its file goes when this is dropped.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct UnixSocket {
    pub(crate) listener: tokio::net::UnixListener,
    path: PathBuf,
    /// The file as it was made: another one in its place is not ours.
    file: (u64, u64),
}

#[cfg(unix)]
impl UnixSocket {
    /// Listens at `path`, which only the owner may open from the first moment on. The socket of an
    /// instance that is gone is replaced.
    ///
    /// # Errors
    /// When somebody answers there, it is no socket, or others may write to its directory.
    pub(crate) fn bind(path: &Path) -> Result<Self, BindError> {
        use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt};
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            Some(_) | None => Path::new("."),
        };
        check_folder(folder)?;
        vacate(path)?;
        // In a directory that nobody else can enter, then moved: at no moment is it open to others.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hidden = folder.join(format!(".{name}.{}", std::process::id()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&hidden);
        made.map_err(failed(path.display()))?;
        let inside = hidden.join("s");
        let bound = tokio::net::UnixListener::bind(&inside).and_then(|listener| {
            std::fs::set_permissions(&inside, PermissionsExt::from_mode(0o600))?;
            std::fs::rename(&inside, path)?;
            Ok(listener)
        });
        if bound.is_err() {
            // Not there, or about to be of no use.
            let _absent = std::fs::remove_file(&inside);
        }
        let removed = std::fs::remove_dir(&hidden);
        let listener = bound.map_err(failed(path.display()))?;
        removed.map_err(failed(path.display()))?;
        Ok(Self {
            listener,
            file: inode(path).map_err(failed(path.display()))?,
            path: path.to_owned(),
        })
    }
}

#[cfg(unix)]
impl Drop for UnixSocket {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|file| file == self.file) {
            // Gone already, then.
            let _gone = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
fn inode(path: &Path) -> std::io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

/// In a directory where others may remove files, they could listen in our place.
#[cfg(unix)]
fn check_folder(folder: &Path) -> Result<(), BindError> {
    use std::os::unix::fs::PermissionsExt as _;
    let meta = std::fs::metadata(folder).map_err(failed(folder.display()))?;
    let mode = meta.permissions().mode();
    let (others_write, is_sticky) = (mode & 0o022 != 0, mode & 0o1000 != 0);
    if others_write && !is_sticky {
        let folder = folder.to_owned();
        return Err(BindError::OpenFolder { folder });
    }
    Ok(())
}

/// Makes sure that nobody listens there.
#[cfg(unix)]
fn vacate(path: &Path) -> Result<(), BindError> {
    use std::os::unix::fs::FileTypeExt as _;
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(path.display())(error)),
    };
    let shown = || path.to_owned();
    if !meta.file_type().is_socket() {
        return Err(BindError::NotASocket { path: shown() });
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(BindError::InUse { path: shown() }),
        // Whoever listened there is gone; the move replaces what is left.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(failed(path.display())(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_path_or_an_address() {
        let unix = At::Unix("/run/p.sock".into());
        assert_eq!("unix:/run/p.sock".parse(), Ok(unix.clone()));
        assert_eq!("unix:///run/p.sock".parse(), Ok(unix.clone()));
        assert_eq!(unix.to_string().parse(), Ok(unix));
        let tcp = At::Tcp(([127, 0, 0, 1], 9910).into());
        assert_eq!("127.0.0.1:9910".parse(), Ok(tcp.clone()));
        assert_eq!("tcp:127.0.0.1:9910".parse(), Ok(tcp));
        for wrong in ["", "unix:", "localhost:1", "/run/p.sock", "9910"] {
            assert_eq!(wrong.parse::<At>(), Err(NoPlace), "{wrong}");
        }
    }
}
