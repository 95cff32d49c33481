//! What can go wrong with a file, and what to do about it.

use std::path::{Path, PathBuf};

use peerage_core::{Detail, Failure, Kind, PeerText, Retry, Stage};

/// Why the file could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process, or another part of this one, writes to it.
    #[error("{} is in use by another instance: stop that one, or name another file", .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// There is no such file.
    #[error("{} does not exist: start a daemon that keeps its book there, or name another file", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is some other program's, or no database at all.
    #[error("{} is not a book of peerage: move it away, or name another file", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error("{} was written by a newer version (schema {found}, this one knows {known}): upgrade, or name another file", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// An older version wrote it, and whoever reads must not change it.
    #[error("{} was written by an older version (schema {found}, this one knows {known}): start the daemon once, it brings the file up to date", .path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The schema wanted.
        known: i64,
    },
    /// The file is damaged.
    #[error("{} is damaged: move it away and start with a new one, or restore a copy; `sqlite3 FILE .recover` saves what can be saved", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What the database says.
        #[source]
        source: Option<rusqlite::Error>,
    },
    /// There is no room on the disk, or the file has reached its limit.
    #[error("no room to write {}: free some space or raise its limit; nothing written is lost, and writing goes on by itself", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What the database says.
        #[source]
        source: rusqlite::Error,
    },
    /// It may not be read or written.
    #[error("{} cannot be opened: check that its folder exists and who may read and write there", .path.display())]
    Access {
        /// The file.
        path: PathBuf,
        /// What the database says.
        #[source]
        source: rusqlite::Error,
    },
    /// The operating system does not let it be written: a quota, a limit on file sizes, a disk that
    /// fails.
    #[error("{} cannot be written: check the disk, its quota and the limit on file sizes; nothing written is lost, and writing goes on by itself", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the database says.
        #[source]
        source: rusqlite::Error,
    },
    /// The operating system failed.
    #[error("reading or writing {} failed", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the database says.
        #[source]
        source: rusqlite::Error,
    },
    /// The writer's thread could not be started, or has ended.
    #[error("the writer of {} does not run", .path.display())]
    NoWriter {
        /// The file.
        path: PathBuf,
    },
    /// What was to be written was not written in time.
    #[error("{left} changes to {} are not written yet", .path.display())]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// How many.
        left: u64,
    },
}

/// What SQLite calls a failure to write, to make lasting or to cut off, whatever the system's reason.
const UNWRITABLE: [i32; 3] = [
    rusqlite::ffi::SQLITE_IOERR_WRITE,
    rusqlite::ffi::SQLITE_IOERR_FSYNC,
    rusqlite::ffi::SQLITE_IOERR_TRUNCATE,
];

impl StoreError {
    pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let path = path.to_owned();
        let extended = source.sqlite_error().map(|error| error.extended_code);
        if extended.is_some_and(|code| UNWRITABLE.contains(&code)) {
            return Self::Unwritable { path, source };
        }
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull | ErrorCode::TooBig) => Self::Full { path, source },
            Some(ErrorCode::NotADatabase) => Self::Foreign { path },
            Some(ErrorCode::DatabaseCorrupt) => {
                let source = Some(source);
                Self::Corrupt { path, source }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path },
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                Self::Access { path, source }
            }
            _ => Self::Io { path, source },
        }
    }

    /// Whether trying again may help without anyone doing anything about the file itself.
    pub const fn passes(&self) -> bool {
        matches!(
            self,
            Self::Full { .. } | Self::Unwritable { .. } | Self::Io { .. } | Self::InUse { .. }
        )
    }

    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::InUse { path }
            | Self::Missing { path }
            | Self::Foreign { path }
            | Self::Newer { path, .. }
            | Self::Older { path, .. }
            | Self::Corrupt { path, .. }
            | Self::Full { path, .. }
            | Self::Access { path, .. }
            | Self::Unwritable { path, .. }
            | Self::Io { path, .. }
            | Self::NoWriter { path }
            | Self::Unwritten { path, .. } => path,
        }
    }
}

impl Failure for StoreError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. }
            | Self::Foreign { .. }
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::Access { .. } => Kind::Usage,
            Self::InUse { .. }
            | Self::Full { .. }
            | Self::Unwritable { .. }
            | Self::Unwritten { .. } => Kind::Full,
            Self::Corrupt { .. } | Self::Io { .. } => Kind::Transport,
            Self::NoWriter { .. } => Kind::Bug,
        }
    }

    fn blame(&self) -> peerage_core::Blame {
        // Nothing here is a peer's or the network's doing.
        if self.kind() == Kind::Usage {
            peerage_core::Blame::Caller
        } else {
            peerage_core::Blame::Us
        }
    }

    fn retry(&self) -> Retry {
        if self.passes() {
            Retry::After(std::time::Duration::from_secs(5))
        } else {
            Retry::Never
        }
    }

    fn detail(&self) -> Detail {
        let path = self.path().display().to_string();
        Detail::none().with("file", PeerText::new(path.as_bytes()))
    }
}

/// Text that is not what was written there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// It is no JSON object.
    #[error("it is no JSON object")]
    NotJson,
    /// A newer version wrote it.
    #[error("its version is {found}, this program knows {known}")]
    Version {
        /// Its version; 0 if it names none.
        found: u64,
        /// The newest known here.
        known: u64,
    },
    /// It is of a type that is not known here.
    #[error("its type is {found}")]
    Type {
        /// The type; empty if it names none.
        found: PeerText,
    },
    /// A field is missing or not what it should be.
    #[error("its field {field} is missing or wrong")]
    Field {
        /// The field.
        field: &'static str,
    },
    /// A line is longer than any that was written.
    #[error("it is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// The text could not be read.
    #[error("it cannot be read: {0}")]
    Unreadable(std::io::ErrorKind),
}

/// A line that could not be taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not taken")]
pub struct LineError {
    /// Which, from 1.
    pub line: usize,
    /// Why.
    #[source]
    pub why: FormError,
}

impl Failure for LineError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn detail(&self) -> Detail {
        Detail::none().with("line", self.line)
    }
}
