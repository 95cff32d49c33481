//! The story: everybody is found and kept, a part is cut off and comes back, and one is explained.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use peerage::Kind;
use peerage::node::book;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::cast::EXPLAINED;
use super::ledger::{Account, Ended, Ledger};
use super::next::next_commands;
use super::ours::Told;
use super::relayed::Step;
use super::tally::{Tally, tallies};
use super::world::{Citizen, World};
use crate::output::{Failed, environment};

/// How often what moves is drawn anew, in milliseconds.
const REDRAW_EVERY: Duration = Duration::from_millis(200);

/// The longest one stage takes, in seconds; each ends as soon as its goal is met.
const STAGE_LIMIT: Duration = Duration::from_secs(120);

/// Who tells the story: in words, or as JSON.
pub(super) trait Voice: Send {
    /// This is the world.
    fn opens(&mut self, citizens: &[Citizen]) -> io::Result<()>;

    /// This is how far everything is at present; something is being waited for since so long.
    fn moves(&mut self, tallies: &[Tally], doing: &str, since: Duration) -> io::Result<()>;

    /// A stage is over, and this is how far everything has come.
    fn stands(&mut self, tallies: &[Tally], after: Act) -> io::Result<()>;

    /// What became of each. The stories are what our nodes remember of them.
    fn judged(&mut self, verdicts: &[Verdict<'_>]) -> io::Result<()>;

    /// A part of the world was cut off.
    fn cut(&mut self, cut: &Cut) -> io::Result<()>;

    /// It came back, after so long, or not at all.
    fn back(&mut self, cut: &Cut, after: Option<Duration>) -> io::Result<()>;

    /// What became of reaching others through volunteers.
    fn relayed(&mut self, steps: &[Step]) -> io::Result<()>;

    /// Why this one is no peer.
    fn why(&mut self, verdict: &Verdict<'_>) -> io::Result<()>;

    /// It is over; these commands come next.
    fn closes(&mut self, summary: &Summary, tallies: &[Tally], next: &[String]) -> io::Result<()>;
}

/// An act of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Everybody was looked for.
    Found,
    /// A part of the world is cut off.
    Cut,
    /// It is back.
    Back,
}

impl Act {
    /// Lower-case name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Cut => "cut",
            Self::Back => "back",
        }
    }

    /// As a title.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Found => "Found, dialled, greeted and kept:",
            Self::Cut => "With a part cut off:",
            Self::Back => "With everybody back:",
        }
    }
}

/// What became of one citizen.
#[derive(Debug)]
pub(super) struct Verdict<'a> {
    pub(super) citizen: &'a Citizen,
    pub(super) account: Account,
    /// What our node remembers.
    pub(super) story: Option<book::Story>,
    /// Whether it is the verdict that the citizen deserves.
    pub(super) right: bool,
}

/// What every verdict is called that has no reason.
pub(super) const GREETED: &str = "greeted";

impl Verdict<'_> {
    /// The verdict in a word.
    pub(super) fn kind(&self) -> &'static str {
        match self.failed() {
            Some(kind) => kind.name(),
            None if self.account.is_active => GREETED,
            None => "unknown",
        }
    }

    /// Why it is no peer; nothing if it is one, or nobody knows.
    pub(super) fn failed(&self) -> Option<Kind> {
        let ended = self.ended().map(|ended| ended.reason.kind);
        ended.or_else(|| Some(self.claims_against()?.kind))
    }

    /// Where it was decided, by the network's own name.
    pub(super) fn stage(&self) -> &str {
        match (self.ended(), self.claims_against()) {
            (Some(ended), _) => ended.reason.stage.name(),
            (None, Some(cause)) => &cause.stage,
            (None, None) => "kept",
        }
    }

    /// How it ended last, unless it is where it belongs.
    pub(super) fn ended(&self) -> Option<&Ended> {
        let is_well = self.account.is_active && self.citizen.nature.is_kept();
        self.account.ended.as_ref().filter(|_| !is_well)
    }

    /// What its own claims say against it.
    fn claims_against(&self) -> Option<&book::Cause> {
        let book::Standing::Unfit(cause) = &self.story.as_ref()?.standing else {
            return None;
        };
        Some(cause)
    }

    /// What it should be.
    pub(super) fn expected(&self) -> &'static str {
        let deserved = self.citizen.nature.deserves();
        deserved.map_or(GREETED, |kind| kind.name())
    }
}

/// What became of cutting off a part of the world.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// How many nodes were in it.
    pub(super) nodes: usize,
    /// How many of them our nodes noticed to be gone, after how long at the most.
    pub(super) noticed: usize,
    pub(super) noticed_after: Duration,
    /// Sessions lost meanwhile, by reason.
    pub(super) losses: BTreeMap<Kind, u64>,
}

