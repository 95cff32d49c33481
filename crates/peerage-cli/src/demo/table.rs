//! The story for people: a table that grows, with what moves drawn anew below it on a terminal.

use std::io;
use std::time::Duration;

use super::relayed::Step;
use super::story::{Act, Cut, Summary, Verdict, Voice};
use super::tally::Tally;
use super::text::{elided, short, wrapped};
use super::world::Citizen;
use crate::output::{Out, Tone};

/// No line that is ours to break is longer, in columns.
const WIDTH: usize = 80;

/// Writes tables.
pub(super) struct Table<'a> {
    out: &'a mut Out,
    /// Lines that stay, not yet written.
    settled: String,
    /// How many lines below them are drawn anew.
    live: usize,
}

impl<'a> Table<'a> {
    pub(super) fn new(out: &'a mut Out) -> Self {
        Self {
            out,
            settled: String::new(),
            live: 0,
        }
    }

    /// A line that stays.
    fn say(&mut self, line: impl AsRef<str>) {
        self.settled.push_str(line.as_ref().trim_end());
        self.settled.push('\n');
    }

    /// A line that stays, its words broken where it gets too long.
    fn tell(&mut self, text: &str) {
        for line in wrapped(text, WIDTH) {
            self.say(line);
        }
    }

    fn title(&mut self, text: &str) {
        self.say("");
        let title = self.out.tone(Tone::Strong, text);
        self.say(title);
    }

    /// Writes what stays, and below it what is drawn anew next time.
    fn draw(&mut self, live: &[String]) -> io::Result<()> {
        let mut text = String::new();
        if self.live > 0 {
            // Up to the first live line, and away with all that is below.
            text = format!("\x1b[{}A\x1b[J", self.live);
            self.live = 0;
        }
        text.push_str(&self.settled);
        self.settled.clear();
        if self.out.is_terminal() && !live.is_empty() {
            // A live line that wrapped would be two, so the terminal cuts it for the while.
            text.push_str("\x1b[?7l");
            text.push_str(&live.join("\n"));
            text.push_str("\x1b[?7h\n");
            self.live = live.len();
        }
        // Written as one line, so that nothing is seen half drawn.
        match text.strip_suffix('\n') {
            Some(text) => self.out.line(text),
            None => self.out.raw(&text),
        }
    }

    fn mark(&self, right: bool) -> String {
        if right {
            self.out.tone(Tone::Good, "✓")
        } else {
            self.out.tone(Tone::Bad, "✗")
        }
    }

    /// How far each network has come, and who fell by the way.
    fn rows(&self, tallies: &[Tally]) -> Vec<String> {
        let mut rows = vec![self.out.tone(Tone::Strong, STAGES)];
        for tally in tallies {
            let failed: usize = tally.failed.values().sum();
            rows.push(format!(
                "{:<9} {:<13} {:>5} {:>5} {:>8} {:>7} {:>7} {:>5} {failed:>7}",
                tally.realm.network,
                tally.realm.way.in_words(),
                tally.nodes,
                tally.found,
                tally.dialling,
                tally.dialled,
                tally.greeted,
                tally.kept,
            ));
            let kinds = tally.failed.iter();
            let kinds: Vec<_> = kinds
                .map(|(kind, count)| format!("{kind} {count}"))
                .collect();
            if !kinds.is_empty() {
                for line in wrapped(&kinds.join(", "), WIDTH - INDENT) {
                    let line = format!("{:INDENT$}{line}", "");
                    rows.push(self.out.tone(Tone::Quiet, line));
                }
            }
        }
        rows
    }
}

const STAGES: &str = "NETWORK   FOUND BY      NODES FOUND DIALLING DIALLED GREETED  KEPT  FAILED";

/// Where the reasons of failures begin, in columns.
const INDENT: usize = 10;

/// A line of the table: name, network, port, what it is, stage, verdict and dials. The verdict is
/// padded already, for it has a tone.
fn row(mark: &str, [name, network, port, is, stage, verdict, dials]: [&str; 7]) -> String {
    format!("{mark} {name:<7} {network:<8} {port:>5} {is:<20} {stage:<9} {verdict} {dials:>4}")
}

