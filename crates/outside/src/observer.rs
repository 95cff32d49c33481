//! Surveys again and again.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use peerage_core::nat::{NatType, NetworkType, PortMappings};
use peerage_core::{Endpoint, Failure as _, Reason};
use peerage_nat::survey::{Outcome, ServerReport};
use peerage_nat::watch::{Attachment, Due, WatchRules};
use peerage_nat::{Family, Report, Settings, Watch};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::{glance, local, survey};

/// Gives 16 unpredictable bytes each time.
pub type Seeds = Box<dyn FnMut() -> [u8; 16] + Send>;

/// What to observe, and how.
pub struct Plan {
    /// The STUN servers by name, as [`crate::resolve`] takes them; resolved anew each time.
    pub servers: Vec<String>,
    /// How patient a survey is.
    pub settings: Settings,
    /// How often.
    pub rules: WatchRules,
    /// How often the system is asked where we are attached. 5 s: the question sends nothing.
    pub look: Duration,
    /// The kind of network, where the user declares it.
    pub network: Option<NetworkType>,
    /// Our address to ask from, where the system's choice will not do.
    pub bind: Option<IpAddr>,
    /// Seeds for the surveys.
    pub seeds: Seeds,
}

impl Plan {
    /// The usual times.
    pub fn new(servers: Vec<String>, seeds: Seeds) -> Self {
        Self {
            servers,
            settings: Settings::default(),
            rules: WatchRules::default(),
            look: Duration::from_secs(5),
            network: None,
            bind: None,
            seeds,
        }
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plan = f.debug_struct("Plan");
        plan.field("servers", &self.servers).finish_non_exhaustive()
    }
}

/// What is known of one family.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Where we are attached.
    pub attachment: Option<Attachment>,
    /// The last survey of this attachment.
    pub report: Option<Report>,
    /// Why the last was made.
    pub due: Option<Due>,
    /// Names of servers that have no address.
    pub unresolved: Vec<Reason>,
    /// Whether one is under way.
    pub is_running: bool,
}

/// What is known of both.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// IPv4.
    pub v4: Seen,
    /// IPv6.
    pub v6: Seen,
    /// The kind of network, declared or told by the system.
    pub network: NetworkType,
}

impl Observed {
    /// What is known of a family.
    pub const fn of(&self, family: Family) -> &Seen {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    const fn of_mut(&mut self, family: Family) -> &mut Seen {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// The type to be matched by: as measured, but a mapped port opens any NAT, and an unmeasured
    /// mobile network counts as symmetric.
    pub fn effective(&self, family: Family, mappings: PortMappings) -> NatType {
        let report = self.of(family).report.as_ref();
        let measured = report.map_or(NatType::UNKNOWN, Report::nat);
        measured.effective(mappings, self.network)
    }
}

/// A running observation; it ends with the last of these.
#[derive(Debug)]
pub struct Observer {
    observed: watch::Receiver<Observed>,
    task: JoinHandle<()>,
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Observer {
    /// Starts.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(plan: Plan) -> Self {
        let (sender, observed) = watch::channel(Observed::default());
        let task = tokio::spawn(run(plan, sender));
        Self { observed, task }
    }

    /// What is known now.
    pub fn now(&self) -> Observed {
        self.observed.borrow().clone()
    }

    /// To be told of changes.
    pub fn subscribe(&self) -> watch::Receiver<Observed> {
        self.observed.clone()
    }
}

async fn run(mut plan: Plan, sender: watch::Sender<Observed>) {
    let mut watches = Family::BOTH.map(|family| (family, Watch::new(plan.rules)));
    loop {
        let looked_at = Instant::now();
        let network = plan
            .network
            .unwrap_or_else(|| local::network_type(Family::V4));
        for (family, watch) in &mut watches {
            let attachment = local::attachment(*family);
            if watch.handle_attachment(looked_at.into_std(), attachment) {
                sender.send_modify(|observed| {
                    observed.network = network;
                    *observed.of_mut(*family) = Seen {
                        attachment,
                        ..Seen::default()
                    };
                });
            }
        }
        for (family, watch) in &mut watches {
            let Some(due) = watch.poll_due(Instant::now().into_std()) else {
                continue;
            };
            sender.send_modify(|observed| observed.of_mut(*family).is_running = true);
            let (servers, unresolved) = servers(&plan.servers).await;
            let seed = (plan.seeds)();
            let report = survey(*family, &servers, plan.settings, plan.bind, seed).await;
            let now = Instant::now().into_std();
            // Only now is it known whether the network stayed.
            watch.handle_attachment(now, local::attachment(*family));
            let counts = watch.handle_report(now, report.clone());
            sender.send_modify(|observed| {
                let seen = observed.of_mut(*family);
                seen.is_running = false;
                seen.due = Some(due);
                seen.unresolved = unresolved;
                seen.attachment = watch.attachment();
                seen.report = counts.then_some(report);
            });
        }
        for (family, watch) in &mut watches {
            if !watch.poll_glance(Instant::now().into_std()) {
                continue;
            }
            let Some(server) = watch.last().and_then(who_answered) else {
                continue;
            };
            let seen = glance::glance(server, plan.bind, (plan.seeds)()).await;
            let now = Instant::now().into_std();
            // What was seen from another network says nothing of this one.
            if local::attachment(*family) == watch.attachment() {
                watch.handle_glance(now, seen);
            }
        }
        let timeouts = watches.iter().filter_map(|(_, watch)| watch.poll_timeout());
        let due_at = timeouts.map(|wakeup| Instant::from_std(wakeup.at)).min();
        let look_at = looked_at + plan.look;
        sleep_until(due_at.map_or(look_at, |due_at| due_at.min(look_at))).await;
    }
}

/// A server of a survey that answered.
fn who_answered(report: &Report) -> Option<Endpoint> {
    let answered = |server: &ServerReport| {
        let mut trials = report.trials.iter();
        trials.any(|trial| {
            trial.to == server.at && matches!(trial.outcome, Some(Outcome::Answered { .. }))
        })
    };
    let server = report.servers.iter().find(|server| answered(server));
    server.map(|server| server.at)
}

/// The servers' addresses, and why some have none.
async fn servers(names: &[String]) -> (Vec<Endpoint>, Vec<Reason>) {
    let (mut found, mut unresolved) = (Vec::new(), Vec::new());
    for name in names {
        match survey::resolve(name).await {
            Ok(at) => found.extend(at),
            Err(error) => unresolved.push(error.reason()),
        }
    }
    (found, unresolved)
}
