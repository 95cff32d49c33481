//! The dialogue on the wire, every field explained: the thing to attach to a bug report.

use std::time::Duration;

use peerage::net::Chunk;
use peerage::networks::{AnyNode, Explained};
use peerage::{Direction, Probe};
use serde_json::json;

use crate::decode::{error_json, fields_json};
use crate::output::{Failed, Out, Tone, millis_json};

/// How many bytes of hexadecimal stand in one line.
const BYTES_A_LINE: usize = 32;

/// The most bytes of one message that are shown in text; JSON has them all.
const MAX_SHOWN: usize = 1024;

/// One message of the dialogue.
struct Line {
    direction: Direction,
    /// When its last byte went by, since the start.
    at: Duration,
    /// Offset of its first byte in its own direction, in bytes.
    offset: usize,
    bytes: Vec<u8>,
    explained: Explained,
}

/// The messages of both directions, in the order in which they were complete.
fn lines(node: &dyn AnyNode, chunks: &[Chunk], version: Option<u32>) -> Vec<Line> {
    let mut lines: Vec<Line> = [Direction::Outbound, Direction::Inbound]
        .into_iter()
        .flat_map(|direction| one_way(node, chunks, direction, version))
        .collect();
    // Stable, so that messages of one direction keep their order.
    lines.sort_by_key(|line| line.at);
    lines
}

fn one_way(
    node: &dyn AnyNode,
    chunks: &[Chunk],
    direction: Direction,
    version: Option<u32>,
) -> Vec<Line> {
    let ours = chunks.iter().filter(|chunk| chunk.direction == direction);
    let mut stream = Vec::new();
    let mut ends = Vec::new();
    for chunk in ours {
        stream.extend_from_slice(&chunk.bytes);
        ends.push((stream.len(), chunk.at));
    }
    let frames = node.explain_stream(version, &stream);
    let starts: Vec<usize> = frames.iter().map(|(offset, _)| *offset).collect();
    let line = |(index, (offset, explained)): (usize, (usize, Explained))| {
        let end = starts.get(index + 1).copied().unwrap_or(stream.len());
        let at = ends
            .iter()
            .find(|(upto, _)| *upto >= end)
            .map_or(Duration::ZERO, |(_, at)| *at);
        Line {
            direction,
            at,
            offset,
            bytes: stream[offset..end].to_vec(),
            explained,
        }
    };
    frames.into_iter().enumerate().map(line).collect()
}

fn recorded(node: &dyn AnyNode, probe: &Probe) -> (Vec<Line>, bool) {
    let Some(tape) = &probe.tape else {
        return (Vec::new(), false);
    };
    let (chunks, cut) = tape.recorded();
    let version = probe.facts.as_ref().map(|facts| facts.negotiated);
    (lines(node, &chunks, version), cut)
}

const fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::Outbound => "→",
        Direction::Inbound => "←",
    }
}

/// The dialogue for people.
pub(crate) fn in_words(out: &mut Out, node: &dyn AnyNode, probe: &Probe) -> Result<(), Failed> {
    let (lines, cut) = recorded(node, probe);
    out.line("  → we send, ← they send; time since the start, offset in its direction")?;
    for line in &lines {
        let command = line.explained.command.as_deref().unwrap_or("(no message)");
        let title = format!(
            "  {} {:>10.3} ms  @{:<6} {command}, {} bytes",
            arrow(line.direction),
            line.at.as_secs_f64() * 1e3,
            line.offset,
            line.bytes.len()
        );
        let title = out.tone(Tone::Strong, title);
        out.line(title)?;
        envelope(out, line)?;
        for field in &line.explained.fields {
            let meaning = field
                .meaning
                .as_ref()
                .map_or_else(String::new, |text| format!("  — {text}"));
            let text = format!(
                "    {:>5} {:<22} {}{meaning}",
                field.offset, field.path, field.value
            );
            out.line(text.trim_end())?;
        }
        if let Some(error) = &line.explained.error {
            let text = format!("    {:>5} {}: {}", error.offset, error.kind, error.message);
            let text = out.tone(Tone::Bad, text);
            out.line(text)?;
        }
        hex_dump(out, &line.bytes)?;
    }
    if cut {
        out.line("  the rest was cut off")?;
    }
    Ok(())
}

/// The envelope's own fields, as far as they are there.
fn envelope(out: &mut Out, line: &Line) -> Result<(), Failed> {
    if line.explained.frame_len.is_none() || line.bytes.len() < 24 {
        return Ok(());
    }
    let declared = line.explained.payload_len.unwrap_or_default();
    let rows = [
        (
            0,
            "magic",
            hex::encode(&line.bytes[..4]),
            format!("{} {}", "this chain's", "magic"),
        ),
        (
            4,
            "command",
            line.explained.command.clone().unwrap_or_default(),
            String::new(),
        ),
        (
            16,
            "length",
            declared.to_string(),
            "bytes of payload".into(),
        ),
        (
            20,
            "checksum",
            hex::encode(&line.bytes[20..24]),
            String::new(),
        ),
    ];
    for (offset, name, value, meaning) in rows {
        let meaning = if meaning.is_empty() {
            meaning
        } else {
            format!("  — {meaning}")
        };
        out.line(format!("    {offset:>5} {name:<22} {value}{meaning}"))?;
    }
    Ok(())
}

fn hex_dump(out: &mut Out, bytes: &[u8]) -> Result<(), Failed> {
    for (index, row) in bytes[..bytes.len().min(MAX_SHOWN)]
        .chunks(BYTES_A_LINE)
        .enumerate()
    {
        let text = format!("      {:04x}  {}", index * BYTES_A_LINE, hex::encode(row));
        let text = out.tone(Tone::Quiet, text);
        out.line(text)?;
    }
    if bytes.len() > MAX_SHOWN {
        out.line(format!("      … {} bytes more", bytes.len() - MAX_SHOWN))?;
    }
    Ok(())
}

/// The dialogue for machines: one object a message.
pub(crate) fn in_json(
    out: &mut Out,
    peer: &str,
    node: &dyn AnyNode,
    probe: &Probe,
) -> Result<(), Failed> {
    let (lines, cut) = recorded(node, probe);
    for line in &lines {
        let body = json!({
            "peer": peer,
            "sent_by": match line.direction {
                Direction::Outbound => "us",
                Direction::Inbound => "them",
            },
            "ms": millis_json(line.at),
            "offset": line.offset,
            "len": line.bytes.len(),
            "command": line.explained.command,
            "fields": fields_json(&line.explained),
            "error": line.explained.error.as_ref().map(error_json),
            "bytes": hex::encode(&line.bytes),
        });
        out.json("message", body)?;
    }
    if cut {
        out.json("cut", json!({ "peer": peer }))?;
    }
    Ok(())
}
