//! One scenario, one size, one variant a run; one line of JSON. See `bench/README.md`.

mod floor;
#[path = "../../../crates/matcher/tests/scan.rs"]
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
mod scan;
mod world;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use peerage_matcher::{
    Action, Announcement, AnnouncementId, Answer, CompartmentId, Compartments, Config, Matcher,
    NatType, Offer,
};
use scan::{Entry, Scan};
use world::{Random, common, elsewhere, home};

type Error = Box<dyn std::error::Error>;

const USAGE: &str = "\
usage: bench-matcher ours SCENARIO ANNOUNCEMENTS VARIANT
       bench-matcher scan SCENARIO ANNOUNCEMENTS OPERATIONS
       bench-matcher floor next|any LINES
       bench-matcher list";

/// Offers in a pass, and entries removed.
const MANY: usize = 10_000;

/// How often removal is measured within a run, each time from a queue of full length.
const PASSES_OF_REMOVAL: usize = 7;

const MINUTE: Duration = Duration::from_secs(60);

/// What the announcements of a scenario are like, and what the offers ask for.
struct Setting {
    name: &'static str,
    /// Of the announcement of this number.
    announcement: fn(usize, &mut Random) -> (Place, u8),
    /// The common compartment that offers name.
    asked: u8,
    /// Pairs that a pass of 10,000 offers makes from so many announcements.
    pairs: fn(usize) -> usize,
    /// All are behind open NATs, so that the oldest is always the best.
    open: bool,
    /// One more announcement, of a personal compartment that nobody asks for.
    one_personal: bool,
}

enum Place {
    Home,
    Elsewhere,
}

const PASSES: &[Setting] = &[
    Setting {
        name: "no_compartment",
        announcement: |_, _| (Place::Elsewhere, 1),
        asked: 2,
        pairs: |_| 0,
        open: false,
        one_personal: false,
    },
    Setting {
        name: "same_geo",
        announcement: |_, _| (Place::Home, 1),
        asked: 1,
        pairs: |_| 0,
        open: false,
        one_personal: false,
    },
    Setting {
        name: "one_in_1000_by_compartment",
        announcement: |at, _| (Place::Elsewhere, if at % 1_000 == 999 { 2 } else { 1 }),
        asked: 2,
        pairs: |announcements| MANY.min(announcements / 1_000),
        open: false,
        one_personal: false,
    },
    Setting {
        name: "one_in_1000_by_geo",
        announcement: |at, _| {
            (
                if at % 1_000 == 999 {
                    Place::Elsewhere
                } else {
                    Place::Home
                },
                1,
            )
        },
        asked: 1,
        pairs: |announcements| MANY.min(announcements / 1_000),
        open: false,
        one_personal: false,
    },
    Setting {
        name: "match_at_head",
        announcement: |_, _| (Place::Elsewhere, 1),
        asked: 1,
        pairs: |announcements| MANY.min(announcements),
        open: true,
        one_personal: false,
    },
    Setting {
        name: "one_personal",
        announcement: |_, _| (Place::Elsewhere, 1),
        asked: 1,
        pairs: |announcements| MANY.min(announcements),
        open: true,
        one_personal: true,
    },
];

/// Processor time of this thread: neighbours on the machine move it least.
struct Meter(Duration);

impl Meter {
    fn start() -> Result<Self, Error> {
        Ok(Self(cpu()?))
    }

    fn stop(self) -> Result<Duration, Error> {
        Ok(cpu()?.saturating_sub(self.0))
    }
}

fn cpu() -> Result<Duration, Error> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// What each line reports.
struct Report {
    operations: usize,
    /// Of several passes the quietest.
    taken: Duration,
    /// Of several passes the one in the middle.
    median: Duration,
    /// The longest single call, where each is timed.
    longest: Duration,
    pairs: usize,
    rss_growth: u64,
}

impl Report {
    fn of_one_pass(operations: usize, taken: Duration, pairs: usize) -> Self {
        Self {
            operations,
            taken,
            median: taken,
            longest: Duration::ZERO,
            pairs,
            rss_growth: 0,
        }
    }