/// What came of it all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary {
    pub(super) healthy: usize,
    pub(super) healthy_kept: usize,
    pub(super) faulty: usize,
    pub(super) faulty_explained: usize,
    /// Whether the part that was cut off was missed, and came back.
    pub(super) recovered: bool,
    /// What was tried through volunteers, and what of it went as it must.
    pub(super) relayed: usize,
    pub(super) relayed_right: usize,
    pub(super) failed_dials: u64,
    pub(super) unknown: u64,
    pub(super) took: Duration,
}

impl Summary {
    pub(super) const fn is_right(&self) -> bool {
        self.healthy == self.healthy_kept
            && self.faulty == self.faulty_explained
            && self.recovered
            && self.relayed == self.relayed_right
            && self.unknown * 100 < self.failed_dials
    }
}

/// How a citizen must be.
type Goal<'a> = &'a (dyn Fn(&Citizen, &Account) -> bool + Sync);

/// A world, what is known of it, and who tells of it.
pub(super) struct Demo<'a> {
    world: World,
    ledger: Ledger,
    told: Told,
    voice: Box<dyn Voice + 'a>,
    start: Instant,
}

impl<'a> Demo<'a> {
    pub(super) fn new(
        world: World,
        told: Told,
        voice: Box<dyn Voice + 'a>,
        start: Instant,
    ) -> Self {
        Self {
            ledger: Ledger::of(&world.citizens),
            world,
            told,
            voice,
            start,
        }
    }

    /// Tells the whole story, and whether it went as it must.
    pub(super) async fn tell(&mut self, ends_at: Instant) -> Result<bool, Failed> {
        self.voice.opens(&self.world.citizens)?;
        let latest = Instant::now() + STAGE_LIMIT;
        let all_right = |citizen: &Citizen, account: &Account| citizen.nature.is_right(account);
        self.go_on("looking for everybody", latest, Some(&all_right))
            .await?;
        self.meet_strangers(latest).await?;
        self.stand(Act::Found).await?;
        let judged = self.ledger.accounts.clone();

        self.go_on("keeping them", ends_at, None).await?;
        let cut = self.cut_off().await?;
        let back = self.come_back(&cut).await?;
        let relayed = self.relay().await?;
        if !relayed.is_empty() {
            self.voice.relayed(&relayed)?;
        }

        let verdicts = verdicts(&self.world, &self.ledger, judged).await?;
        self.voice.judged(&verdicts)?;
        let mut explained = verdicts.iter();
        if let Some(verdict) = explained.find(|verdict| verdict.citizen.name == EXPLAINED) {
            self.voice.why(verdict)?;
        }
        let mut summary = Summary {
            recovered: back.is_some() && cut.noticed == cut.nodes,
            relayed: relayed.len(),
            relayed_right: relayed.iter().filter(|step| step.is_right()).count(),
            ..Summary::default()
        };
        for verdict in &verdicts {
            let right = usize::from(verdict.right);
            if verdict.citizen.nature.is_healthy() {
                summary.healthy += 1;
                summary.healthy_kept += right;
            } else {
                summary.faulty += 1;
                summary.faulty_explained += right;
            }
        }
        summary.failed_dials = self.ledger.failed_dials.values().sum();
        summary.unknown = self.ledger.unknown.values().sum();
        let mut tallies = tallies(&self.world, &self.ledger).await?;
        for (place, tally) in tallies.iter_mut().enumerate() {
            let here = verdicts
                .iter()
                .filter(|verdict| verdict.citizen.place == place);
            tally.failed = BTreeMap::new();
            for kind in here.filter_map(Verdict::failed) {
                *tally.failed.entry(kind).or_default() += 1;
            }
        }
        let next = next_commands(&self.world).await?;
        summary.took = self.start.elapsed();
        self.voice.closes(&summary, &tallies, &next)?;
        Ok(summary.is_right())
    }

