//! Where chain tables come from: compiled in, or a folder that replaces them.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use peerage_core::Network;
use peerage_verack::Table;
use peerage_verack::table::TableError;

/// The source of chain tables: one file per network, `zcash.toml`, `decred.toml`.
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
        /// Why.
        #[source]
        error: TableError,
    },
}

/// The most bytes of one table file.
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
    pub fn load(&self, network: Network, builtin: fn() -> Table) -> Result<Table, TablesError> {
        let Some(folder) = &self.folder else {
            return Ok(builtin());
        };
        let path = folder.join(format!("{network}.toml"));
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(builtin()),
            Err(error) => return Err(TablesError::Read { path, error }),
        };
        let mut text = String::new();
        if let Err(error) = file.take(MAX_FILE_LEN).read_to_string(&mut text) {
            return Err(TablesError::Read { path, error });
        }
        Table::parse(network, &text).map_err(|error| TablesError::Parse { path, error })
    }
}