impl Voice for Table<'_> {
    fn opens(&mut self, citizens: &[Citizen]) -> io::Result<()> {
        let healthy = citizens
            .iter()
            .filter(|citizen| citizen.nature.is_healthy())
            .count();
        let mut chains: Vec<String> = Vec::new();
        for citizen in citizens {
            let chain = format!("{} {}", citizen.realm().network, citizen.realm().chain);
            if !chains.contains(&chain) {
                chains.push(chain);
            }
        }
        let last = chains.pop().unwrap_or_default();
        self.tell(&format!(
            "A small world on this machine, at 127.0.0.1: {healthy} healthy nodes and {} faulty \
             ones on {} and {last}. One node of ours on each network finds them, dials them, greets \
             them and keeps them.",
            citizens.len() - healthy,
            chains.join(", "),
        ));
        self.draw(&[])
    }

    fn moves(&mut self, tallies: &[Tally], doing: &str, since: Duration) -> io::Result<()> {
        if !self.out.is_terminal() {
            return Ok(());
        }
        let mut live = vec![String::new()];
        live.extend(self.rows(tallies));
        let line = format!("… {doing}, {:.1} s", since.as_secs_f64());
        live.push(self.out.tone(Tone::Quiet, line));
        self.draw(&live)
    }

    fn stands(&mut self, tallies: &[Tally], after: Act) -> io::Result<()> {
        self.title(after.title());
        for line in self.rows(tallies) {
            self.say(line);
        }
        self.draw(&[])
    }

    fn judged(&mut self, verdicts: &[Verdict<'_>]) -> io::Result<()> {
        let faulty = |verdict: &&Verdict<'_>| !verdict.citizen.nature.is_healthy();
        let healthy_and_wrong = verdicts
            .iter()
            .filter(|verdict| verdict.citizen.nature.is_healthy() && !verdict.right);
        self.say("");
        let verdict = format!("{:<18}", "VERDICT");
        let titles = [
            "FAULTY",
            "NETWORK",
            "PORT",
            "WHAT IT IS",
            "STAGE",
            &verdict,
            "DIAL",
        ];
        let header = self.out.tone(Tone::Strong, row(" ", titles));
        self.say(header);
        for verdict in verdicts.iter().filter(faulty).chain(healthy_and_wrong) {
            let citizen = verdict.citizen;
            let ended = verdict.ended();
            let tone = if verdict.citizen.nature.is_kept() {
                Tone::Good
            } else {
                Tone::Bad
            };
            let kind = self.out.tone(tone, format!("{:<18}", verdict.kind()));
            let dials = verdict.story.as_ref().map(|story| story.entry.attempts);
            let line = row(
                &self.mark(verdict.right),
                [
                    &citizen.name,
                    citizen.realm().network,
                    &citizen.endpoint().port().to_string(),
                    citizen.nature.in_words(),
                    verdict.stage(),
                    &kind,
                    &dials.map(|dials| dials.to_string()).unwrap_or_default(),
                ],
            );
            self.say(line);
            if !verdict.right {
                let said = ended.map(|ended| format!("; {}", ended.reason.message));
                let said = said.unwrap_or_default();
                self.tell(&format!("^ it should be {}{said}", verdict.expected()));
            }
        }
        self.draw(&[])
    }

    fn cut(&mut self, cut: &Cut) -> io::Result<()> {
        let losses = cut.losses.iter();
        let losses: Vec<_> = losses
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        let mark = self.mark(cut.noticed == cut.nodes);
        self.say("");
        self.tell(&format!(
            "{mark} Now {} healthy nodes are cut off. Our nodes noticed {} of them in {}; sessions \
             lost since: {}.",
            cut.nodes,
            cut.noticed,
            short(cut.noticed_after),
            losses.join(", "),
        ));
        self.draw(&[])
    }

    fn back(&mut self, cut: &Cut, after: Option<Duration>) -> io::Result<()> {
        let mark = self.mark(after.is_some());
        self.say("");
        match after {
            Some(after) => self.tell(&format!(
                "{mark} They come back. All {} were dialled again and are kept, after {}.",
                cut.nodes,
                short(after),
            )),
            None => self.tell(&format!(
                "{mark} They come back, but not all are kept again."
            )),
        }
        self.draw(&[])
    }

    fn relayed(&mut self, steps: &[Step]) -> io::Result<()> {
        self.title("Through volunteers, to whom a broker introduced us:");
        for step in steps {
            let tone = if step.got.is_ok() {
                Tone::Good
            } else {
                Tone::Bad
            };
            let kind = self.out.tone(tone, format!("{:<18}", step.kind()));
            let mark = self.mark(step.is_right());
            let took = short(step.took);
            self.say(format!("{mark} {:<40} {kind} {took:>7}", step.what));
            let words = match &step.got {
                Ok(words) => words,
                Err(reason) => &*reason.message,
            };
            for line in wrapped(&elided(words), WIDTH - 4) {
                let line = self.out.tone(Tone::Quiet, line);
                self.say(format!("    {line}"));
            }
        }
        self.draw(&[])
    }

    fn why(&mut self, verdict: &Verdict<'_>) -> io::Result<()> {
        let Some(story) = &verdict.story else {
            return Ok(());
        };
        let (name, network) = (&verdict.citizen.name, verdict.citizen.realm().network);
        self.title(&format!("Why is {name} of {network} no peer?"));
        for line in story.to_string().lines() {
            for (at, line) in wrapped(&elided(line), WIDTH - 4).into_iter().enumerate() {
                let indent = if at == 0 { 2 } else { 4 };
                self.say(format!("{:indent$}{line}", ""));
            }
        }
        self.draw(&[])
    }

    fn closes(&mut self, summary: &Summary, _: &[Tally], next: &[String]) -> io::Result<()> {
        let mark = self.mark(summary.is_right());
        let Summary {
            healthy,
            healthy_kept,
            faulty,
            faulty_explained,
            failed_dials,
            unknown,
            relayed,
            relayed_right,
            ..
        } = summary;
        let relayed = match relayed {
            0 => String::new(),
            all => format!(" Through volunteers {relayed_right} of {all} went as they must."),
        };
        let recovered = if summary.recovered {
            "the part that was cut off came back"
        } else {
            "the part that was cut off did not come back as it must"
        };
        self.say("");
        self.tell(&format!(
            "{mark} {healthy_kept} of {healthy} healthy peers kept, {faulty_explained} of {faulty} \
             faulty ones explained, {recovered}.{relayed} Of {failed_dials} dials that failed, {unknown} are \
             without a known reason; {} in all.",
            short(summary.took),
        ));
        self.title("Try next:");
        for command in next {
            self.say(format!("  {command}"));
        }
        self.draw(&[])
    }
}
