//! What counts, and by whose word.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;
use peerage::Tables;
use peerage::node::store::Realm;
use serde_json::{Value, json};
use toml::de::{DeTable, DeValue};

use super::command::{ShowArgs, key_file};
use super::keys::{KEYS, OVER};
use super::{Layer, STATUS, Settings, Winner, layers};
use crate::output::{Exit, Failed, Out};
use crate::serve::api::TlsFiles;
use crate::serve::config::place;
use crate::serve::level::{Format, Level};
use crate::serve::plan::{Keys, NodePlan, from_layers};
use crate::serve::start::customary;

/// By whose word something counts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Flag(&'static str),
    Variable(&'static str),
    File(PathBuf, usize),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::File(path, line) => write!(f, "file {}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Origin {
    fn json(&self) -> Value {
        match self {
            Self::Flag(flag) => json!({ "kind": "flag", "name": flag }),
            Self::Variable(name) => json!({ "kind": "variable", "name": name }),
            Self::File(path, line) => json!({ "kind": "file", "file": path, "line": line }),
            Self::Default => json!({ "kind": "default" }),
        }
    }

    /// Who speaks over the files for this key.
    fn over(key: &str, matches: Option<&ArgMatches>) -> Self {
        let Some((_, flag, variable)) = OVER.iter().find(|(name, _, _)| *name == key) else {
            return Self::Default;
        };
        let id = flag.trim_start_matches('-').replace('-', "_");
        let given = |id: &str| {
            let source = matches.and_then(|matches| matches.value_source(id));
            source == Some(ValueSource::CommandLine)
        };
        match key {
            "log.level" if given("verbose") => Self::Flag("--verbose"),
            "log.level" if given("quiet") => Self::Flag("--quiet"),
            _ if given(&id) => Self::Flag(flag),
            _ => Self::Variable(variable),
        }
    }
}

/// The value at a path in a file, and its line.
fn find(layer: &Layer, node: Option<usize>, path: &str) -> Option<(Value, usize)> {
    let root = DeTable::parse(&layer.source.text).ok()?;
    let mut table = root.get_ref();
    if let Some(at) = node {
        let nodes = table.get("node")?.get_ref().as_array()?;
        table = nodes.get(at)?.get_ref().as_table()?;
    }
    let mut names = path.split('.').peekable();
    loop {
        let name = names.next()?;
        let (key, value) = table.get_key_value(name)?;
        if names.peek().is_some() {
            table = value.get_ref().as_table()?;
            continue;
        }
        let (line, _) = place(&layer.source.text, key.span().start);
        return Some((json_of(value.get_ref()), line));
    }
}

fn json_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            match i64::from_str_radix(&digits, number.radix()) {
                Ok(number) => json!(number),
                Err(_) => json!(number.as_str()),
            }
        }
        DeValue::Float(number) => json!(number.as_str()),
        DeValue::Boolean(value) => json!(value),
        DeValue::Datetime(at) => json!(at.to_string()),
        DeValue::Array(list) => list.iter().map(|one| json_of(one.get_ref())).collect(),
        DeValue::Table(table) => {
            let fields = table.iter();
            let fields =
                fields.map(|(key, value)| (key.get_ref().to_string(), json_of(value.get_ref())));
            Value::Object(fields.collect())
        }
    }
}

/// What counts where nothing is said.
fn default_of(key: &str, plan: &NodePlan, data: &Path) -> Value {
    let limits = customary(plan.network.network());
    let discovery = plan.discovery.as_ref();
    match key {
        "chain" => json!(plan.setup.chain),
        "listen" => plan.listen.iter().map(|at| json!(at.to_string())).collect(),
        "key" => json!(data.join("node.key")),
        "isolated" | "outside.map_ports" => json!(false),
        "local" => json!(plan.local),
        "capabilities" | "static" | "trusted" | "bans" | "seeds.dns" | "seeds.https"
        | "seeds.peers" | "outside.external" | "outside.stun" => json!([]),
        "limits.inbound" => json!(limits.map(|limits| limits.active_in)),
        "limits.outbound" => json!(limits.map(|limits| limits.active_out)),
        "seeds.table" => json!(true),
        "discovery.on" => json!(discovery.is_some()),
        "discovery.bind" => match discovery {
            Some(_) => plan.listen.iter().map(|at| json!(at.to_string())).collect(),
            None => json!([]),
        },
        _ => Value::Null,
    }
}

