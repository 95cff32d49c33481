//! Which doors a source file names.
//!
//! Reads words, not types: comments and strings are dropped, what is compiled for tests only is
//! cut out, `use` trees are spelled out, and the paths that remain are compared with a list.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Consecutive segments of a path, and why a pure crate must not name them.
type Door = (&'static str, &'static str);

/// The doors of a pure crate. `Instant` and `SocketAddr` are values and stay open.
pub(crate) const DOORS: &[Door] = &[
    ("io::Read", "bytes come in as slices"),
    ("io::Write", "bytes go out as actions"),
    ("TcpListener", "sockets live in net"),
    ("TcpStream", "sockets live in net"),
    ("UdpSocket", "sockets live in net"),
    ("UnixStream", "sockets live in net"),
    ("ToSocketAddrs", "names are resolved in net"),
    ("Instant::now", "time is an argument"),
    ("SystemTime::now", "wall-clock time is an argument"),
    ("RandomState", "randomness is an argument"),
    ("OsRng", "randomness is an argument"),
    ("thread_rng", "randomness is an argument"),
    ("std::env", "configuration is an argument"),
    ("std::fs", "files are read above"),
    ("std::process", "a library does not run or end processes"),
    ("std::thread", "the caller owns the threads"),
];

/// A door that one file may name, and why.
pub(crate) struct Exception {
    pub(crate) file: &'static str,
    pub(crate) door: &'static str,
    pub(crate) reason: &'static str,
}

/// A source file: its path in the workspace, and its text.
pub(crate) type File = (String, String);

/// Every Rust file below a folder of the workspace, in order.
pub(crate) fn files(root: &Path, folder: &str) -> Result<Vec<File>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).context(folder.clone())? {
            let entry = entry?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.ends_with(".rs") {
                found.push((path, fs::read_to_string(entry.path())?));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Rule three: no file names a door, but for the exceptions, and every exception is used.
pub(crate) fn check(files: &[File], doors: &[Door], exceptions: &[Exception]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut used = BTreeSet::new();
    let parsed: Vec<_> = files
        .iter()
        .map(|(path, text)| (path, without_tests(&tokens(text))))
        .collect();
    let test_modules: Vec<PathBuf> = parsed
        .iter()
        .flat_map(|(path, (_, modules))| modules.iter().map(|module| module_path(path, module)))
        .collect();
    for (path, (tokens, _)) in &parsed {
        let stem = Path::new(path.as_str()).with_extension("");
        if test_modules.iter().any(|module| stem.starts_with(module)) {
            continue;
        }
        for (line, segments) in paths(tokens) {
            for (door, why) in doors {
                let shut: Vec<&str> = door.split("::").collect();
                if !segments.windows(shut.len()).any(|part| part == shut) {
                    continue;
                }
                let is_this = |e: &Exception| e.file == path.as_str() && e.door == *door;
                if let Some(at) = exceptions.iter().position(is_this) {
                    used.insert(at);
                } else {
                    problems.push(format!(
                        "{path}:{line} names `{door}` in a pure crate: {why}"
                    ));
                }
            }
        }
    }
    for (at, exception) in exceptions.iter().enumerate() {
        if !used.contains(&at) {
            let Exception { file, door, reason } = exception;
            problems.push(format!("{file} no longer names `{door}` ({reason})"));
        }
    }
    problems
}

/// Where `mod name;` in a file leads, without the extension.
fn module_path(file: &str, name: &str) -> PathBuf {
    let file = Path::new(file).with_extension("");
    let is_root = file.ends_with("lib") || file.ends_with("main") || file.ends_with("mod");
    match file.parent() {
        Some(folder) if is_root => folder.join(name),
        _ => file.join(name),
    }
}

/// A line number with a word or a sign; `::` is one sign.
type Token<'a> = (usize, &'a str);

/// The words and signs of a source file, without comments, literals and lifetimes.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment_len(rest)
        } else if let Some(len) = string_len(rest) {
            len
        } else if first == '\'' {
            character_or_lifetime_len(rest)
        } else if is_word(first) {
            let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            found.push((line, &rest[..len]));
            len
        } else {
            let len = if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() {
                found.push((line, &rest[..len]));
            }
            len
        };
        line += rest[..len].matches('\n').count();
        rest = &rest[len..];
    }
    found
}

