//! The story as JSON, an object a line; progress goes to stderr.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use super::discovery::Scouted;
use super::visit::{Finding, GREETED, Kept, Story};
use super::world::{Citizen, Known};
use super::{Summary, Voice};
use crate::output::{Out, millis_json, progress, reason_json};
use crate::probe::{extend, facts_json};

/// What discovery is called.
const DISCV5: &str = peerage::find::SOURCE.0;

/// Writes lines of JSON.
pub(super) struct Lines<'a> {
    out: &'a mut Out,
}

impl<'a> Lines<'a> {
    pub(super) fn new(out: &'a mut Out) -> Self {
        Self { out }
    }
}

/// Which citizen a line is about.
fn about(citizen: &Citizen) -> Value {
    json!({
        "name": citizen.name,
        "network": citizen.network,
        "chain": citizen.chain,
        "addr": citizen.found_at.target.to_string(),
        "address": citizen.address(),
    })
}

fn expected(citizen: &Citizen) -> &'static str {
    citizen
        .nature
        .deserves()
        .map_or(GREETED, |kind| kind.name())
}

/// Who said where it is.
const fn source(citizen: &Citizen) -> &'static str {
    match citizen.known {
        Known::Told | Known::Discovered(None) => "told",
        Known::Discovered(Some(_)) => DISCV5,
    }
}

const fn found_after(citizen: &Citizen) -> Option<Duration> {
    match citizen.known {
        Known::Told => None,
        Known::Discovered(after) => after,
    }
}

fn error(finding: &Finding) -> Option<Value> {
    finding.verdict.as_ref().err().map(reason_json)
}

impl Voice for Lines<'_> {
    fn opens(&mut self, citizens: &[Citizen]) -> io::Result<()> {
        for citizen in citizens {
            let mut body = about(citizen);
            let nature = json!({
                "is": citizen.nature.in_words(),
                "healthy": citizen.nature.is_healthy(),
                "expected": expected(citizen),
            });
            extend(&mut body, Some(nature));
            self.out.json("citizen", body)?;
        }
        progress(&format!("probing {} citizens", citizens.len()));
        Ok(())
    }

    fn scouted(&mut self, scouted: &Scouted) -> io::Result<()> {
        let body = json!({
            "network": scouted.network,
            "chain": scouted.chain,
            "source": DISCV5,
            "found": scouted.found,
            "citizens": scouted.citizens,
            "passed_over": scouted.passed_over,
            "ok": scouted.is_right(),
            "took_ms": millis_json(scouted.took),
        });
        self.out.json("discovered", body)
    }

    fn found(&mut self, citizen: &Citizen, finding: &Finding) -> io::Result<()> {
        let mut body = about(citizen);
        let verdict = json!({
            "source": source(citizen),
            "found_ms": found_after(citizen).map(millis_json),
            "expected": expected(citizen),
            "got": finding.kind(),
            "ok": finding.right,
            "stage": finding.stage,
            "took_ms": millis_json(finding.took),
            "reason": error(finding),
            "dialler_saw": finding.dialler_saw.as_ref().map(reason_json),
        });
        extend(&mut body, Some(verdict));
        extend(&mut body, finding.verdict.as_ref().ok().map(facts_json));
        self.out.json("verdict", body)
    }

    fn waits(&mut self, _: &[&Citizen], _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn keeps(&mut self, _: &[Citizen], _: &[Kept], _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn kept(&mut self, citizens: &[Citizen], kept: &[Kept], time: Duration) -> io::Result<()> {
        for peer in kept {
            let mut body = about(&citizens[peer.citizen]);
            let recent: Vec<_> = peer.recent.iter().copied().map(millis_json).collect();
            let rtts = json!({
                "kept_s": time.as_secs_f64(),
                "pings": peer.pings,
                "rtt_least_ms": peer.span.map(|(least, _)| millis_json(least)),
                "rtt_most_ms": peer.span.map(|(_, most)| millis_json(most)),
                "rtts_ms": recent,
                "lost": peer.lost.as_ref().map(reason_json),
            });
            extend(&mut body, Some(rtts));
            self.out.json("kept", body)?;
        }
        progress(&format!("kept {} peers, breaking one of them", kept.len()));
        Ok(())
    }

    fn broke(&mut self, citizen: &Citizen, story: &Story) -> io::Result<()> {
        let mut body = about(citizen);
        let told = json!({
            "ok": story.is_right(),
            "noticed_after_ms": story.loss.as_ref().map(|_| millis_json(story.noticed_after)),
            "reason": story.loss.as_ref().map(reason_json),
            "redial": { "got": story.redial.kind(), "reason": error(&story.redial) },
            "others_connected": story.others,
        });
        extend(&mut body, Some(told));
        self.out.json("broken", body)
    }

    fn closes(&mut self, summary: &Summary, next: &[String]) -> io::Result<()> {
        let body = json!({
            "healthy": summary.healthy,
            "healthy_greeted": summary.healthy_greeted,
            "broken": summary.broken,
            "broken_explained": summary.broken_explained,
            "discovery_ok": summary.discovery_right,
            "story_ok": summary.story_right,
            "ok": summary.is_right(),
            "took_s": summary.took.as_secs_f64(),
            "next": next,
        });
        self.out.json("summary", body)
    }
}
