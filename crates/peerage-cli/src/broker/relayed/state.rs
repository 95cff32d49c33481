//! The operator's folder.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use peerage::NodeKey;
use peerage::inproxy::matcher::CompartmentId;
use peerage::inproxy::{CompartmentList, OUTSIDE, PartySecret, SignerSecret};

use crate::output::{Failed, environment, usage};

/// What is in it.
pub(super) struct State {
    pub(super) broker: PartySecret,
    pub(super) operator: SignerSecret,
    pub(super) compartments: CompartmentList,
    folder: PathBuf,
}

impl State {
    /// Reads the folder; makes what is missing: keys, and a first compartment.
    pub(super) fn open(folder: &Path) -> Result<Self, Failed> {
        let shown = folder.display();
        fs::create_dir_all(folder).map_err(|error| environment(error, format!("{shown}")))?;
        let broker = secret(&folder.join("broker.key"))?;
        let operator = secret(&folder.join("operator.key"))?;
        let mut state = Self {
            broker: PartySecret::new(broker),
            operator: SignerSecret::new(&operator),
            compartments: CompartmentList::default(),
            folder: folder.into(),
        };
        match fs::read_to_string(state.list()) {
            Ok(text) => {
                state.compartments = CompartmentList::parse(&text)
                    .map_err(usage)
                    .map_err(|failed| failed.within(state.list().display().to_string()))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let first = CompartmentId(OUTSIDE.bytes());
                state.compartments.add(first).map_err(usage)?;
                state.save()?;
            }
            Err(error) => return Err(environment(error, state.list().display().to_string())),
        }
        Ok(state)
    }

    fn list(&self) -> PathBuf {
        self.folder.join("compartments")
    }

    /// Writes the list of compartments, whole or not at all.
    pub(super) fn save(&self) -> Result<(), Failed> {
        let (path, new) = (self.list(), self.folder.join("compartments.new"));
        let written = fs::File::create(&new).and_then(|mut file| {
            file.write_all(self.compartments.to_string().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)
        });
        written.map_err(|error| environment(error, path.display().to_string()))
    }
}

/// The 32 bytes of a key file, which is made if it is not there. Only its owner may read it.
pub(super) fn secret(path: &Path) -> Result<[u8; 32], Failed> {
    if !path.exists() {
        NodeKey::generate().write_new(path).map_err(usage)?;
    }
    let key = NodeKey::read(path).map_err(usage)?;
    Ok(*key.secret_bytes())
}