/// Block comments nest.
fn block_comment_len(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the string literal that starts here, prefix and hashes included, if one does.
fn string_len(text: &str) -> Option<usize> {
    let prefixes = ["br", "cr", "r", "b", "c", ""];
    let prefix = prefixes.iter().find(|prefix| {
        let after = text.strip_prefix(**prefix).unwrap_or_default();
        after.starts_with('"') || (prefix.ends_with('r') && after.starts_with('#'))
    })?;
    let after = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let body = after.trim_start_matches('#').strip_prefix('"')?;
        let closing = format!("\"{}", "#".repeat(after.len() - body.len() - 1));
        let end = body
            .find(&closing)
            .map_or(body.len(), |at| at + closing.len());
        return Some(text.len() - body.len() + end);
    }
    Some(prefix.len() + quoted_len(after, '"'))
}

/// From an opening quote to its closing one, minding escapes.
fn quoted_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    text.len()
}

/// `'a'` and `'\n'` are characters; `'a` alone is a lifetime.
fn character_or_lifetime_len(text: &str) -> usize {
    let mut after = text[1..].chars();
    let (first, second) = (after.next(), after.next());
    if first == Some('\\') || second == Some('\'') {
        return quoted_len(text, '\'');
    }
    let word = |c: char| c.is_alphanumeric() || c == '_';
    text[1..].find(|c| !word(c)).map_or(text.len(), |at| at + 1)
}

/// What is left when every item under `#[cfg(test)]` is cut out, and the names of such modules
/// that live in files of their own.
fn without_tests<'a>(tokens: &[Token<'a>]) -> (Vec<Token<'a>>, Vec<&'a str>) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut modules = Vec::new();
    let mut rest = tokens;
    while let Some((token, after)) = rest.split_first() {
        let is_mark = rest.len() >= MARK.len() && rest.iter().zip(MARK).all(|(t, m)| t.1 == m);
        if is_mark {
            let item = &rest[MARK.len()..];
            let (item, after) = item.split_at(item_len(item));
            if let [.., (_, "mod"), (_, name), (_, ";")] = item {
                modules.push(*name);
            }
            rest = after;
        } else {
            kept.push(*token);
            rest = after;
        }
    }
    (kept, modules)
}