    fn of_passes(operations: usize, mut passes: Vec<Duration>) -> Result<Self, Error> {
        passes.sort_unstable();
        let taken = *passes.first().ok_or("no pass")?;
        Ok(Self {
            median: passes[passes.len() / 2],
            ..Self::of_one_pass(operations, taken, 0)
        })
    }
}

fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (kind, scenario, size, variant, report) = match words[..] {
        ["list"] => {
            println!("{}", world::VARIANTS.join(" "));
            return Ok(());
        }
        ["ours", scenario, size, variant] => {
            let config = world::config(variant).ok_or("no such variant")?;
            let bench = Bench::new(config, variant, size.parse()?)?;
            ("ours", scenario, size, variant, bench.run(scenario)?)
        }
        ["scan", scenario, size, operations] => {
            let report = run_scan(scenario, size.parse()?, operations.parse()?)?;
            ("scan", scenario, size, operations, report)
        }
        ["floor", kind, lines] => {
            let walk = floor::Walk::named(kind).ok_or(USAGE)?;
            let passes = floor::walk(walk, lines.parse()?, MANY)?;
            (
                "floor",
                kind,
                lines,
                "off",
                Report::of_passes(MANY, passes)?,
            )
        }
        _ => return Err(USAGE.into()),
    };
    let Report {
        operations,
        taken,
        median,
        longest,
        pairs,
        rss_growth,
    } = report;
    println!(
        "{{\"kind\":\"{kind}\",\"scenario\":\"{scenario}\",\"announcements\":{size},\
         \"variant\":\"{variant}\",\"operations\":{operations},\"ns\":{},\"ns_median\":{},\
         \"ns_longest\":{},\"pairs\":{pairs},\"rss_growth\":{rss_growth},\"peak_rss\":{}}}",
        taken.as_nanos(),
        median.as_nanos(),
        longest.as_nanos(),
        status("VmHWM:")?,
    );
    Ok(())
}

/// A line of this process's status, in bytes.
fn status(line: &str) -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let found = status.lines().find_map(|l| l.strip_prefix(line));
    let kib = found.and_then(|rest| rest.split_whitespace().next());
    Ok(kib.ok_or("no such line")?.parse::<u64>()? * 1_024)
}

fn only(id: &CompartmentId) -> Compartments<'_> {
    Compartments {
        personal: &[],
        common: std::slice::from_ref(id),
    }
}

struct Bench {
    matcher: Matcher,
    random: Random,
    now: Instant,
    size: usize,
    with_quality: bool,
}

impl Bench {
    fn new(config: Config, variant: &str, size: usize) -> Result<Self, Error> {
        let now = Instant::now();
        Ok(Self {
            matcher: Matcher::new(config, [9; 16], now)?,
            random: Random(1),
            now,
            size,
            with_quality: variant == "quality",
        })
    }

    fn run(mut self, scenario: &str) -> Result<Report, Error> {
        if let Some(setting) = PASSES.iter().find(|s| s.name == scenario) {
            return self.pass(setting);
        }
        if let Some(name) = scenario.strip_suffix("_arriving")
            && let Some(setting) = PASSES.iter().find(|s| s.name == name)
        {
            return self.arriving(setting);
        }
        match scenario {
            "ping_pong_1" => self.ping_pong(1),
            "ping_pong_64" => self.ping_pong(64),
            "insert" => self.insert(),
            "memory" => self.memory(|_, _| common(1)),
            "memory_own_compartment" => self.memory(|_, random| CompartmentId(random.id())),
            "remove_fifo" => self.remove(|_, _| {}),
            "remove_random" => self.remove(|ids, random| random.shuffle(ids)),
            "remove_half" => self.remove_half(&PASSES[0]),
            "remove_half_of_one_place" => self.remove_half(&PASSES[1]),
            "remove_longest" => self.remove_longest(),
            "remove_newest_first" => self.remove(|ids, _| ids.reverse()),
            "expire" => self.expire(),
            _ => Err("no such scenario".into()),
        }
    }

    /// They come evenly over a minute.
    fn arrival(&self, at: usize) -> Instant {
        self.now + MINUTE.mul_f64(at as f64 / self.size as f64)
    }

