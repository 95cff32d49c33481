//! Banning, permitting, and asking whether somebody may come in.

use std::net::IpAddr;
use std::time::Duration;

use peerage_core::{Detail, Kind, PeerText, Reason, Stage, UnixTime};

use crate::bans::{Ban, Bans, By, Subject, TooManyBans};
use crate::book::{Barred, Book};
use crate::candidate::{Id, Role};
use crate::history::What;
use crate::key::{Identity, Key};
use crate::moment::{Now, secs};
use crate::prefix::Prefix;

impl Book {
    /// Bans for `term`, or for good. A ban in force is replaced, but never the operator's by the
    /// node's.
    ///
    /// # Errors
    /// When there are as many bans as may be, and none is the node's own.
    pub fn ban(
        &mut self,
        now: Now,
        subject: Subject,
        by: By,
        term: Option<Duration>,
        words: &str,
    ) -> Result<(), TooManyBans> {
        self.now = now;
        let standing = self.bans.of(&subject).map(|ban| ban.by);
        if standing == Some(By::Operator) && by == By::Node {
            return Ok(());
        }
        let until = term.map(|term| UnixTime(now.wall.0.saturating_add(secs(term))));
        let ban = Ban {
            by,
            since: now.wall,
            until,
            words: words.into(),
        };
        let gave_way = self.bans.set(subject.clone(), ban, self.config.caps.bans)?;
        if let Some(gave_way) = gave_way {
            self.pending.ban(&gave_way);
        }
        self.pending.ban(&subject);
        let words: Box<str> = crate::cause::cut(words).into();
        self.note(&subject, || What::Banned(words.clone()));
        Ok(())
    }

    /// Lifts the ban of exactly this subject. Says whether there was one.
    pub fn lift(&mut self, now: Now, subject: &Subject) -> bool {
        self.now = now;
        if self.bans.lift(subject).is_none() {
            return false;
        }
        self.pending.ban(subject);
        self.note(subject, || What::Unbanned);
        true
    }

    /// The bans in force.
    pub const fn bans(&self) -> &Bans {
        &self.bans
    }

    /// Permits these ranges and nobody else; with none, everybody. Identities without an address
    /// are not concerned.
    pub fn permit_only(&mut self, ranges: impl IntoIterator<Item = Prefix>) {
        self.permits = ranges.into_iter().collect();
    }

    /// The ranges permitted; none means everybody.
    pub fn permits(&self) -> impl Iterator<Item = &Prefix> {
        self.permits.iter()
    }

    /// Whether this address and identity may be dealt with, before and after the handshake, in
    /// either direction.
    ///
    /// # Errors
    /// The reason why not.
    pub fn admits(&self, identity: Option<&Identity>, ip: Option<IpAddr>) -> Result<(), Reason> {
        let known = identity.and_then(|identity| {
            let key = Key::Identity(identity.clone());
            self.index.by_key.get(&key)
        });
        let known = known.and_then(|id| self.candidates.get(id));
        let here = ip.into_iter().flat_map(|ip| self.index.at_ip(ip));
        let here = here.filter_map(|id| self.candidates.get(&id));
        // Without an identity the address is all there is to trust.
        let mut here = here.filter(|_| identity.is_none());
        let trusted = here.any(|candidate| candidate.role == Role::Trusted);
        let role = match known {
            Some(candidate) => candidate.role,
            None if trusted => Role::Trusted,
            None => Role::Ordinary,
        };
        match self.bar(identity, ip, role) {
            None => Ok(()),
            Some(Barred::Banned(subject, ban)) => Err(rejected(
                &format!("{subject} is {ban}"),
                Detail::none()
                    .with("rule", "ban")
                    .with("subject", PeerText::new(subject.to_string().as_bytes())),
            )),
            Some(Barred::NotPermitted) => Err(rejected(
                "only the ranges on the list of those permitted are",
                Detail::none().with("rule", "permit"),
            )),
        }
    }

    /// Writes into the stories of those whom a ban concerns.
    fn note(&mut self, subject: &Subject, what: impl Fn() -> What) {
        let ids: Vec<Id> = match subject {
            Subject::Identity(identity) => {
                let key = Key::Identity(identity.clone());
                self.index.by_key.get(&key).copied().into_iter().collect()
            }
            Subject::Net(prefix) => {
                let range = (prefix.addr(), Id(0))..=(prefix.last(), Id(u64::MAX));
                let mut ids: Vec<Id> = self.index.by_ip.range(range).map(|(_, id)| *id).collect();
                ids.sort_unstable();
                ids.dedup();
                ids
            }
        };
        let now = self.now.wall;
        let most = self.config.caps.events;
        for id in ids {
            self.change(id, |candidate| candidate.history.push(now, what(), most));
        }
    }
}

fn rejected(words: &str, detail: Detail) -> Reason {
    Reason {
        stage: Stage::Input,
        kind: Kind::Rejected,
        blame: Kind::Rejected.blame(),
        retry: Kind::Rejected.retry(),
        detail,
        message: words.into(),
    }
}