    /// Listens to our nodes until all citizens are as they must be, and `latest` at the latest.
    /// Returns whether they are.
    async fn go_on(
        &mut self,
        doing: &str,
        latest: Instant,
        goal: Option<Goal<'_>>,
    ) -> Result<bool, Failed> {
        let began = Instant::now();
        let mut redraw = interval(REDRAW_EVERY);
        redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let all = || self.world.citizens.iter().zip(&self.ledger.accounts);
            if let Some(goal) = goal
                && all().all(|(citizen, account)| goal(citizen, account))
            {
                return Ok(true);
            }
            tokio::select! {
                biased;
                () = sleep_until(latest) => return Ok(false),
                Some((place, news)) = self.told.recv() => self.ledger.note(place, news),
                _ = redraw.tick() => {
                    let tallies = tallies(&self.world, &self.ledger).await?;
                    self.voice.moves(&tallies, doing, began.elapsed())?;
                }
            }
        }
    }

    /// Waits until those are known of whom there is no other news, as they are not dialled.
    async fn meet_strangers(&mut self, latest: Instant) -> Result<(), Failed> {
        loop {
            let mut known = true;
            let citizens = self.world.citizens.iter();
            for citizen in citizens.filter(|citizen| citizen.nature.is_unfit()) {
                known &= story(&self.world, citizen).await?.is_some();
            }
            if known || Instant::now() > latest {
                return Ok(());
            }
            let soon = Instant::now() + REDRAW_EVERY;
            self.go_on("meeting strangers", soon, None).await?;
        }
    }

    async fn stand(&mut self, after: Act) -> Result<(), Failed> {
        let tallies = tallies(&self.world, &self.ledger).await?;
        self.voice.stands(&tallies, after)?;
        Ok(())
    }

    /// Cuts off the remote part, and waits until our nodes have noticed.
    async fn cut_off(&mut self) -> Result<Cut, Failed> {
        self.ledger.losses.clear();
        let began = Instant::now();
        self.world.cut_off(true);
        let gone = |citizen: &Citizen, account: &Account| !citizen.is_remote || !account.is_active;
        self.go_on("a part is cut off", began + STAGE_LIMIT, Some(&gone))
            .await?;
        let all = self.world.citizens.iter().zip(&self.ledger.accounts);
        let remote = || all.clone().filter(|(citizen, _)| citizen.is_remote);
        let cut = Cut {
            nodes: remote().count(),
            noticed: remote().filter(|(_, account)| !account.is_active).count(),
            noticed_after: began.elapsed(),
            losses: std::mem::take(&mut self.ledger.losses),
        };
        self.voice.cut(&cut)?;
        self.stand(Act::Cut).await?;
        Ok(cut)
    }

    /// Lets the remote part come back, and waits until our nodes have everybody again.
    async fn come_back(&mut self, cut: &Cut) -> Result<Option<Duration>, Failed> {
        let began = Instant::now();
        self.world.cut_off(false);
        let kept = |citizen: &Citizen, account: &Account| {
            !citizen.nature.is_healthy() || citizen.nature.is_right(account)
        };
        let are_back = self
            .go_on("it comes back", began + STAGE_LIMIT, Some(&kept))
            .await?;
        let after = are_back.then(|| began.elapsed());
        self.voice.back(cut, after)?;
        self.stand(Act::Back).await?;
        Ok(after)
    }
}

#[cfg(not(feature = "inproxy"))]
impl Demo<'_> {
    /// Nobody, in this build.
    #[expect(clippy::unused_async, reason = "as with the feature inproxy")]
    async fn relay(&mut self) -> Result<Vec<Step>, Failed> {
        Ok(Vec::new())
    }
}

#[cfg(feature = "inproxy")]
impl Demo<'_> {
    /// Reaches others through volunteers.
    async fn relay(&mut self) -> Result<Vec<Step>, Failed> {
        let mut story = tokio::spawn(super::volunteers::story(&self.world).await?);
        let latest = Instant::now() + STAGE_LIMIT;
        let over = |_: &Citizen, _: &Account| story.is_finished();
        let is_over = self
            .go_on("reaching others through volunteers", latest, Some(&over))
            .await?;
        if !is_over {
            story.abort();
        }
        let told = (&mut story).await;
        told.map_err(|error| environment(error, "the story of the volunteers broke off"))
    }
}

/// What became of everybody, with what our nodes remember: the faulty ones as they were `judged`
/// when all had been dialled, the others as they are now.
async fn verdicts<'a>(
    world: &'a World,
    ledger: &Ledger,
    judged: Vec<Account>,
) -> Result<Vec<Verdict<'a>>, Failed> {
    let mut verdicts = Vec::new();
    let accounts = judged.into_iter().zip(&ledger.accounts);
    for (citizen, (judged, now)) in world.citizens.iter().zip(accounts) {
        // A busy machine may have come to a judgement only later.
        let account = if citizen.nature.is_kept() || !citizen.nature.is_right(&judged) {
            now.clone()
        } else {
            judged
        };
        let mut verdict = Verdict {
            citizen,
            right: citizen.nature.is_right(&account),
            account,
            story: story(world, citizen).await?,
        };
        verdict.right &= verdict.kind() == verdict.expected();
        verdicts.push(verdict);
    }
    Ok(verdicts)
}

/// What our node remembers of one.
async fn story(world: &World, citizen: &Citizen) -> Result<Option<book::Story>, Failed> {
    let Some(ours) = world.ours.get(citizen.place) else {
        return Ok(None);
    };
    let stories = ours.why(citizen.key()).await;
    let stories = stories.map_err(|error| environment(error, "a node of ours is gone"))?;
    Ok(stories.into_iter().next())
}
