//! Where chain tables come from: compiled in, or a folder that replaces them.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use peerage_core::{Detail, Failure, Kind, Network, PeerText, Stage};

/// A network's chains as data, of whatever shape.
pub trait TableFile: Sized {
    /// Why text is no such table.
    type Error: Error + Send + Sync + 'static;

    /// Reads a table from TOML text, which must be about `network`.
    ///
    /// # Errors
    /// When the text is no such table.
    fn parse(network: Network, text: &str) -> Result<Self, Self::Error>;
}

/// The source of chain tables: one file per network, `zcash.toml`, `ethereum.toml`.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    folder: Option<PathBuf>,
}

/// Why the tables cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TablesError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The folder is not there.
    #[error("{path} is no folder of tables")]
    NoFolder {
        /// The path.
        path: PathBuf,
    },
    /// The file is no table.
    #[error("in {path}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why. Each network has its own error here, [`TableFile::Error`].
        #[source]
        error: Box<dyn Error + Send + Sync>,
    },
}

impl Failure for TablesError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn detail(&self) -> Detail {
        let (Self::Read { path, .. } | Self::NoFolder { path } | Self::Parse { path, .. }) = self;
        Detail::none().with("path", PeerText::from(&*path.to_string_lossy()))
    }
}

/// The most bytes of one table file: 1 MiB, a hundred times the longest there is.
const MAX_FILE_LEN: u64 = 1 << 20;

impl Tables {
    /// The compiled-in tables.
    pub const fn builtin() -> Self {
        Self { folder: None }
    }

    /// Files in `folder` replace the compiled-in tables of the same names. They are read anew at
    /// each use, so a running program picks up a change with its next new node.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn from_folder(folder: &Path) -> Result<Self, TablesError> {
        if !folder.is_dir() {
            return Err(TablesError::NoFolder {
                path: folder.into(),
            });
        }
        Ok(Self {
            folder: Some(folder.into()),
        })
    }

    /// The table of `network`: its file, or `builtin` when there is none.
    ///
    /// # Errors
    /// When its file cannot be read or is no table.
    pub fn load<T: TableFile>(
        &self,
        network: Network,
        builtin: fn() -> T,
    ) -> Result<T, TablesError> {
        let Some(folder) = &self.folder else {
            return Ok(builtin());
        };
        let path = folder.join(format!("{network}.toml"));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(builtin()),
            Err(error) => return Err(TablesError::Read { path, error }),
        };
        let text = match read_whole(file) {
            Ok(text) => text,
            Err(error) => return Err(TablesError::Read { path, error }),
        };
        T::parse(network, &text).map_err(|error| TablesError::Parse {
            path,
            error: error.into(),
        })
    }
}

/// The text of a file; one that is too long is refused, for half a table may still be a table.
fn read_whole(file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE_LEN + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_LEN {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
