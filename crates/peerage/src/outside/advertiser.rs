//! Tells the truth about where a node is: its record follows what is decided.

use std::net::IpAddr;
use std::time::Duration;

use peerage_core::{Endpoint, Failure as _, Reason};
use peerage_discv5::record;
use peerage_find::{Handle, Sockets};
use peerage_nat::{Decision, External, Family, Source};
use peerage_outside::mapping::{Hurry, Mapper, MapperPlan, Mappings, Transport, Wanted};
use peerage_outside::{Observed, Observer, Plan};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How often the votes are looked at. 5 s: reading them costs one command of the owner's queue.
const LOOK: Duration = Duration::from_secs(5);

/// How long what a survey saw counts; the next comes within half of it.
const SEEN_LIFE: Duration = Duration::from_secs(60 * 60);

/// What a node does to know where it is.
#[derive(Debug, Default)]
pub struct Advertise {
    /// What the operator says: an address, with port 0 where the listener's is meant; one for each
    /// family.
    pub configured: Vec<Endpoint>,
    /// Whether the router is asked for ports.
    pub map: bool,
    /// STUN servers and times, if any are to be asked.
    pub observe: Option<Plan>,
    /// The node's TCP port, which is mapped and told as well.
    pub tcp: Option<u16>,
}

/// What is told of a node, and why.
#[derive(Clone, Debug)]
pub struct Told {
    /// For each family, IPv4 first.
    pub decisions: [Decision; 2],
    /// The ports of the router.
    pub mappings: Mappings,
    /// What surveys found.
    pub observed: Observed,
    /// Whether the record says so already.
    pub is_written: bool,
    /// Why the record could not be changed, if it could not.
    pub trouble: Option<Reason>,
}

/// Decides where a node is, and keeps the record of its discovery true, if it has one.
///
/// # Cancellation
/// Dropping it leaves the record as it is and ports of the router to end by themselves;
/// [`Self::close`] gives them back.
#[derive(Debug)]
pub struct Advertiser {
    told: watch::Receiver<Told>,
    mapper: Option<Mapper>,
    task: JoinHandle<()>,
}

impl Drop for Advertiser {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where a node listens; taken before its sockets are given away.
#[derive(Clone, Debug)]
pub struct Listening {
    at: Vec<Endpoint>,
}

impl Listening {
    /// Where these sockets are.
    pub fn of(sockets: &Sockets) -> Self {
        Self::at(sockets.endpoints())
    }

    /// At these endpoints, the first of each family.
    pub fn at(ends: impl IntoIterator<Item = Endpoint>) -> Self {
        let mut at: Vec<Endpoint> = Vec::new();
        for end in ends {
            let family = Family::of(end.ip());
            if !at.iter().any(|other| Family::of(other.ip()) == family) {
                at.push(end);
            }
        }
        Self { at }
    }
}

impl Advertiser {
    /// Starts. With a discovery service, whose own updating by votes must be off, `listening` is
    /// where that is, votes count and its record is written. Without, it is where the node's
    /// listeners are, and what is decided is only told.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(plan: Advertise, listening: &Listening, handle: Option<Handle>) -> Self {
        let now = Instant::now().into_std();
        let mut external = External::new();
        let mut udp = None;
        for at in &listening.at {
            external.bind(now, *at);
            if handle.is_some() && Family::of(at.ip()) == Family::V4 {
                udp = Some(at.port());
            }
        }
        for at in &plan.configured {
            external.claim(now, Source::Configured, *at, None);
        }
        let wanted = [(Transport::Udp, udp), (Transport::Tcp, plan.tcp)];
        let wanted = wanted.into_iter().filter_map(|(transport, port)| {
            let port = port.filter(|port| *port != 0)?;
            Some(Wanted { transport, port })
        });
        let mapper = plan.map.then(|| {
            Mapper::start(MapperPlan {
                wanted: wanted.collect(),
                router: None,
            })
        });
        let observer = plan.observe.map(Observer::start);
        let told = Told {
            decisions: Family::BOTH.map(|family| external.decide(now, family)),
            mappings: Mappings::default(),
            observed: Observed::default(),
            is_written: false,
            trouble: None,
        };
        let (sender, told) = watch::channel(told);
        let teller = Teller {
            external,
            handle,
            mappings: mapper.as_ref().map(Mapper::subscribe),
            hurry: mapper.as_ref().map(Mapper::hurry),
            seen_at: None,
            observer,
            tcp: plan.tcp,
        };
        let task = tokio::spawn(teller.run(sender));
        Self { told, mapper, task }
    }

    /// What is told now.
    pub fn now(&self) -> Told {
        self.told.borrow().clone()
    }

    /// Waits until the record says what is known without asking anybody: what is configured and
    /// bound.
    pub async fn ready(&self) {
        // An error means that the discovery service has ended.
        let mut told = self.told.clone();
        let _ended = told.wait_for(|told| told.is_written).await;
    }

    /// To be told of changes.
    pub fn subscribe(&self) -> watch::Receiver<Told> {
        self.told.clone()
    }

    /// Ends it and gives the router its ports back.
    pub async fn close(mut self) {
        self.task.abort();
        if let Some(mapper) = self.mapper.take() {
            mapper.close().await;
        }
    }
}

struct Teller {
    external: External,
    handle: Option<Handle>,
    mappings: Option<watch::Receiver<Mappings>>,
    hurry: Option<Hurry>,
    /// Where the last survey saw us.
    seen_at: Option<IpAddr>,
    observer: Option<Observer>,
    tcp: Option<u16>,
}

