//! `peerage decode frame`: one message taken apart.

use std::io::Read;

use peerage::Tables;
use peerage::networks::{AnyNode, ExplainError, Explained, Setup};
use serde_json::{Map, Value, json};

use crate::args::NetworkArg;
use crate::output::{Exit, Failed, Out, Tone, misused, usage};

/// The most bytes of input; one message of the largest kind in hexadecimal.
const MAX_INPUT: u64 = 2 * (32 * 1024 * 1024 + 24) + 1024;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 if the message is sound, 1 if not; --json then gives error.kind and error.offset.

Example:
  peerage decode frame -n zcash 24e9276476657261636b000000000000000000005df6e0e2"
)]
pub(super) struct Args {
    /// The network.
    #[arg(short, long, value_name = "NETWORK")]
    network: NetworkArg,

    /// The chain of the network.
    #[arg(long, default_value = "mainnet")]
    chain: String,

    /// The protocol version that the peers agreed on; ours when not given.
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,

    /// One JSON object.
    #[arg(long)]
    json: bool,

    /// The bytes in hexadecimal, white space ignored; read from stdin when not given.
    #[arg(value_name = "HEX")]
    hex: Option<String>,
}

pub(super) fn run(args: &Args, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    let setup = Setup {
        tables: tables.clone(),
        ..Setup::new(&args.chain)
    };
    let node = args.network.0.node(&setup).map_err(usage)?;
    let text = match &args.hex {
        Some(hex) => hex.clone(),
        None => from_stdin()?,
    };
    let frame = match bytes(&text) {
        Ok(frame) => frame,
        Err(error) => {
            show_error(out, args, &*node, &error)?;
            return Ok(Exit::No);
        }
    };
    let explained = node.explain(args.version, &frame);
    if args.json {
        out.json("frame", frame_json(&*node, &explained))?;
    } else {
        in_words(out, &*node, &explained)?;
    }
    Ok(if explained.error.is_none() {
        Exit::Yes
    } else {
        Exit::No
    })
}

fn from_stdin() -> Result<String, Failed> {
    let mut text = String::new();
    std::io::stdin().take(MAX_INPUT).read_to_string(&mut text)?;
    if text.trim().is_empty() {
        return Err(misused(
            "no bytes: give them in hexadecimal as an argument or on stdin",
        ));
    }
    Ok(text)
}

/// Hexadecimal to bytes, white space ignored.
fn bytes(text: &str) -> Result<Vec<u8>, ExplainError> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let not_hex = |offset, message: String| ExplainError {
        kind: "not_hex",
        offset,
        message,
    };
    hex::decode(&digits).map_err(|error| match error {
        hex::FromHexError::InvalidHexCharacter { c, index } => not_hex(
            index / 2,
            format!("{:?} at digit {index} is no hexadecimal digit", c),
        ),
        hex::FromHexError::OddLength => {
            not_hex(digits.len() / 2, "the last byte has only one digit".into())
        }
        other @ hex::FromHexError::InvalidStringLength => not_hex(0, other.to_string()),
    })
}

fn show_error(
    out: &mut Out,
    args: &Args,
    node: &dyn AnyNode,
    error: &ExplainError,
) -> Result<(), Failed> {
    if args.json {
        let body = json!({
            "network": node.network().0,
            "chain": node.chain(),
            "command": null,
            "payload_len": null,
            "fields": {},
            "canonical": false,
            "error": error_json(error),
        });
        out.json("frame", body)?;
    } else {
        let text = out.tone(
            Tone::Bad,
            format!("{} at byte {}: {}", error.kind, error.offset, error.message),
        );
        out.line(text)?;
    }
    Ok(())
}

fn frame_json(node: &dyn AnyNode, explained: &Explained) -> Value {
    json!({
        "network": node.network().0,
        "chain": node.chain(),
        "command": explained.command,
        "payload_len": explained.payload_len,
        "fields": fields_json(explained),
        "layout": explained.fields.iter().map(|field| json!({
            "field": field.path,
            "offset": field.offset,
            "len": field.len,
            "meaning": field.meaning,
        })).collect::<Vec<_>>(),
        "canonical": explained.canonical,
        "error": explained.error.as_ref().map(error_json),
    })
}

/// The fields of a message by their names, numbers as numbers; groups and lists become objects and
/// arrays.
pub(crate) fn fields_json(explained: &Explained) -> Value {
    let mut root = Map::new();
    for field in &explained.fields {
        // JSON numbers are exact up to 2^53 in most readers; larger ones are given as text.
        let value = match field.number {
            Some(number) if !field.value.starts_with("0x") && number.abs() < 1 << 53 => {
                i64::try_from(number).map_or_else(|_| json!(field.value), |number| json!(number))
            }
            Some(_) | None => json!(field.value),
        };
        insert(&mut root, &field.path, value);
    }
    Value::Object(root)
}

/// Puts a value at `name`, `group.name` or `list[3].name`.
fn insert(root: &mut Map<String, Value>, path: &str, value: Value) {
    let Some((group, name)) = path.split_once('.') else {
        root.insert(path.to_owned(), value);
        return;
    };
    let place = match group.split_once('[') {
        None => root.entry(group).or_insert_with(|| json!({})),
        Some((list, index)) => {
            let index: usize = index.trim_end_matches(']').parse().unwrap_or_default();
            let Value::Array(entries) = root.entry(list).or_insert_with(|| json!([])) else {
                return;
            };
            if entries.len() == index {
                entries.push(json!({}));
            }
            let Some(entry) = entries.get_mut(index) else {
                return;
            };
            entry
        }
    };
    if let Value::Object(fields) = place {
        fields.insert(name.to_owned(), value);
    }
}

/// An error as JSON.
pub(crate) fn error_json(error: &ExplainError) -> Value {
    json!({ "kind": error.kind, "offset": error.offset, "message": error.message })
}

fn in_words(out: &mut Out, node: &dyn AnyNode, explained: &Explained) -> Result<(), Failed> {
    let command = explained.command.as_deref().unwrap_or("(no message)");
    let len = explained
        .payload_len
        .map_or_else(String::new, |len| format!(", {len} bytes of payload"));
    let canonical = match (&explained.error, explained.canonical) {
        (Some(_), _) => "",
        (None, true) => ", canonical",
        (None, false) => ", not as we would encode it",
    };
    let title = format!(
        "{} {}  {command}{len}{canonical}",
        node.network(),
        node.chain()
    );
    let title = out.tone(Tone::Strong, title);
    out.line(title)?;
    for field in &explained.fields {
        let meaning = field
            .meaning
            .as_ref()
            .map_or_else(String::new, |text| format!("  — {text}"));
        out.line(
            format!(
                "  {:>6} {:<22} {}{meaning}",
                field.offset, field.path, field.value
            )
            .trim_end(),
        )?;
    }
    if let Some(error) = &explained.error {
        let text = format!("  {:>6} {}: {}", error.offset, error.kind, error.message);
        let text = out.tone(Tone::Bad, text);
        out.line(text)?;
    }
    Ok(())
}
