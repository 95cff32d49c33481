//! The story as JSON, an object a line; progress goes to stderr.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use peerage::Kind;
use peerage::node::FinderReport;
use serde_json::{Map, Value, json};

use super::relayed::Step;
use super::story::{Act, Cut, Summary, Verdict, Voice};
use super::tally::Tally;
use super::world::Citizen;
use crate::output::{Out, millis_json, progress, reason_json};
use crate::probe::{extend, facts_json};

/// Writes lines of JSON.
pub(super) struct Lines<'a> {
    out: &'a mut Out,
}

impl<'a> Lines<'a> {
    pub(super) const fn new(out: &'a mut Out) -> Self {
        Self { out }
    }
}

/// Which citizen a line is about.
fn about(citizen: &Citizen) -> Value {
    json!({
        "name": citizen.name,
        "network": citizen.realm().network,
        "chain": citizen.realm().chain,
        "addr": citizen.endpoint().to_string(),
        "address": citizen.address(),
        "is": citizen.nature.in_words(),
        "healthy": citizen.nature.is_healthy(),
    })
}

fn by_kind(counts: impl Iterator<Item = (Kind, u64)>) -> Value {
    let counts = counts.map(|(kind, count)| (kind.name().to_owned(), json!(count)));
    Value::Object(counts.collect::<Map<_, _>>())
}

fn losses(losses: &BTreeMap<Kind, u64>) -> Value {
    by_kind(losses.iter().map(|(kind, count)| (*kind, *count)))
}

fn finder(report: &FinderReport) -> Value {
    json!({
        "source": report.report.source.0,
        "gave": report.report.gave,
        "taken": report.taken,
        "lived": report.lived,
    })
}

fn network(tally: &Tally) -> Value {
    let failed = tally.failed.iter();
    json!({
        "network": tally.realm.network,
        "chain": tally.realm.chain,
        "nodes": tally.nodes,
        "healthy": tally.healthy,
        "found": tally.found,
        "dialled": tally.dialled,
        "greeted": tally.greeted,
        "kept": tally.kept,
        "failed": by_kind(failed.map(|(kind, count)| (*kind, *count as u64))),
        "failed_dials": tally.failed_dials,
        "unknown_reasons": tally.unknown,
        "finders": tally.finders.iter().map(finder).collect::<Vec<_>>(),
    })
}

impl Voice for Lines<'_> {
    fn opens(&mut self, citizens: &[Citizen]) -> io::Result<()> {
        for citizen in citizens {
            self.out.json("citizen", about(citizen))?;
        }
        progress(&format!("looking for {} citizens", citizens.len()));
        Ok(())
    }

    fn moves(&mut self, _: &[Tally], _: &str, _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn stands(&mut self, tallies: &[Tally], after: Act) -> io::Result<()> {
        let networks: Vec<_> = tallies.iter().map(network).collect();
        let body = json!({ "after": after.name(), "networks": networks });
        self.out.json("stands", body)?;
        progress(after.title());
        Ok(())
    }

    fn judged(&mut self, verdicts: &[Verdict<'_>]) -> io::Result<()> {
        for verdict in verdicts {
            let mut body = about(verdict.citizen);
            let account = &verdict.account;
            let ended = verdict.ended();
            let story = verdict.story.as_ref();
            let sources = story.map(|story| {
                let sources = story.entry.sources.iter();
                sources.map(ToString::to_string).collect::<Vec<_>>()
            });
            let told = json!({
                "expected": verdict.expected(),
                "got": verdict.kind(),
                "stage": verdict.stage(),
                "ok": verdict.right,
                "told_by": sources,
                "dials": story.map(|story| story.entry.attempts),
                "reason": ended.map(|ended| reason_json(&ended.reason)),
                "took_ms": ended.map(|ended| millis_json(ended.lasted)),
                "why": story.map(|story| {
                    story.to_string().lines().map(str::to_owned).collect::<Vec<_>>()
                }),
            });
            extend(&mut body, Some(told));
            extend(&mut body, account.facts.as_ref().map(facts_json));
            self.out.json("verdict", body)?;
        }
        Ok(())
    }

    fn cut(&mut self, cut: &Cut) -> io::Result<()> {
        let body = json!({
            "nodes": cut.nodes,
            "noticed": cut.noticed,
            "noticed_after_ms": millis_json(cut.noticed_after),
            "losses": losses(&cut.losses),
        });
        self.out.json("cut", body)
    }

    fn back(&mut self, cut: &Cut, after: Option<Duration>) -> io::Result<()> {
        let body = json!({
            "nodes": cut.nodes,
            "recovered": after.is_some(),
            "took_ms": after.map(millis_json),
        });
        self.out.json("back", body)
    }

    fn relayed(&mut self, steps: &[Step]) -> io::Result<()> {
        for step in steps {
            let body = json!({
                "what": step.what,
                "expected": step.expected.map_or("reached", Kind::name),
                "got": step.kind(),
                "ok": step.is_right(),
                "words": step.got.as_ref().ok(),
                "reason": step.got.as_ref().err().map(reason_json),
                "took_ms": millis_json(step.took),
            });
            self.out.json("relayed", body)?;
        }
        Ok(())
    }

    fn why(&mut self, _: &Verdict<'_>) -> io::Result<()> {
        // Every verdict has its own.
        Ok(())
    }

    fn closes(&mut self, summary: &Summary, tallies: &[Tally], next: &[String]) -> io::Result<()> {
        let body = json!({
            "networks": tallies.iter().map(network).collect::<Vec<_>>(),
            "healthy": summary.healthy,
            "healthy_kept": summary.healthy_kept,
            "faulty": summary.faulty,
            "faulty_explained": summary.faulty_explained,
            "recovered": summary.recovered,
            "relayed": summary.relayed,
            "relayed_ok": summary.relayed_right,
            "failed_dials": summary.failed_dials,
            "unknown_reasons": summary.unknown,
            "ok": summary.is_right(),
            "took_s": summary.took.as_secs_f64(),
            "next": next,
        });
        self.out.json("summary", body)
    }
}