impl Teller {
    /// Runs until the discovery service ends.
    async fn run(mut self, sender: watch::Sender<Told>) {
        let mut last: Option<[Option<Endpoint>; 2]> = None;
        loop {
            let mappings = match &mut self.mappings {
                Some(mappings) => mappings.borrow_and_update().clone(),
                None => Mappings::default(),
            };
            let observed = self
                .observer
                .as_ref()
                .map(Observer::now)
                .unwrap_or_default();
            self.follow(&observed);
            if self.gather(&mappings, &observed).await.is_none() {
                return;
            }
            let now = Instant::now().into_std();
            let decisions = Family::BOTH.map(|family| self.external.decide(now, family));
            let chosen = decisions
                .each_ref()
                .map(|d| d.chosen.map(|chosen| chosen.endpoint));
            let mut trouble = None;
            if last != Some(chosen) {
                last = Some(chosen);
                match self.write(chosen, &mappings).await {
                    Some(done) => trouble = done,
                    None => return,
                }
            }
            let told = Told {
                decisions,
                mappings,
                observed,
                is_written: true,
                trouble,
            };
            // Times pass without news.
            sender.send_if_modified(|before| {
                let is_news = before.decisions.each_ref().map(what)
                    != told.decisions.each_ref().map(what)
                    || before.mappings.mapped().ne(told.mappings.mapped())
                    || (before.is_written, &before.trouble) != (true, &told.trouble);
                *before = told;
                is_news
            });
            let mapped = async {
                match &mut self.mappings {
                    Some(mappings) => mappings.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep(LOOK) => {}
                // Without a mapper nothing changes any more.
                is_there = mapped => if !is_there { self.mappings = None },
            }
        }
    }

    /// A router with another outside may have forgotten our ports, and says another address of them.
    fn follow(&mut self, observed: &Observed) {
        let Some(report) = &observed.v4.report else {
            return;
        };
        let seen_at = report.external.map(|at| at.ip());
        let before = std::mem::replace(&mut self.seen_at, seen_at);
        if let (Some(hurry), true) = (&self.hurry, before.is_some() && before != seen_at) {
            hurry.up();
        }
    }

    /// Takes in what everybody says; `None` when the service has ended.
    async fn gather(&mut self, mappings: &Mappings, observed: &Observed) -> Option<()> {
        let now = Instant::now().into_std();
        for family in Family::BOTH {
            let votes = match &self.handle {
                Some(handle) => handle.majority(of_record(family)).await.ok()?,
                None => None,
            };
            match votes {
                // Read again long before that.
                Some(at) => self.external.claim(now, Source::Voted, at, Some(4 * LOOK)),
                None => self.external.withdraw(family, Source::Voted),
            }
            match &observed.of(family).report {
                Some(report) => {
                    let life = SEEN_LIFE.saturating_sub(report.age(now));
                    self.external.claim_survey(now, report, life);
                }
                None => self.external.withdraw(family, Source::Seen),
            }
        }
        let transport = match &self.handle {
            Some(_) => Transport::Udp,
            None => Transport::Tcp,
        };
        let mapped = mappings.mapped();
        match mapped
            .into_iter()
            .find(|(wanted, _)| wanted.transport == transport)
        {
            Some((_, mapped)) => {
                let left = mapped
                    .lifetime
                    .saturating_sub(now.saturating_duration_since(mapped.at));
                self.external
                    .claim(now, Source::Mapped, mapped.external, Some(left));
            }
            None => self.external.withdraw(Family::V4, Source::Mapped),
        }
        Some(())
    }

    /// Writes what is chosen into the record, and takes out what is not. Inside: why it could not.
    async fn write(
        &self,
        chosen: [Option<Endpoint>; 2],
        mappings: &Mappings,
    ) -> Option<Option<Reason>> {
        let Some(handle) = &self.handle else {
            return Some(None);
        };
        let [v4, v6] = chosen;
        let mut tcp = mappings
            .mapped()
            .filter(|(wanted, _)| wanted.transport == Transport::Tcp);
        // A mapped TCP port leads here only if it is one of the address that is told.
        let mapped = tcp.next().map(|(_, mapped)| mapped.external);
        let mapped = mapped.filter(|tcp| v4.is_some_and(|v4| v4.ip() == tcp.ip()));
        let tcp = self.tcp.map(|port| mapped.map_or(port, |tcp| tcp.port()));
        let changed = handle.update_record(move |record| {
            let mut record = match v4 {
                Some(at) => record.ip(at.ip()).udp4(at.port()),
                None => record.without("ip").without("udp"),
            };
            record = match v6 {
                Some(at) => record.ip(at.ip()).udp6(at.port()),
                None => record.without("ip6").without("udp6"),
            };
            match (tcp, v4) {
                (Some(port), Some(_)) => record.tcp4(port),
                _ => record,
            }
        });
        Some(changed.await.ok()?.err().map(|error| error.reason()))
    }
}

/// A decision without its times.
fn what(decision: &Decision) -> (Option<Endpoint>, String) {
    let chosen = decision.chosen.map(|chosen| chosen.endpoint);
    (chosen, decision.to_string())
}

const fn of_record(family: Family) -> record::Family {
    match family {
        Family::V4 => record::Family::V4,
        Family::V6 => record::Family::V6,
    }
}