    fn announcements(&mut self, setting: &Setting) -> Vec<(Announcement, CompartmentId)> {
        (0..self.size)
            .map(|at| {
                let (place, id) = (setting.announcement)(at, &mut self.random);
                let place = match place {
                    Place::Home => home(),
                    Place::Elsewhere => elsewhere(&mut self.random),
                };
                let now = self.arrival(at);
                let mut record = world::announcement(&mut self.random, now, place);
                if setting.open {
                    record.properties.nat = NatType::OPEN;
                }
                (record, common(id))
            })
            .collect()
    }

    fn announce(
        &mut self,
        list: Vec<(Announcement, CompartmentId)>,
    ) -> Result<Vec<AnnouncementId>, Error> {
        let mut ids = Vec::with_capacity(list.len());
        for (record, id) in list {
            if self.with_quality && record.priority {
                let seen_in = record.properties.geography.asn;
                let client = home().asn;
                self.matcher
                    .report_quality(self.now, record.volunteer, seen_in, client);
            }
            let now = record.deadline.ok_or("no deadline")? - world::WAIT;
            ids.push(self.matcher.announce(now, record, only(&id))?);
        }
        Ok(ids)
    }

    fn fill(&mut self, setting: &Setting) -> Result<(), Error> {
        let list = self.announcements(setting);
        self.announce(list)?;
        self.now += MINUTE;
        if setting.one_personal {
            let record = world::announcement(&mut self.random, self.now, elsewhere(&mut Random(5)));
            let ids = [CompartmentId([77; 32])];
            let personal = Compartments {
                personal: &ids,
                common: &[],
            };
            self.matcher.announce(self.now, record, personal)?;
        }
        Ok(())
    }

    fn offers(&mut self) -> Vec<Offer> {
        let (random, now) = (&mut self.random, self.now);
        (0..MANY).map(|_| world::offer(random, now)).collect()
    }

    fn drain(&mut self) -> usize {
        let mut pairs = 0;
        while let Some(action) = self.matcher.poll_action() {
            pairs += usize::from(matches!(action, Action::Deliver { .. }));
        }
        pairs
    }

    fn expect(&self, setting: &Setting, pairs: usize) -> Result<(), Error> {
        // Rules that some variants add may leave a few without.
        let expected = (setting.pairs)(self.size);
        let extras = &self.matcher.config().extras;
        if pairs != expected && extras.allow_match.is_empty() && extras.nat == Default::default() {
            return Err(format!("{pairs} pairs, {expected} expected").into());
        }
        Ok(())
    }

    /// All queue first; what is timed is one pass over the offers.
    fn pass(&mut self, setting: &Setting) -> Result<Report, Error> {
        self.matcher.hold();
        self.fill(setting)?;
        for offer in self.offers() {
            self.matcher
                .offer(self.now, offer, only(&common(setting.asked)))?;
        }
        let meter = Meter::start()?;
        self.matcher.resume(self.now);
        let taken = meter.stop()?;
        let pairs = self.drain();
        self.expect(setting, pairs)?;
        Ok(Report::of_one_pass(MANY, taken, pairs))
    }

    /// Offers come one by one; what is timed is the whole call, and taking the action.
    fn arriving(&mut self, setting: &Setting) -> Result<Report, Error> {
        self.fill(setting)?;
        let offers = self.offers();
        let asked = common(setting.asked);
        let mut actions = Vec::with_capacity(MANY);
        let meter = Meter::start()?;
        for offer in offers {
            self.matcher.offer(self.now, offer, only(&asked))?;
            actions.extend(self.matcher.poll_action());
        }
        let taken = meter.stop()?;
        self.expect(setting, actions.len())?;
        Ok(Report::of_one_pass(MANY, taken, actions.len()))
    }

