//! The layers of `docs/architecture.md`, proved on the real workspace.
//!
//! Four rules, each a function of plain data. For each, one test applies it to this workspace, and
//! another to a small made-up one that breaks it, so that a rule that can no longer fail is noticed.
//!
//! | rule | reads |
//! |---|---|
//! | every package has a room, and its dependencies stay within the room's "may use" | `cargo metadata` |
//! | a pure crate reaches no runtime, socket, clock or entropy source | `cargo tree`, one pure crate at a time |
//! | the source of a pure crate names none of those doors | [`source`] |
//! | a `clippy.toml` in a package only opens the doors that IO needs | the files |
//!
//! The clippy lints say more about the third rule (they know types), but an attribute can wave them
//! through; this test has one list of exceptions, below.

#[path = "layers/source.rs"]
mod source;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use source::Exception;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    L0,
    L1,
    L2,
    L3,
    L4,
    /// The simulator: beside the stack, above what it simulates; the command line runs it.
    Side,
    /// The library and the command line.
    Top,
    /// Not part of peerage: builds and checks it, and serves its tests.
    Tool,
}

impl Layer {
    /// Names no async runtime, no socket, no clock and no entropy source.
    fn is_pure(self) -> bool {
        self <= Self::L2
    }
}

/// A package's place, and which packages of the workspace it may depend on.
#[derive(Clone, Copy)]
struct Room {
    package: &'static str,
    layer: Layer,
    may_use: &'static [MayUse],
}

