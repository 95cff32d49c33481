//! Inputs worth keeping: found by hand, by chance or by a fuzzer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A folder of kept inputs. The front of a file's name is how it ends, with a dot after it; what a
/// fuzzer adds may be called `any.` and what you like.
#[derive(Clone, Debug)]
pub struct Corpus(BTreeMap<String, Vec<u8>>);

impl Corpus {
    /// The inputs in `tests/corpus` of the crate in this folder (`env!("CARGO_MANIFEST_DIR")`), or
    /// in a folder of it (`kind`, else empty); at least so many are there.
    pub fn of(manifest_dir: &str, kind: &str, least: usize) -> Self {
        let folder = Path::new(manifest_dir).join("tests/corpus").join(kind);
        let entries = fs::read_dir(&folder).unwrap().map(Result::unwrap);
        let all = entries.map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        });
        let all: BTreeMap<_, _> = all.collect();
        let (len, folder) = (all.len(), folder.display());
        assert!(len >= least, "{len} of {least} files in {folder}");
        Self(all)
    }

    /// The inputs themselves.
    pub fn inputs(&self) -> impl Iterator<Item = &[u8]> {
        self.0.values().map(Vec::as_slice)
    }

    /// Every input ends as its name says, and the same way when it is run again: nothing hides in a
    /// global.
    pub fn ends_as_named(&self, run: impl Fn(&[u8]) -> String) {
        let mut wrong = Vec::new();
        for (file, input) in &self.0 {
            let end = run(input);
            assert_eq!(run(input), end, "{file} ends in two ways");
            let is_named = file.starts_with(&format!("{end}."));
            if !is_named && !file.starts_with("any.") {
                wrong.push(format!("{file} ends in {end}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Every one of these stands in the first `parts` parts, between dots, of some file's name, or
    /// in a part of these between dashes.
    pub fn reaches(&self, parts: usize, ends: &[&str]) {
        let parts = self.0.keys().flat_map(|name| name.split('.').take(parts));
        let named: BTreeSet<_> = parts
            .flat_map(|part| std::iter::once(part).chain(part.split('-')))
            .collect();
        for end in ends {
            assert!(named.contains(end), "no file ends in {end}");
        }
    }
}