    /// Rounds of so many announcements, offers and answers on top of what waits elsewhere.
    fn ping_pong(&mut self, pairs: usize) -> Result<Report, Error> {
        let waiting = &PASSES[0];
        self.fill(waiting)?;
        let (asked, rounds) = (common(200), 20_000 / pairs);
        let mut requests = Vec::new();
        for _ in 0..rounds {
            for _ in 0..pairs {
                let place = elsewhere(&mut self.random);
                requests.push(Ok(world::announcement(&mut self.random, self.now, place)));
            }
            for _ in 0..pairs {
                requests.push(Err(world::offer(&mut self.random, self.now)));
            }
        }
        let mut answered = 0;
        let meter = Meter::start()?;
        for request in requests {
            match request {
                Ok(record) => {
                    self.matcher.announce(self.now, record, only(&asked))?;
                }
                Err(offer) => {
                    self.matcher.offer(self.now, offer, only(&asked))?;
                    while let Some(action) = self.matcher.poll_action() {
                        match action {
                            Action::Deliver { to, .. } => {
                                let record = self.matcher.announcement(to).ok_or("gone")?;
                                let (volunteer, connection) = (record.volunteer, record.connection);
                                let answer = Answer {
                                    version: 1,
                                    description: bytes::Bytes::from_static(&[4; 1_000]),
                                };
                                self.matcher
                                    .answer(self.now, &volunteer, &connection, answer)?;
                            }
                            Action::Answer { .. } => answered += 1,
                            _ => return Err("someone failed".into()),
                        }
                    }
                }
            }
        }
        let taken = meter.stop()?;
        if answered != rounds * pairs {
            return Err("not all were answered".into());
        }
        Ok(Report::of_one_pass(answered, taken, answered))
    }

    /// The last 10,000 of them.
    fn insert(&mut self) -> Result<Report, Error> {
        let mut list = self.announcements(&PASSES[0]);
        let last = list.split_off(self.size.saturating_sub(MANY));
        self.announce(list)?;
        let operations = last.len();
        let meter = Meter::start()?;
        self.announce(last)?;
        Ok(Report::of_one_pass(operations, meter.stop()?, 0))
    }

    /// So many are taken out as `arrange` puts them first, and as many others announced before the
    /// next pass: what is timed is removal from a queue of this length that has seen some use.
    fn remove(&mut self, arrange: fn(&mut [AnnouncementId], &mut Random)) -> Result<Report, Error> {
        let list = self.announcements(&PASSES[0]);
        let mut ids = self.announce(list)?;
        self.now += MINUTE;
        let mut passes = Vec::new();
        let mut operations = 0;
        for _ in 0..PASSES_OF_REMOVAL {
            let mut leaving = ids.clone();
            arrange(&mut leaving, &mut self.random);
            leaving.truncate(MANY);
            let meter = Meter::start()?;
            for &id in &leaving {
                self.matcher.cancel_announcement(self.now, id);
            }
            passes.push(meter.stop()?);
            if self.matcher.stats().announcements != self.size - leaving.len() {
                return Err("not all were removed".into());
            }
            operations = leaving.len();
            let gone: BTreeSet<_> = leaving.into_iter().collect();
            ids.retain(|id| !gone.contains(id));
            let list = (0..operations).map(|_| {
                let place = elsewhere(&mut self.random);
                let record = world::announcement(&mut self.random, self.now, place);
                (record, common(1))
            });
            let list = list.collect();
            ids.extend(self.announce(list)?);
        }
        Report::of_passes(operations, passes)
    }

    /// Half of all in one pass: whatever removal puts off is made up for in it, many times.
    fn remove_half(&mut self, setting: &Setting) -> Result<Report, Error> {
        let list = self.announcements(setting);
        let mut ids = self.announce(list)?;
        self.now += MINUTE;
        self.random.shuffle(&mut ids);
        ids.truncate(self.size / 2);
        let meter = Meter::start()?;
        for &id in &ids {
            self.matcher.cancel_announcement(self.now, id);
        }
        Ok(Report::of_one_pass(ids.len(), meter.stop()?, 0))
    }

