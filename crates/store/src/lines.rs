//! Books as JSON lines: one object a line, with `"v"` and `"type"`.

use std::io::{self, BufRead, Read as _, Write};

use peerage_book::Snapshot;

use crate::error::{FormError, LineError};
use crate::form::{self, Record};

/// The longest line that is read, in bytes: a peer with all its history takes less than 100 KiB.
pub const MAX_LINE: usize = 1 << 20;
/// The most lines that are read: more than any book holds.
pub const MAX_LINES: usize = 3_000_000;

/// Writes a snapshot, a line for each candidate, ban and anchor.
///
/// # Errors
/// When the output fails.
pub fn write(snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    for (entry, events) in &snapshot.entries {
        writeln!(out, "{}", form::line(entry, events))?;
    }
    for (subject, ban) in &snapshot.bans {
        writeln!(out, "{}", form::ban(subject, ban))?;
    }
    for key in &snapshot.anchors {
        writeln!(out, "{}", form::anchor(key))?;
    }
    Ok(())
}

/// What was read of some lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines {
    /// For [`Book::import`](peerage_book::Book::import), which judges what it says.
    pub snapshot: Snapshot,
    /// Lines that were not taken, at most 100 of them.
    pub wrong: Vec<LineError>,
    /// How many were not taken in all.
    pub wrong_count: usize,
}

/// Reads lines. A wrong one is named and left out; empty ones do not count. Reading stops where the
/// input fails or is too long, which is the last thing in [`Lines::wrong`].
pub fn read(mut input: impl BufRead) -> Lines {
    let mut lines = Lines::default();
    let mut buffer = Vec::new();
    for line in 1..=MAX_LINES {
        buffer.clear();
        let limit = MAX_LINE as u64 + 1;
        let why = match input.by_ref().take(limit).read_until(b'\n', &mut buffer) {
            Ok(0) => return lines,
            Ok(_) if buffer.len() > MAX_LINE => {
                let limit = MAX_LINE;
                lines.note(line, FormError::TooLong { limit });
                return lines;
            }
            Ok(_) if buffer.iter().all(u8::is_ascii_whitespace) => continue,
            Ok(_) => match std::str::from_utf8(&buffer) {
                Ok(text) => match form::to_record(text) {
                    Ok(record) => {
                        match record {
                            Record::Peer(entry, events) => {
                                lines.snapshot.entries.push((*entry, events));
                            }
                            Record::Ban(subject, ban) => lines.snapshot.bans.push((subject, ban)),
                            Record::Anchor(key) => lines.snapshot.anchors.push(key),
                        }
                        continue;
                    }
                    Err(why) => why,
                },
                Err(_) => FormError::NotJson,
            },
            Err(error) => {
                lines.note(line, FormError::Unreadable(error.kind()));
                return lines;
            }
        };
        lines.note(line, why);
    }
    let limit = MAX_LINES;
    lines.note(MAX_LINES, FormError::TooLong { limit });
    lines
}

impl Lines {
    fn note(&mut self, line: usize, why: FormError) {
        const MOST: usize = 100;
        self.wrong_count += 1;
        if self.wrong.len() >= MOST {
            self.wrong.pop();
        }
        self.wrong.push(LineError { line, why });
    }
}
