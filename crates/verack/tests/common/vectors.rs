//! The vectors of `tests/vectors/`, as values.

use std::path::Path;

use serde_json::Value;

/// One file of vectors, by its name without the extension.
pub(crate) fn load(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let text = std::fs::read_to_string(folder.join(name).with_extension("json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The list under `key` of a file.
pub(crate) fn rows(name: &str, key: &str) -> Vec<Value> {
    load(name)[key].as_array().unwrap().clone()
}

#[track_caller]
pub(crate) fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} of {row}"))
}

#[track_caller]
pub(crate) fn bytes(row: &Value, key: &str) -> Vec<u8> {
    hex::decode(text(row, key)).unwrap()
}

#[track_caller]
pub(crate) fn number(row: &Value, key: &str) -> u32 {
    let number = row[key]
        .as_u64()
        .unwrap_or_else(|| panic!("{key} of {row}"));
    u32::try_from(number).unwrap()
}