#[derive(Clone, Copy, Debug)]
enum MayUse {
    /// Every package from L0 up to this layer.
    UpTo(Layer),
    /// This package.
    Only(&'static str),
}

use Layer::{L0, L1, L2, L3, L4, Side, Tool, Top};
use MayUse::{Only, UpTo};

/// The one table. A new package gets a line here, and in `docs/architecture.md`.
const ROOMS: &[Room] = &[
    room("peerage-core", L0, &[]),
    room("peerage-discv5", L1, &[Only("peerage-core")]),
    room("peerage-ethereum", L1, &[Only("peerage-core")]),
    room("peerage-verack", L1, &[Only("peerage-core")]),
    room("peerage-matcher", L1, &[Only("peerage-core")]),
    room("peerage-nat", L1, &[Only("peerage-core")]),
    room("peerage-book", L2, &[Only("peerage-core")]),
    room("peerage-peers", L2, &[Only("peerage-core")]),
    room(
        "peerage-customs",
        L2,
        &[UpTo(L1), Only("peerage-book"), Only("peerage-peers")],
    ),
    room("peerage-net", L3, &[UpTo(L0)]),
    room("peerage-find", L3, &[UpTo(L1), Only("peerage-net")]),
    room(
        "peerage-outside",
        L3,
        &[Only("peerage-core"), Only("peerage-nat")],
    ),
    room(
        "peerage-inproxy",
        L3,
        &[UpTo(L1), Only("peerage-net"), Only("peerage-outside")],
    ),
    room(
        "peerage-store",
        L3,
        &[Only("peerage-core"), Only("peerage-book")],
    ),
    room("peerage-node", L4, &[UpTo(L3)]),
    room("peerage", Top, &[UpTo(L4)]),
    room("peerage-sim", Side, &[UpTo(L2)]),
    room("peerage-api", Top, &[Only("peerage")]),
    room(
        "peerage-cli",
        Top,
        &[Only("peerage"), Only("peerage-api"), Only("peerage-sim")],
    ),
    room("peerage-testkit", Tool, &[]),
    room("xtask", Tool, &[]),
];

const fn room(package: &'static str, layer: Layer, may_use: &'static [MayUse]) -> Room {
    Room {
        package,
        layer,
        may_use,
    }
}

/// What a pure crate must not reach, by package name, and what each would bring in.
const SHUT: &[(&str, &str)] = &[
    ("async-executor", "an async runtime"),
    ("async-global-executor", "an async runtime"),
    ("async-std", "an async runtime"),
    ("futures-executor", "an async runtime"),
    ("smol", "an async runtime"),
    ("tokio", "an async runtime"),
    ("async-io", "sockets"),
    ("mio", "sockets"),
    ("nix", "sockets and clocks"),
    ("polling", "sockets"),
    ("quinn", "sockets"),
    ("quinn-udp", "sockets"),
    ("socket2", "sockets"),
    ("chrono", "a clock"),
    ("coarsetime", "a clock"),
    ("futures-timer", "a clock"),
    ("instant", "a clock"),
    ("jiff", "a clock"),
    ("quanta", "a clock"),
    ("time", "a clock"),
    ("web-time", "a clock"),
    ("fastrand", "an entropy source"),
    ("getrandom", "an entropy source"),
    ("rand", "an entropy source"),
];

/// Where the source of a pure crate may name a door after all. An entry no longer needed fails.
const EXCEPTIONS: &[Exception] = &[
    Exception {
        file: "crates/core/src/blocking.rs",
        door: "io::Read",
        reason: "the blocking driver is generic over it and is handed its clock",
    },
    Exception {
        file: "crates/core/src/blocking.rs",
        door: "io::Write",
        reason: "the blocking driver is generic over it and is handed its clock",
    },
];

/// A package of the workspace, as `cargo metadata` tells it.
struct Package {
    name: String,
    /// Its folder, relative to the workspace.
    folder: String,
    /// What it depends on outside its tests, optional dependencies included.
    uses: Vec<String>,
}

#[test]
fn every_dependency_stays_within_its_room() {
    let packages = workspace().unwrap();
    assert_none(&check_rooms(ROOMS, &packages));
}

#[test]
fn a_pure_crate_reaches_no_runtime_socket_clock_or_entropy() {
    for package in pure_packages().unwrap() {
        let tree = dependency_tree(&package.name).unwrap();
        assert!(tree.contains(&package.name), "an empty tree:\n{tree}");
        assert_none(&check_reach(&tree, SHUT));
    }
}

#[test]
fn the_source_of_a_pure_crate_names_no_shut_door() {
    let mut files = Vec::new();
    for package in pure_packages().unwrap() {
        let folder = format!("{}/src", package.folder);
        let found = source::files(&root(), &folder).unwrap();
        assert!(!found.is_empty(), "no source below {folder}");
        files.extend(found);
    }
    assert_none(&source::check(&files, source::DOORS, EXCEPTIONS));
}

#[test]
fn clippy_files_only_open_the_doors_that_io_needs() {
    let strict = fs::read_to_string(root().join("clippy.toml")).unwrap();
    let mut problems = Vec::new();
    for package in workspace().unwrap() {
        let path = format!("{}/clippy.toml", package.folder);
        let pure = layer_of(ROOMS, &package.name).is_some_and(Layer::is_pure);
        match fs::read_to_string(root().join(&path)) {
            Ok(own) => problems.extend(check_clippy_file(&strict, &path, &own, pure)),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{path}"),
        }
    }
    assert_none(&problems);
}

/// Rule one: every package is in the table and uses only what its line allows.
fn check_rooms(rooms: &[Room], packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for package in packages {
        let Some(from) = rooms.iter().find(|room| room.package == package.name) else {
            problems.push(format!(
                "{} has no room: give it a layer in xtask/tests/layers.rs and docs/architecture.md",
                package.name
            ));
            continue;
        };
        for used in &package.uses {
            // What is not in the table is either foreign or reported above.
            let Some(to) = rooms.iter().find(|room| room.package == used) else {
                continue;
            };
            let allowed = from.may_use.iter().any(|may| match may {
                UpTo(layer) => to.layer <= *layer,
                Only(name) => *name == to.package,
            });
            if !allowed {
                let direction = match to.layer.cmp(&from.layer) {
                    std::cmp::Ordering::Greater => "upwards",
                    std::cmp::Ordering::Equal => "sideways",
                    std::cmp::Ordering::Less => "down into a room it has no business in",
                };
                problems.push(format!(
                    "{} ({:?}) -> {} ({:?}) points {direction}; {} may use {}",
                    from.package,
                    from.layer,
                    to.package,
                    to.layer,
                    from.package,
                    match from.may_use {
                        [] => "no other room".to_owned(),
                        may_use => format!("{may_use:?}"),
                    }
                ));
            }
        }
    }
    problems
}

/// Rule two: nothing in the tree is on the list. `tree` is what `cargo tree --prefix depth` prints,
/// and its first line is the pure crate.
fn check_reach(tree: &str, shut: &[(&str, &str)]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut arrows: Vec<&str> = Vec::new();
    for line in tree.lines() {
        let name_at = line.find(|c: char| !c.is_ascii_digit());
        let (depth, rest) = line.split_at(name_at.unwrap_or(line.len()));
        let (Ok(depth), Some(name)) = (depth.parse::<usize>(), rest.split(' ').next()) else {
            continue;
        };
        arrows.truncate(depth);
        arrows.push(name);
        if let Some((_, what)) = shut.iter().find(|(crate_name, _)| *crate_name == name) {
            problems.push(format!(
                "{} is pure and must not reach {what}: {}",
                arrows[0],
                arrows.join(" -> ")
            ));
        }
    }
    problems
}

/// Rule four: a package's file is the strict one without the lines that IO opens, and a pure crate
/// has no file of its own. Comments do not count.
fn check_clippy_file(strict: &str, path: &str, own: &str, pure: bool) -> Vec<String> {
    if pure {
        return vec![format!("{path}: a pure crate obeys the root clippy.toml")];
    }
    let mut opened = false;
    let mut expected = Vec::new();
    for line in strict.lines().map(str::trim) {
        match line {
            "# Open where IO is done." => opened = true,
            "]" => opened = false,
            _ => {}
        }
        if !opened {
            expected.push(line);
        }
    }
    let settings = |lines: Vec<&str>| -> Vec<String> {
        let is_setting = |line: &&str| !line.is_empty() && !line.starts_with('#');
        let lines = lines.into_iter().filter(is_setting);
        lines.map(str::to_owned).collect()
    };
    let expected = settings(expected);
    let own = settings(own.lines().map(str::trim).collect());
    let missing = expected.iter().filter(|line| !own.contains(line));
    let extra = own.iter().filter(|line| !expected.contains(line));
    missing
        .map(|line| format!("{path} lacks a line of the root clippy.toml: {line}"))
        .chain(extra.map(|line| format!("{path} has a line the IO crates do not share: {line}")))
        .collect()
}

fn layer_of(rooms: &[Room], package: &str) -> Option<Layer> {
    let room = rooms.iter().find(|room| room.package == package)?;
    Some(room.layer)
}

#[track_caller]
fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n  {}\n", problems.join("\n  "));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn pure_packages() -> Result<Vec<Package>> {
    let mut packages = workspace()?;
    packages.retain(|package| layer_of(ROOMS, &package.name).is_some_and(Layer::is_pure));
    ensure!(!packages.is_empty(), "no pure crate found");
    Ok(packages)
}

