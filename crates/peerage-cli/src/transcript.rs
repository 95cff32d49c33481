//! The dialogue on the wire, every field explained: the thing to attach to a bug report.

use peerage::networks::{AnyNode, ExplainedField, Line};
use peerage::{Direction, Probe};
use serde_json::json;

use crate::decode::{error_json, fields_json};
use crate::output::{Failed, Out, Tone, millis_json};
use crate::probe::extend;

/// How many bytes of hexadecimal stand in one line.
const BYTES_A_LINE: usize = 32;

/// The most bytes of one message that are shown in text; JSON has them all.
const MAX_SHOWN: usize = 1024;

fn recorded(node: &dyn AnyNode, probe: &Probe) -> (Vec<Line>, bool) {
    let Some(dialogue) = &probe.dialogue else {
        return (Vec::new(), false);
    };
    let lines = node.explain_dialogue(dialogue, probe.facts.as_ref());
    (lines, dialogue.cut)
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
        let explained = &line.explained;
        for field in explained.envelope.iter().chain(&explained.fields) {
            out.line(field_in_words(field))?;
        }
        if let Some(error) = &line.explained.error {
            let text = format!("    {:>5} {}: {}", error.offset, error.kind, error.message);
            let text = out.tone(Tone::Bad, text);
            out.line(text)?;
        }
        hex_dump(out, &line.bytes)?;
        if let Some(plain) = &explained.plain {
            out.line("    which is, decrypted:")?;
            hex_dump(out, plain)?;
        }
    }
    if cut {
        out.line("  the rest was cut off")?;
    }
    Ok(())
}

fn field_in_words(field: &ExplainedField) -> String {
    let meaning = field
        .meaning
        .as_ref()
        .map_or_else(String::new, |text| format!("  — {text}"));
    let text = format!(
        "    {:>5} {:<22} {}{meaning}",
        field.offset, field.path, field.value
    );
    text.trim_end().to_owned()
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
        let mut body = json!({
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
        if let Some(plain) = &line.explained.plain {
            extend(&mut body, Some(json!({ "plain": hex::encode(plain) })));
        }
        out.json("message", body)?;
    }
    if cut {
        out.json("cut", json!({ "peer": peer }))?;
    }
    Ok(())
}