/// An item ends with a semicolon or with the brace that closes its body.
fn item_len(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    for (at, (_, token)) in tokens.iter().enumerate() {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => return at,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth == 0 && *token == "}" {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Every path with the line it starts on; the trees of `use` are spelled out.
fn paths<'a>(tokens: &[Token<'a>]) -> Vec<(usize, Vec<&'a str>)> {
    let mut found = Vec::new();
    let mut rest = tokens;
    while let Some((_, first)) = rest.first() {
        let is_path = *first == "::" || first.starts_with(|c: char| c.is_alphabetic() || c == '_');
        rest = if is_path {
            path(rest, &[], &mut found)
        } else {
            &rest[1..]
        };
    }
    found
}

/// Reads one path and returns the tokens after it.
fn path<'a, 't>(
    mut rest: &'t [Token<'a>],
    prefix: &[&'a str],
    found: &mut Vec<(usize, Vec<&'a str>)>,
) -> &'t [Token<'a>] {
    let line = rest.first().map_or(0, |token| token.0);
    let mut segments = prefix.to_vec();
    while let [(_, token), after @ ..] = rest {
        match *token {
            "::" => {}
            "{" if segments.len() > prefix.len() => {
                return group(after, &segments, found);
            }
            word => segments.push(word),
        }
        rest = after;
        // A path goes on after a word only with `::`, and after `::` only with a word or a group.
        let goes_on = match (*token, rest.first()) {
            ("::", Some((_, next))) => {
                *next == "{" || next.starts_with(|c: char| c.is_alphabetic() || c == '_')
            }
            (_, Some((_, next))) => *next == "::",
            (_, None) => false,
        };
        if !goes_on {
            break;
        }
    }
    found.push((line, segments));
    rest
}

/// Reads the rest of `{a, b::{c, d}}` and returns the tokens after it.
fn group<'a, 't>(
    mut rest: &'t [Token<'a>],
    prefix: &[&'a str],
    found: &mut Vec<(usize, Vec<&'a str>)>,
) -> &'t [Token<'a>] {
    while let [(_, token), after @ ..] = rest {
        rest = match *token {
            "}" => return after,
            "," | "*" => after,
            _ => path(rest, prefix, found),
        };
    }
    rest
}

fn report(source: &str) -> Vec<String> {
    check(&[("x/src/lib.rs".into(), source.into())], DOORS, &[])
}

#[test]
fn a_door_is_found_however_it_is_spelled() {
    for (source, door) in [
        ("use std::net::TcpStream;", "TcpStream"),
        ("use std::{io, net::{IpAddr, UdpSocket}};", "UdpSocket"),
        ("use std::{collections::BTreeMap, fs};", "std::fs"),
        ("use ::std::thread;", "std::thread"),
        ("fn f() { let a = std::env::var(\"A\"); }", "std::env"),
        ("fn f() { g(Instant::now()) }", "Instant::now"),
        (
            "fn f() { std::time::SystemTime::now(); }",
            "SystemTime::now",
        ),
        ("fn f(n: fn() -> T) { f(Instant :: now) }", "Instant::now"),
        ("use std::io::{self, Read as _};", "io::Read"),
        ("fn f() { rand::thread_rng() }", "thread_rng"),
        ("#[cfg(any(test, unix))] use std::thread;", "std::thread"),
        ("#[cfg(test)] mod t { } use std::thread;", "std::thread"),
    ] {
        let problems = report(source);
        assert_eq!(problems.len(), 1, "{source}: {problems:?}");
        assert!(problems[0].contains(&format!("`{door}`")), "{problems:?}");
    }
}

#[test]
fn the_line_is_named() {
    let source = "/* one\n /* two */ */\nconst A: &str = \"\n\";\nfn f() { Instant::now() }";
    assert!(report(source)[0].starts_with("x/src/lib.rs:5 "));
}

#[test]
fn comments_strings_tests_and_values_name_no_door() {
    for source in [
        "//! std::thread and Instant::now\n/// std::fs\nfn f() {}",
        "/* std::fs /* std::env */ std::thread */ fn f() {}",
        "const A: &str = \"std::fs \\\" std::env\"; const B: &str = r#\"std::fs \" \"#;",
        "fn f<'std>(c: char) -> bool { c == '\"' || c == '\\'' || b'x' == b'\"' }",
        "use std::net::{IpAddr, SocketAddr}; use std::time::{Duration, Instant};",
        "fn f(now: Instant) -> io::Error { env!(\"CARGO_PKG_NAME\"); now.into() }",
        "#[cfg(test)]\nmod tests { use std::thread; fn f() { if a { Instant::now(); } } }",
        "#[cfg(test)] #[path = \"a.rs\"] use std::{fs, thread}; fn f(n: [u8; 4]) {}",
        "#[cfg(test)] pub(crate) fn at(n: [u8; 4]) -> T { std::time::Instant::now() }",
    ] {
        assert_eq!(report(source), [""; 0], "{source}");
    }
}

#[test]
fn a_test_module_in_a_file_of_its_own_is_left_out() {
    let door = "fn f() { Instant::now() }";
    let files = |parent: &str| {
        let texts = [parent, door, door];
        let names = ["x/src/a.rs", "x/src/a/tests.rs", "x/src/a/tests/more.rs"];
        names
            .iter()
            .zip(texts)
            .map(|(name, text)| ((*name).to_owned(), text.to_owned()))
            .collect::<Vec<File>>()
    };
    assert_eq!(
        check(&files("#[cfg(test)]\nmod tests;"), DOORS, &[]),
        [""; 0]
    );
    assert_eq!(check(&files("mod tests;"), DOORS, &[]).len(), 2);
}

#[test]
fn an_exception_covers_its_file_and_door_and_must_be_used() {
    let exceptions = [Exception {
        file: "x/src/lib.rs",
        door: "std::fs",
        reason: "to read the map",
    }];
    let check = |source: &str| {
        let files = [("x/src/lib.rs".to_owned(), source.to_owned())];
        check(&files, DOORS, &exceptions)
    };
    assert_eq!(check("use std::fs;"), [""; 0]);
    assert!(check("use std::{env, fs};")[0].contains("`std::env`"));
    assert!(check("")[0].contains("no longer names `std::fs` (to read the map)"));
}