/// The packages of this workspace. Declared dependencies are enough for the arrows, so nothing is
/// resolved, and packages of other platforms need not be on this machine.
fn workspace() -> Result<Vec<Package>> {
    let metadata = cargo("metadata --format-version 1 --no-deps --offline --locked")?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let root = text(&metadata["workspace_root"]).context("no workspace root")?;
    let mut packages = Vec::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        let name = text(&package["name"]).context("a package without a name")?;
        let manifest = text(&package["manifest_path"]).context("a package without a manifest")?;
        let folder = Path::new(&manifest).parent().context("no folder")?;
        let folder = folder.strip_prefix(&root)?.display().to_string();
        let declared = package["dependencies"].as_array().context("no list")?;
        let uses = declared
            .iter()
            .filter(|dependency| dependency["kind"] != "dev")
            .filter_map(|dependency| text(&dependency["name"]))
            .collect();
        packages.push(Package { name, folder, uses });
    }
    Ok(packages)
}

/// Everything a package links, on its own: with all of its features, but without those that other
/// packages of the workspace switch on in shared dependencies. Macros run at compile time only.
/// Not `--offline`: an optional dependency may never have been built here.
fn dependency_tree(package: &str) -> Result<String> {
    cargo(&format!(
        "tree --package {package} --all-features --edges normal,no-proc-macro --no-dedupe \
         --prefix depth --format {{p}} --locked"
    ))
}

