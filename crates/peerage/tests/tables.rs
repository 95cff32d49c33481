//! Chain tables that replace the compiled-in ones.

use std::path::Path;

use peerage::faults::Fault;
use peerage::networks::{AnyNetwork, Setup, SetupError, by_name};
use peerage::{Failure, Kind, Tables, TablesError};

use crate::common::{dials, faulty, folder, greets_one, node};

const ZCASH: &str = include_str!("../../verack/src/zcash/zcash.toml");
const DECRED: &str = include_str!("../../verack/src/decred/decred.toml");

fn network(name: &str) -> &'static dyn AnyNetwork {
    by_name(name).unwrap()
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), text).unwrap();
}

fn setup(tables: &Tables) -> Setup {
    Setup {
        tables: tables.clone(),
        ..Setup::new("mainnet")
    }
}

/// The builtin text with one thing changed, which must be there.
fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

#[tokio::test]
async fn a_changed_magic_takes_effect() {
    for (name, text, magic) in [("zcash", ZCASH, "24e92764"), ("decred", DECRED, "f900b4d9")] {
        let folder = folder(&format!("magic_{name}"));
        write(
            &folder,
            &format!("{name}.toml"),
            changed(text, magic, "0badcafe"),
        );
        let tables = Tables::from_folder(&folder).unwrap();
        let network = network(name);
        let chain = &network.chains(&tables).unwrap()[0];
        assert_eq!(chain.magic, Some([0x0b, 0xad, 0xca, 0xfe]));

        let new = node(network, &setup(&tables));
        let (target, greeted) = greets_one(new.clone());
        let met = dials(&*node(network, &setup(&tables)), &target).await;
        assert!(
            met.is_ok() && greeted.await.unwrap().is_ok(),
            "among each other"
        );

        let (target, greeted) = greets_one(new);
        let old = node(network, &Setup::new("mainnet"));
        assert!(dials(&*old, &target).await.is_err());
        let reason = greeted.await.unwrap().map(drop).unwrap_err();
        assert_eq!(reason.kind, Kind::WrongNetwork, "{reason}");
    }
}

#[tokio::test]
async fn a_changed_minimum_takes_effect_with_the_next_node() {
    let folder = folder("minimum");
    let tables = Tables::from_folder(&folder).unwrap();
    let network = network("zcash");
    let greets = async |expected: Option<Kind>| {
        let (target, greeted) = greets_one(node(network, &setup(&tables)));
        let mut older = Setup::new("mainnet");
        older.options.protocol_version = Some(170_180);
        let theirs = network.node(&older).unwrap();
        drop(dials(&*theirs, &target).await);
        let found = greeted.await.unwrap().err();
        assert_eq!(found.map(|reason| reason.kind), expected);
    };
    greets(None).await;
    let raised = changed(
        ZCASH,
        "initial_minimum = 170150",
        "initial_minimum = 170185",
    );
    write(&folder, "zcash.toml", raised);
    greets(Some(Kind::Obsolete)).await;
    std::fs::remove_file(folder.join("zcash.toml")).unwrap();
    greets(None).await;
}

#[test]
fn a_file_that_is_missing_leaves_the_compiled_in_table() {
    let folder = folder("missing");
    write(
        &folder,
        "decred.toml",
        changed(DECRED, "port = 9108", "port = 1234"),
    );
    let tables = Tables::from_folder(&folder).unwrap();
    let of = |name: &str, tables: &Tables| network(name).chains(tables).unwrap();
    assert_eq!(of("zcash", &tables), of("zcash", &Tables::builtin()));
    assert_eq!(of("decred", &tables)[0].port, 1234);
    let rest = of("decred", &tables)[1..].to_vec();
    assert_eq!(rest, of("decred", &Tables::builtin())[1..]);
}