/// One setting.
struct Line<'a> {
    realm: Option<&'a Realm>,
    key: &'static str,
    value: Value,
    origin: Origin,
}

pub(super) fn show(
    args: &ShowArgs,
    matches: Option<&ArgMatches>,
    tables: &Tables,
    out: &mut Out,
) -> Result<Exit, Failed> {
    let layers = layers(args.over.config.as_deref())?;
    let settings = Settings::of(&args.over, &layers);
    let data = settings.folder()?;
    let status = format!("{:?}", settings.status.0.unwrap_or(STATUS));
    let level = settings.level.0.unwrap_or(Level::Info);
    let format = settings.format.0.unwrap_or(Format::Text);
    let of_tls = |of: fn(&TlsFiles) -> &PathBuf| json!(settings.tls.0.as_ref().map(of));
    for (key, value, winner) in [
        ("data", json!(data), settings.data.1),
        ("status", json!(status), settings.status.1),
        ("log.level", json!(level.to_string()), settings.level.1),
        ("log.format", json!(format.to_string()), settings.format.1),
        ("api.grpc", json!(settings.grpc.0), settings.grpc.1),
        ("api.http", json!(settings.http.0), settings.http.1),
        (
            "api.token_file",
            json!(settings.token_file.0),
            settings.token_file.1,
        ),
        ("api.tls.cert", of_tls(|tls| &tls.cert), settings.tls.1),
        ("api.tls.key", of_tls(|tls| &tls.key), settings.tls.1),
        (
            "api.tls.client_ca",
            of_tls(|tls| &tls.client_ca),
            settings.tls.1,
        ),
    ] {
        let origin = match winner {
            Winner::Over => Origin::over(key, matches),
            Winner::Layer(at) => of_file(&layers[at], find(&layers[at], None, key)),
            Winner::Default => Origin::Default,
        };
        let realm = None;
        tell(
            args,
            out,
            &Line {
                realm,
                key,
                value,
                origin,
            },
        )?;
    }
    let Winner::Layer(at) = settings.nodes.1 else {
        return Ok(Exit::Yes);
    };
    let given = key_file();
    let plan = from_layers(
        &args.over,
        &layers,
        tables,
        (Keys::Passing, given.as_deref()),
    )?;
    for (number, node) in plan.nodes.iter().enumerate() {
        let realm = node.realm();
        for (key, whole) in KEYS
            .iter()
            .filter_map(|key| Some((key.of_node()?, key.name)))
        {
            let found = find(&layers[at], Some(number), key);
            let (value, origin) = match found {
                Some((value, line)) => (value, Origin::File(layers[at].source.path.clone(), line)),
                None => match &given {
                    Some(file) if key == "key" => {
                        (json!(file), Origin::Variable("PEERAGE_KEY_FILE"))
                    }
                    _ => (default_of(key, node, &data), Origin::Default),
                },
            };
            let (realm, key) = (Some(&realm), whole);
            tell(
                args,
                out,
                &Line {
                    realm,
                    key,
                    value,
                    origin,
                },
            )?;
        }
    }
    Ok(Exit::Yes)
}

fn of_file(layer: &Layer, found: Option<(Value, usize)>) -> Origin {
    let line = found.map_or(1, |(_, line)| line);
    Origin::File(layer.source.path.clone(), line)
}

fn tell(args: &ShowArgs, out: &mut Out, line: &Line<'_>) -> Result<(), Failed> {
    let Line {
        realm,
        key,
        value,
        origin,
    } = line;
    if args.json {
        let mut body = json!({ "key": key, "value": value, "origin": origin.json() });
        if let (Some(realm), Value::Object(fields)) = (realm, &mut body) {
            fields.insert("network".into(), json!(&*realm.network));
            fields.insert("chain".into(), json!(&*realm.chain));
        }
        out.json("setting", body)?;
        return Ok(());
    }
    let key = match (realm, key.strip_prefix("node.")) {
        (Some(realm), Some(key)) => format!("{realm}: {key}"),
        _ => (*key).to_owned(),
    };
    let value = if value.is_null() {
        "-".to_owned()
    } else {
        value.to_string()
    };
    let origin = if args.origin {
        format!("{origin}\t")
    } else {
        String::new()
    };
    out.line(format!("{origin}{key} = {value}"))?;
    Ok(())
}