    /// The same with a clock around each call, for the longest one. The machine interrupts some
    /// calls, but not the same ones each time: of each call the quietest of several runs counts.
    fn remove_longest(&mut self) -> Result<Report, Error> {
        let mut quietest = vec![Duration::MAX; self.size / 2];
        for _ in 0..PASSES_OF_REMOVAL {
            let config = self.matcher.config().clone();
            *self = Self::new(config, "off", self.size)?;
            let list = self.announcements(&PASSES[0]);
            let mut ids = self.announce(list)?;
            self.now += MINUTE;
            self.random.shuffle(&mut ids);
            for (id, quietest) in ids.into_iter().zip(&mut quietest) {
                let one = Meter::start()?;
                self.matcher.cancel_announcement(self.now, id);
                *quietest = one.stop()?.min(*quietest);
            }
        }
        quietest.sort_unstable();
        Ok(Report {
            longest: *quietest.last().ok_or("none")?,
            ..Report::of_one_pass(quietest.len(), quietest.iter().sum(), 0)
        })
    }

    /// All deadlines pass at once.
    fn expire(&mut self) -> Result<Report, Error> {
        let list = self.announcements(&PASSES[0]);
        self.announce(list)?;
        let later = self.now + Duration::from_secs(3_600);
        let meter = Meter::start()?;
        self.matcher.handle_timeout(later);
        let taken = meter.stop()?;
        Ok(Report::of_one_pass(self.size, taken, 0))
    }

    /// What waiting announcements add to resident memory, made and queued one by one.
    fn memory(
        &mut self,
        compartment: fn(usize, &mut Random) -> CompartmentId,
    ) -> Result<Report, Error> {
        let before = status("VmRSS:")?;
        let meter = Meter::start()?;
        for at in 0..self.size {
            let place = elsewhere(&mut self.random);
            let now = self.arrival(at);
            let record = world::announcement(&mut self.random, now, place);
            let id = compartment(at, &mut self.random);
            self.matcher.announce(now, record, only(&id))?;
        }
        let taken = meter.stop()?;
        Ok(Report {
            rss_growth: status("VmRSS:")?.saturating_sub(before),
            ..Report::of_one_pass(self.size, taken, 0)
        })
    }
}

/// The same scenarios through the reference's scan; `operations` of them, because it is slow.
fn run_scan(scenario: &str, size: usize, operations: usize) -> Result<Report, Error> {
    let mut random = Random(1);
    let now = Instant::now();
    let entry = |label: usize, record: &peerage_matcher::Properties, id: CompartmentId| Entry {
        label: label as u64,
        personal: Vec::new(),
        common: vec![id.0],
        geography: (
            record
                .geography
                .country
                .map_or(0, |c| u16::from_be_bytes(c.letters())),
            record.geography.asn.map_or(0, |asn| asn.0),
        ),
        class: record.class() as usize,
    };
    let mut scan = Scan::default();
    let setting = PASSES.iter().find(|s| s.name == scenario);
    let of = setting.unwrap_or(&PASSES[0]);
    for at in 0..size {
        let (place, id) = (of.announcement)(at, &mut random);
        let place = match place {
            Place::Home => home(),
            Place::Elsewhere => elsewhere(&mut random),
        };
        let mut record = world::announcement(&mut random, now, place);
        if of.open {
            record.properties.nat = NatType::OPEN;
        }
        scan.announce(entry(at, &record.properties, common(id)));
    }
    if of.one_personal {
        let record = world::announcement(&mut random, now, elsewhere(&mut Random(5)));
        let mut personal = entry(size, &record.properties, common(1));
        (personal.personal, personal.common) = (vec![[77; 32]], Vec::new());
        scan.announce(personal);
    }
    let meter;
    let mut pairs = 0;
    if setting.is_some() {
        for at in 0..operations {
            let record = world::offer(&mut random, now);
            scan.offer(entry(at, &record.properties, common(of.asked)));
        }
        meter = Meter::start()?;
        pairs = scan.pass().len();
    } else {
        let mut labels: Vec<u64> = (0..size as u64).collect();
        match scenario {
            "remove_fifo" => {}
            "remove_random" => random.shuffle(&mut labels),
            "remove_newest_first" => labels.reverse(),
            _ => return Err("no such scenario for the scan".into()),
        }
        labels.truncate(operations);
        meter = Meter::start()?;
        for label in labels {
            if !scan.remove_announcement(label) {
                return Err("it was not there".into());
            }
        }
    }
    Ok(Report::of_one_pass(operations, meter.stop()?, pairs))
}
