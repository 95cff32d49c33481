//! Key files.

use std::path::Path;

use peerage::{Blame, Failure, KeyError, Kind, NodeKey};

use crate::common::folder;

fn owned_file(path: &Path, content: impl AsRef<[u8]>) {
    std::fs::write(path, content).unwrap();
    mode(path, 0o600);
}

#[cfg(unix)]
fn mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn mode(_: &Path, _: u32) {}

#[test]
fn a_key_is_read_as_it_was_written() {
    let file = folder("key_written").join("node.key");
    let key = NodeKey::generate();
    key.write_new(&file).unwrap();
    assert_eq!(
        NodeKey::read(&file).unwrap().secret_bytes(),
        key.secret_bytes()
    );
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.len(), 65, "64 digits and the end of the line");
    assert!(
        text.trim_end()
            .bytes()
            .all(|b| b"0123456789abcdef".contains(&b))
    );
}

#[test]
fn two_generated_keys_differ() {
    let [one, two] = [(); 2].map(|()| *NodeKey::generate().secret_bytes());
    assert_ne!(one, two);
}

#[cfg(unix)]
#[test]
fn only_its_owner_may_read_a_new_key() {
    use std::os::unix::fs::PermissionsExt;
    let file = folder("key_mode").join("node.key");
    NodeKey::generate().write_new(&file).unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let file = folder("key_exists").join("node.key");
    for content in ["", "something dear"] {
        owned_file(&file, content);
        let error = NodeKey::generate().write_new(&file).unwrap_err();
        assert!(matches!(&error, KeyError::Exists { path } if *path == file));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_nowhere_is_not_followed_by_writing() {
    let folder = folder("key_link");
    let (link, elsewhere) = (folder.join("node.key"), folder.join("elsewhere"));
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    let error = NodeKey::generate().write_new(&link).unwrap_err();
    assert!(matches!(error, KeyError::Exists { .. }), "{error:?}");
    assert!(!elsewhere.exists());
}

#[cfg(unix)]
#[test]
fn a_key_that_others_may_read_is_refused() {
    let file = folder("key_exposed").join("node.key");
    for bits in [0o640, 0o604, 0o620, 0o602, 0o601, 0o777] {
        owned_file(&file, "0f".repeat(32));
        mode(&file, bits);
        let error = NodeKey::read(&file).unwrap_err();
        assert!(matches!(&error, KeyError::Exposed { mode, .. } if *mode == bits));
        let message = error.reason().message;
        assert!(message.contains(&format!("mode {bits:03o}")), "{message}");
        assert!(
            message.contains("chmod 600"),
            "it says what to do: {message}"
        );
        assert!(!message.contains("0f0f"), "the key is never shown");
    }
    for bits in [0o600, 0o400, 0o700] {
        mode(&file, bits);
        NodeKey::read(&file).unwrap();
    }
}

#[test]
fn white_space_around_the_digits_and_their_case_do_not_matter() {
    let file = folder("key_space").join("node.key");
    for digits in ["0f".repeat(32), "0F".repeat(32)] {
        owned_file(&file, format!("\n  {digits}\t\r\n\n"));
        assert_eq!(NodeKey::read(&file).unwrap().secret_bytes(), &[0x0f; 32]);
    }
}

#[test]
fn what_is_no_key_is_refused() {
    let file = folder("key_garbage").join("node.key");
    let digits = "0f".repeat(32);
    let beyond = format!("{digits}{}garbage", " ".repeat(1000));
    for garbage in [
        String::new(),
        "\n".to_owned(),
        digits[1..].to_owned(),
        format!("{digits}0"),
        format!("0x{digits}"),
        digits.replacen('f', "g", 1),
        format!("{}\n{}", &digits[..32], &digits[32..]),
        "é".repeat(32),
        beyond,
    ] {
        owned_file(&file, &garbage);
        let error = NodeKey::read(&file).unwrap_err();
        assert!(matches!(error, KeyError::NotAKey { .. }), "{garbage:?}");
    }
    owned_file(&file, [0xff; 64]);
    let error = NodeKey::read(&file).unwrap_err();
    assert!(matches!(error, KeyError::NotAKey { .. }), "{error:?}");
}

#[test]
fn a_file_that_is_not_there_or_cannot_be_made_is_the_callers_doing() {
    let folder = folder("key_nowhere");
    let missing = folder.join("nothing").join("node.key");
    let read = NodeKey::read(&missing).unwrap_err();
    assert!(matches!(read, KeyError::Read { .. }));
    let read_folder = NodeKey::read(&folder).unwrap_err();
    assert!(
        matches!(read_folder, KeyError::Read { .. }),
        "{read_folder:?}"
    );
    let written = NodeKey::generate().write_new(&missing).unwrap_err();
    assert!(matches!(written, KeyError::Write { .. }));
    for error in [read, read_folder, written] {
        assert_eq!((error.kind(), error.blame()), (Kind::Usage, Blame::Caller));
    }
}

#[test]
fn a_key_does_not_show_itself() {
    let key = NodeKey::from_bytes([0xab; 32]).unwrap();
    let shown = format!("{key:?}");
    assert_eq!(shown, "NodeKey(secret)");
    let setup = peerage::networks::Setup {
        key: Some(key),
        ..peerage::networks::Setup::new("mainnet")
    };
    assert!(
        !format!("{setup:?}").contains("171"),
        "nor in what holds it"
    );
}