fn cargo(args: &str) -> Result<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(args.split_whitespace())
        .current_dir(root())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo {args}: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}

// From here on: each rule fails when it should.

fn package(name: &str, uses: &[&str]) -> Package {
    Package {
        name: name.to_owned(),
        folder: format!("crates/{name}"),
        uses: uses.iter().map(|&name| name.to_owned()).collect(),
    }
}

#[track_caller]
fn assert_one(problems: &[String], parts: &[&str]) {
    assert_eq!(problems.len(), 1, "{problems:?}");
    for part in parts {
        assert!(problems[0].contains(part), "{part:?} in {:?}", problems[0]);
    }
}

#[test]
fn the_table_has_each_package_once_and_no_line_points_up() {
    let mut seen = BTreeMap::new();
    for room in ROOMS {
        assert!(
            seen.insert(room.package, room.layer).is_none(),
            "{} twice",
            room.package
        );
    }
    for room in ROOMS {
        for may in room.may_use {
            let below = match may {
                UpTo(layer) => *layer < room.layer,
                Only(name) => seen[name] <= room.layer && *name != room.package,
            };
            assert!(below, "{} may use {may:?}", room.package);
        }
    }
}

#[test]
fn a_package_without_a_room_is_reported() {
    let problems = check_rooms(ROOMS, &[package("peerage-attic", &[])]);
    assert_one(&problems, &["peerage-attic has no room"]);
}

#[test]
fn an_arrow_upwards_is_reported() {
    let problems = check_rooms(ROOMS, &[package("peerage-verack", &["peerage-net"])]);
    assert_one(
        &problems,
        &["peerage-verack (L1) -> peerage-net (L3) points upwards"],
    );
}

#[test]
fn an_arrow_sideways_is_reported_unless_the_table_has_it() {
    let problems = check_rooms(ROOMS, &[package("peerage-book", &["peerage-peers"])]);
    assert_one(&problems, &["points sideways", "may use"]);
    assert_none(&check_rooms(
        ROOMS,
        &[package("peerage-find", &["peerage-net"])],
    ));
}

#[test]
fn an_arrow_down_past_its_own_room_is_reported() {
    for (from, to) in [
        ("peerage-net", "peerage-verack"),
        ("peerage-cli", "peerage-net"),
        ("peerage-book", "peerage-discv5"),
    ] {
        let problems = check_rooms(ROOMS, &[package(from, &["tokio", to])]);
        assert_one(&problems, &[from, to, "no business in"]);
    }
}

#[test]
fn reaching_a_shut_crate_is_reported_with_the_way_to_it() {
    let tree = "\
0peerage-book v0.1.0 (/here/crates/book)
1bytes v1.0.0
1clever v0.2.0
2rand_core v0.10.0
2getrandom v0.4.0
1siphasher v1.0.0
";
    assert_one(
        &check_reach(tree, SHUT),
        &[
            "peerage-book is pure",
            "an entropy source",
            "peerage-book -> clever -> getrandom",
        ],
    );
}

#[test]
fn a_clippy_file_that_opens_more_than_io_needs_is_reported() {
    let strict = "\
limit = 7
methods = [
    # Shut everywhere.
    unbounded
    # Open where IO is done.
    clock
]
";
    let check = |own, pure| check_clippy_file(strict, "crates/x/clippy.toml", own, pure);
    assert_none(&check(
        "# IO\nlimit = 7\nmethods = [\n  unbounded\n]\n",
        false,
    ));
    assert_one(&check("limit = 7\nmethods = [\n]\n", false), &["unbounded"]);
    let looser = check("limit = 9\nmethods = [\nunbounded\n]\n", false);
    assert_eq!(looser.len(), 2, "{looser:?}");
    assert_one(&check(strict, true), &["a pure crate obeys the root"]);
}