/// What comes of a table file with this content, alone and through a node.
fn refused(name: &str, content: impl AsRef<[u8]>) -> TablesError {
    let folder = folder(name);
    write(&folder, "zcash.toml", content);
    let tables = Tables::from_folder(&folder).unwrap();
    let zcash = network("zcash");
    let Err(SetupError::Tables(error)) = zcash.node(&setup(&tables)) else {
        panic!("{name} is no table");
    };
    let again = zcash.chains(&tables).unwrap_err();
    assert_eq!(error.to_string(), again.to_string());
    assert_eq!(error.kind(), Kind::Usage);
    let message = error.reason().message;
    let file = folder.join("zcash.toml");
    assert!(message.contains(file.to_str().unwrap()), "{message}");
    // The reader of TOML shows the line, and ends with one.
    assert!(!message.trim_end().ends_with('.'), "{message:?}");
    error
}

#[test]
fn a_bad_file_is_named_with_the_key_that_is_wrong() {
    for (name, content, key) in [
        (
            "bad_magic",
            changed(ZCASH, "\"24e92764\"", "\"24e9276x\""),
            "magic",
        ),
        (
            "bad_port",
            changed(ZCASH, "port = 8233", "port = 82330"),
            "port",
        ),
        (
            "unknown_key",
            changed(ZCASH, "port = 8233", "prot = 8233"),
            "prot",
        ),
        (
            "no_network",
            changed(ZCASH, "network = \"zcash\"", ""),
            "network",
        ),
        (
            "too_old",
            changed(ZCASH, "= 170190", "= 170000"),
            "protocol_version",
        ),
        ("other", DECRED.to_owned(), "decred"),
        ("no_toml", "certainly not".to_owned(), "certainly"),
        ("empty", String::new(), "network"),
    ] {
        let error = refused(name, content);
        assert!(matches!(error, TablesError::Parse { .. }), "{error:?}");
        let message = error.reason().message;
        assert!(message.contains(key), "{name}: {message}");
    }
}

#[test]
fn a_file_that_is_no_text_or_too_long_or_a_folder_cannot_be_read() {
    for (name, content, kind) in [
        ("binary", vec![0xff; 10], std::io::ErrorKind::InvalidData),
        // Its first megabyte is a sound table; half a table would be used without a word.
        (
            "too_long",
            [ZCASH.as_bytes(), &[b'\n'; 1 << 20]].concat(),
            std::io::ErrorKind::FileTooLarge,
        ),
    ] {
        let TablesError::Read { error, .. } = refused(name, content) else {
            panic!("{name} can be read");
        };
        assert_eq!(error.kind(), kind, "{name}");
    }
    let folder = folder("folder_for_file");
    std::fs::create_dir(folder.join("zcash.toml")).unwrap();
    let tables = Tables::from_folder(&folder).unwrap();
    let error = network("zcash").chains(&tables).unwrap_err();
    assert!(matches!(error, TablesError::Read { .. }), "{error:?}");
}

#[test]
fn a_folder_that_is_not_there_or_is_a_file_is_no_folder_of_tables() {
    let folder = folder("no_folder");
    write(&folder, "file", "");
    for path in [folder.join("nothing"), folder.join("file")] {
        let error = Tables::from_folder(&path).unwrap_err();
        assert!(matches!(error, TablesError::NoFolder { .. }));
        let message = error.reason().message;
        assert!(message.contains(path.to_str().unwrap()), "{message}");
        let error = peerage::networks::tables(Some(path)).unwrap_err();
        assert!(matches!(error, TablesError::NoFolder { .. }));
    }
    peerage::networks::tables(Some(folder)).unwrap();
    peerage::networks::tables(None).unwrap();
}

#[tokio::test]
async fn a_table_with_one_chain_still_has_a_wrong_network() {
    let folder = folder("one_chain");
    let end = ZCASH.match_indices("\n[[chain]]\n").nth(1).unwrap().0;
    write(&folder, "zcash.toml", &ZCASH[..end]);
    let tables = Tables::from_folder(&folder).unwrap();
    assert_eq!(network("zcash").chains(&tables).unwrap().len(), 1);
    let node = node(network("zcash"), &setup(&tables));
    let target = faulty(&node, Fault::WrongNetwork);
    let reason = dials(&*node, &target).await.map(drop).unwrap_err();
    assert_eq!(reason.kind, Fault::WrongNetwork.expected(), "{reason}");
}
