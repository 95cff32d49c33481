//! The story for people: a table that grows, with what moves drawn anew below it on a terminal.

use std::io;
use std::time::Duration;

use peerage::Reason;

use super::discovery::Scouted;
use super::text::{short, sparks, wrapped};
use super::visit::{Finding, Kept, Story};
use super::world::Citizen;
use super::{Summary, Voice};
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
    /// Which section's header was written last.
    section: Option<&'static str>,
    /// What has to be said below the table.
    notes: Vec<String>,
}

impl<'a> Table<'a> {
    pub(super) fn new(out: &'a mut Out) -> Self {
        Self {
            out,
            settled: String::new(),
            live: 0,
            section: None,
            notes: Vec::new(),
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

    fn header(&mut self, section: &'static str, is: &str, verdict: &str) {
        if self.section.replace(section) != Some(section) {
            self.say("");
            let verdict = format!("{verdict:<18}");
            let titles = [section, "NETWORK", "PORT", is, "REACHED", &verdict, "TIME"];
            let header = self.out.tone(Tone::Strong, row(" ", titles));
            self.say(header);
        }
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

    /// A reason, line by line.
    fn explain(&mut self, reason: &Reason) {
        let retry = reason.retry.to_string();
        let lines = [
            ("stage", reason.stage.name()),
            ("kind", reason.kind.name()),
            ("blame", reason.blame.name()),
            ("retry", &retry),
            ("message", &reason.message),
            ("advice", reason.advice()),
        ];
        for (name, value) in lines {
            let mut label = self.out.tone(Tone::Quiet, format!("  {name:<9}"));
            for line in wrapped(value, WIDTH - INDENT) {
                let strong = name == "kind";
                let line = if strong {
                    self.out.tone(Tone::Bad, line)
                } else {
                    line
                };
                self.say(format!("{label}{line}"));
                label = " ".repeat(INDENT);
            }
        }
    }

    fn kept_rows(&self, citizens: &[Citizen], kept: &[Kept]) -> Vec<String> {
        let row = |peer: &Kept| {
            let citizen = &citizens[peer.citizen];
            let (mark, tail) = match &peer.lost {
                Some(reason) => (self.mark(false), reason.kind.name().to_owned()),
                None if peer.is_well() => (self.mark(true), sparks(&peer.recent)),
                None => (" ".to_owned(), String::new()),
            };
            let (least, most) = match peer.span {
                Some((least, most)) => (short(least), short(most)),
                None => Default::default(),
            };
            format!(
                "{mark} {:<7} {:<8} {:<15} {:>7} {:>6} {:>5} {least:>7} {most:>7} {tail}",
                citizen.name,
                citizen.network,
                peer.facts.agent.to_string(),
                peer.facts.speaks(),
                peer.facts.stands(),
                peer.pings,
            )
        };
        let header = self.out.tone(Tone::Strong, KEPT);
        let rows = kept.iter().map(row);
        [String::new(), header].into_iter().chain(rows).collect()
    }
}

/// A line of the table: name, network, port, what it is, stage, verdict and time. The verdict is
/// padded already, for it has a tone.
fn row(mark: &str, [name, network, port, is, stage, verdict, took]: [&str; 7]) -> String {
    format!("{mark} {name:<7} {network:<8} {port:>5} {is:<20} {stage:<7} {verdict} {took:>7}")
}

/// Where the words of a reason begin, in columns.
const INDENT: usize = 11;

const KEPT: &str =
    "  KEPT    NETWORK  AGENT           VERSION  STANDS PINGS RTT MIN RTT MAX LATEST";

impl Voice for Table<'_> {
    fn opens(&mut self, citizens: &[Citizen]) -> io::Result<()> {
        let healthy = citizens
            .iter()
            .filter(|citizen| citizen.nature.is_healthy())
            .count();
        let mut chains: Vec<String> = Vec::new();
        for citizen in citizens {
            let chain = format!("{} {}", citizen.network, citizen.chain);
            if !chains.contains(&chain) {
                chains.push(chain);
            }
        }
        let last = chains.pop().unwrap_or_default();
        self.tell(&format!(
            "A small world on this machine, at 127.0.0.1: {healthy} healthy nodes and {} broken \
             ones on {} and {last}. One node of each network dials them all at once.",
            citizens.len() - healthy,
            chains.join(", "),
        ));
        self.draw(&[])
    }

    fn scouted(&mut self, scouted: &Scouted) -> io::Result<()> {
        let Scouted {
            network,
            chain,
            found,
            citizens,
            passed_over,
            took,
            ..
        } = *scouted;
        let mark = self.mark(scouted.is_right());
        self.say("");
        self.tell(&format!(
            "{mark} Discovery found {found} of {citizens} nodes of {network} {chain} in {}, \
             beginning with one boot node. {passed_over} more it only met: their records say that \
             they are of another layer or chain, so nobody dials them.",
            short(took),
        ));
        self.draw(&[])
    }

    fn found(&mut self, citizen: &Citizen, finding: &Finding) -> io::Result<()> {
        if citizen.nature.is_healthy() {
            let verdict = format!("{:<8}{:>10}", "VERDICT", "RTT");
            self.header("HEALTHY", "AGENT, HEIGHT/FORK", &verdict);
        } else {
            self.header("BROKEN", "WHAT IT IS", "VERDICT");
        }
        let (is, verdict) = match &finding.verdict {
            Ok(facts) => {
                let rtt = facts.rtt.map(short).unwrap_or_default();
                let is = format!("{} {}", facts.agent, facts.stands());
                (is, format!("{:<8}{rtt:>10}", finding.kind()))
            }
            Err(_) => {
                let star = if finding.dialler_saw.is_some() {
                    "*"
                } else {
                    ""
                };
                (
                    citizen.nature.in_words().to_owned(),
                    format!("{}{star}", finding.kind()),
                )
            }
        };
        let tone = if finding.verdict.is_ok() {
            Tone::Good
        } else {
            Tone::Bad
        };
        let port = citizen.found_at.target.port.to_string();
        let verdict = self.out.tone(tone, format!("{verdict:<18}"));
        let took = short(finding.took);
        let line = row(
            &self.mark(finding.right),
            [
                citizen.name,
                citizen.network,
                &port,
                &is,
                finding.stage,
                &verdict,
                &took,
            ],
        );
        self.say(line);
        if !finding.right {
            let must = match citizen.nature.deserves() {
                Some(kind) => format!("it should be {kind}"),
                None => "it should be greeted and found as it is".to_owned(),
            };
            let said = finding
                .verdict
                .as_ref()
                .err()
                .map(|reason| format!("; {}", reason.message));
            self.tell(&format!("^ {must}{}", said.unwrap_or_default()));
        }
        if let (Some(saw), Err(known)) = (&finding.dialler_saw, &finding.verdict) {
            self.notes.push(format!(
                "* {} of {}: the end that dialled only saw {}; the end that was dialled knew: {}.",
                citizen.name, citizen.network, saw.kind, known.message,
            ));
        }
        Ok(())
    }

    fn waits(&mut self, pending: &[&Citizen], since: Duration) -> io::Result<()> {
        let names: Vec<_> = pending
            .iter()
            .map(|citizen| format!("{} of {}", citizen.name, citizen.network))
            .collect();
        if names.is_empty() {
            for note in std::mem::take(&mut self.notes) {
                self.tell(&note);
            }
            return self.draw(&[]);
        }
        let line = format!(
            "… {} after {:.1} s: {}",
            names.len(),
            since.as_secs_f64(),
            names.join(", ")
        );
        self.draw(&[self.out.tone(Tone::Quiet, line)])
    }

    fn keeps(&mut self, citizens: &[Citizen], kept: &[Kept], left: Duration) -> io::Result<()> {
        let mut live = self.kept_rows(citizens, kept);
        let line = format!("… {:.1} s left", left.as_secs_f64());
        live.push(self.out.tone(Tone::Quiet, line));
        self.draw(&live)
    }

    fn kept(&mut self, citizens: &[Citizen], kept: &[Kept], time: Duration) -> io::Result<()> {
        for line in self.kept_rows(citizens, kept) {
            self.say(line);
        }
        let well = kept.iter().filter(|peer| peer.is_well()).count();
        self.tell(&format!("{well} peers kept for {}.", short(time)));
        self.draw(&[])
    }

    fn broke(&mut self, citizen: &Citizen, story: &Story) -> io::Result<()> {
        let who = format!("{} of {}", citizen.name, citizen.network);
        self.say("");
        match &story.loss {
            Some(reason) => {
                let noticed = short(story.noticed_after);
                let title = format!("Now {who} goes away. It took us {noticed} to notice:");
                let title = self.out.tone(Tone::Strong, title);
                self.say(title);
                self.explain(reason);
            }
            None => self.say(format!("Now {who} goes away, and nobody notices.")),
        }
        self.say("");
        let title = self.out.tone(Tone::Strong, format!("We dial {who} again:"));
        self.say(title);
        match &story.redial.verdict {
            Ok(facts) => self.say(format!("  greeted {}", facts.agent)),
            Err(reason) => self.explain(reason),
        }
        self.say("");
        if let (true, Some(loss), Err(redial)) =
            (story.is_right(), &story.loss, &story.redial.verdict)
        {
            self.tell(&format!(
                "Two reasons, one story: the peer we had left us (retry {}), and since then nobody is \
                 at home (retry {}). The other {} peers still answer.",
                loss.retry, redial.retry, story.others,
            ));
        } else {
            let mark = self.mark(false);
            self.tell(&format!(
                "{mark} It should be closed first and connection_refused then."
            ));
        }
        self.draw(&[])
    }

    fn closes(&mut self, summary: &Summary, next: &[String]) -> io::Result<()> {
        let mark = self.mark(summary.is_right());
        let Summary {
            healthy,
            healthy_greeted,
            broken,
            broken_explained,
            ..
        } = summary;
        let story = if summary.story_right {
            ""
        } else {
            ", but a kept peer fared otherwise than it must"
        };
        self.tell(&format!(
            "{mark} {healthy_greeted} of {healthy} healthy peers greeted, {broken_explained} of \
             {broken} broken ones explained{story}; {} in all.",
            short(summary.took),
        ));
        self.say("");
        let title = self.out.tone(Tone::Strong, "Try next:");
        self.say(title);
        for command in next {
            self.say(format!("  {command}"));
        }
        self.draw(&[])
    }
}
