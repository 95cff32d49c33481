//! JSON lines.

use peerage_book::Key;
use peerage_store::{FormError, Lines, lines};
use serde_json::Value;

use crate::common::{apart, book, live};
use peerage_testkit::Random;

fn written(seed: u64) -> (peerage_book::Snapshot, Vec<u8>) {
    let (mut book, now) = book();
    live(&mut book, now, &mut Random::new(seed), 500);
    let subject = peerage_book::Subject::Net("9.0.0.0/8".parse().unwrap());
    book.ban(now, subject, peerage_book::By::Node, None, "x\u{1b}")
        .unwrap();
    let snapshot = book.snapshot();
    let mut out = Vec::new();
    lines::write(&snapshot, &mut out).unwrap();
    (snapshot, out)
}

#[test]
fn a_snapshot_is_read_back_as_it_was_written() {
    for seed in 0..5 {
        let (snapshot, out) = written(seed);
        let read = lines::read(&out[..]);
        assert_eq!((read.wrong_count, read.snapshot), (0, snapshot));
    }
}

#[test]
fn every_line_is_one_object_with_version_and_type() {
    let (snapshot, out) = written(1);
    let text = String::from_utf8(out).unwrap();
    let wanted = snapshot.entries.len() + snapshot.bans.len() + snapshot.anchors.len();
    assert_eq!(text.lines().count(), wanted);
    for line in text.lines() {
        assert!(line.bytes().all(|byte| byte >= 0x20), "no control bytes");
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["v"], 1);
        assert!(["peer", "ban", "anchor"].contains(&value["type"].as_str().unwrap()));
    }
}

fn why(line: &str) -> FormError {
    let Lines { mut wrong, .. } = lines::read(line.as_bytes());
    wrong.pop().expect("refused").why
}

#[test]
fn a_wrong_line_is_named_and_the_others_are_taken() {
    let good = format!(
        r#"{{"v":1,"type":"anchor","key":"{}"}}"#,
        Key::from(apart(1))
    );
    let text = format!("{good}\nnonsense\n\n{{\"v\":2}}\n{good}");
    let read = lines::read(text.as_bytes());
    assert_eq!(read.snapshot.anchors.len(), 2);
    let wrong: Vec<_> = read.wrong.iter().map(|wrong| wrong.line).collect();
    assert_eq!(wrong, [2, 4]);
    assert_eq!(why("[1]"), FormError::NotJson);
    assert_eq!(why(r#"{"v":2}"#), FormError::Version { found: 2, known: 1 });
    assert_eq!(why(r#"{"a":2}"#), FormError::Version { found: 0, known: 1 });
    assert!(matches!(
        why(r#"{"v":1,"type":"song"}"#),
        FormError::Type { .. }
    ));
    let no_key = why(r#"{"v":1,"type":"peer"}"#);
    assert!(
        matches!(no_key, FormError::Field { field: "key" }),
        "{no_key}"
    );
    assert_eq!(why("\u{fffd}\\"), FormError::NotJson);
}

#[test]
fn a_line_without_end_is_cut() {
    let endless = std::io::BufReader::new(std::io::Read::take(std::io::repeat(b'['), 1 << 30));
    let read = lines::read(endless);
    assert!(matches!(read.wrong[0].why, FormError::TooLong { .. }));
}

/// Any damage to a line is an error or another sound value, never a panic; and a book takes in
/// whatever came out.
#[test]
fn damaged_lines_do_no_harm() {
    let (_, out) = written(2);
    let mut random = Random::new(9);
    for _ in 0..300 {
        let mut damaged = out.clone();
        for _ in 0..1 + random.below(40) {
            let at = usize::try_from(random.below(damaged.len() as u64)).unwrap();
            let bytes = b"0129-\"{}[]:,.eE\\ntx\xff";
            damaged[at] = bytes[usize::try_from(random.below(bytes.len() as u64)).unwrap()];
        }
        let read = lines::read(&damaged[..]);
        let (mut book, now) = book();
        book.import(now, read.snapshot);
        book.audit().unwrap();
    }
}
