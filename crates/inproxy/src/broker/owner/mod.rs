//! The one task that owns the matcher, and the callers that it holds.

mod command;
mod pairs;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use peerage_core::{Failure as _, Retry, UnixTime};
use peerage_matcher::{
    Action, Announcement, AnnouncementError, AnnouncementId, Compartments, ConnectionId, Matcher,
    Offer, OfferError, OfferId, Shared, Taken, VolunteerId,
};
use tokio::sync::{mpsc, oneshot};

use self::pairs::{Pair, Pairs};
use self::words::{no_client, refusal, text, waiting};
use super::admit::ByKind;
use super::metrics::Metrics;
use super::report::Report;
use crate::message::{Answered, MAX_EXPLANATIONS, Matched, Reply};
use crate::outside::Outside;
use crate::refusal::{Code, Refusal};

pub(super) use command::{CallId, Caller, Command, ConnectionNumber, Gone, Purpose};
pub(super) use words::numbers;

enum Held {
    Announcement(AnnouncementId),
    Offer(OfferId, Purpose),
}

struct Call {
    caller: Caller,
    held: Held,
    reply: oneshot::Sender<Reply>,
}

pub(super) struct Owner {
    matcher: Matcher,
    calls: BTreeMap<CallId, Call>,
    by_session: BTreeSet<(u64, CallId)>,
    by_announcement: BTreeMap<AnnouncementId, CallId>,
    by_offer: BTreeMap<OfferId, CallId>,
    pairs: Pairs,
    gone: Arc<Gone>,
    reports: Option<mpsc::Sender<Report>>,
    metrics: Arc<Metrics>,
    attention: Duration,
    outside: Outside,
}

/// Commands taken before the matcher's actions are performed.
const BATCH: usize = 64;
/// How long an answer is awaited if the matcher does not say.
const ANSWER_TIME: Duration = Duration::from_secs(30);

impl Owner {
    pub(super) fn new(
        matcher: Matcher,
        gone: Arc<Gone>,
        reports: Option<mpsc::Sender<Report>>,
        metrics: Arc<Metrics>,
        attention: Duration,
        outside: Outside,
    ) -> Self {
        Self {
            matcher,
            calls: BTreeMap::new(),
            by_session: BTreeSet::new(),
            by_announcement: BTreeMap::new(),
            by_offer: BTreeMap::new(),
            pairs: Pairs::default(),
            gone,
            reports,
            metrics,
            attention,
            outside,
        }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut batch = Vec::with_capacity(BATCH);
        let gone = Arc::clone(&self.gone);
        loop {
            let wakeup = self.matcher.poll_timeout().map(|wakeup| wakeup.at);
            let wakeup = wakeup.into_iter().chain(self.pairs.next_at()).min();
            let sleep = async {
                match wakeup {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                taken = commands.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        break;
                    }
                }
                () = gone.notify.notified() => {}
                () = sleep => {}
            }
            let now = Instant::now();
            // Those who hung up first: nobody is matched with them any more.
            self.drop_gone(now);
            for command in batch.drain(..) {
                self.handle(now, command);
                self.perform(now);
            }
            self.matcher.handle_timeout(now);
            self.perform(now);
            for pair in self.pairs.expire(now) {
                self.metrics.silent.fetch_add(1, Ordering::Relaxed);
                self.matcher.cancel_announcement(now, pair.id);
            }
            self.perform(now);
        }
        self.matcher.stop(Instant::now());
        self.perform(Instant::now());
    }

    fn drop_gone(&mut self, now: Instant) {
        let (calls, connections) = self.gone.take();
        for call in calls {
            match self.remove(call).map(|call| call.held) {
                Some(Held::Announcement(id)) => {
                    self.matcher.cancel_announcement(now, id);
                }
                Some(Held::Offer(id, _)) => {
                    self.matcher.cancel_offer(now, id);
                }
                None => {}
            }
        }
        for connection in connections {
            for id in self.pairs.of(connection) {
                if let Some(pair) = self.pairs.remove(id) {
                    self.matcher.cancel_announcement(now, pair.id);
                }
            }
        }
        self.perform(now);
    }

    fn handle(&mut self, now: Instant, command: Command) {
        match command {
            Command::Announce {
                caller,
                announcement,
                personal,
                common,
                reply,
            } => {
                // Whoever hung up before we came to it would wait here for ever.
                if reply.is_closed() {
                    return;
                }
                let compartments = Compartments {
                    personal: &personal,
                    common: &common,
                };
                match self.matcher.announce(now, *announcement, compartments) {
                    Ok(id) => {
                        self.by_announcement.insert(id, caller.call);
                        self.keep(caller, Held::Announcement(id), reply);
                    }
                    Err(refused) => answer(reply, refusal(&refused)),
                }
            }
            Command::Offer {
                caller,
                offer,
                personal,
                common,
                purpose,
                reply,
            } => {
                if reply.is_closed() {
                    return;
                }
                let compartments = Compartments {
                    personal: &personal,
                    common: &common,
                };
                match self.matcher.offer(now, *offer, compartments) {
                    Ok(id) => {
                        self.by_offer.insert(id, caller.call);
                        self.keep(caller, Held::Offer(id, purpose), reply);
                    }
                    Err(refused) => answer(reply, refusal(&refused)),
                }
            }
            Command::Answer {
                volunteer,
                connection,
                description,
                reply,
            } => {
                let said = self.take_answer(now, (&volunteer, &connection), *description);
                answer(reply, said);
            }
            Command::AnswerError {
                volunteer,
                connection,
                reply,
            } => {
                let awaited = self.matcher.answer_error(now, &volunteer, &connection);
                if awaited {
                    self.pairs.remove(connection);
                }
                answer(reply, Reply::Noted { awaited });
            }
            Command::Coming {
                volunteer,
                connection,
                reply,
            } => {
                let silent_at = now + self.attention;
                let awaited = self.pairs.heard(&volunteer, connection, silent_at);
                answer(reply, Reply::Noted { awaited });
            }
            Command::Explain { session, reply } => answer(reply, self.explain(session)),
            Command::Stats { reply } => {
                // Whoever asked may have left.
                let _ = reply.send(self.matcher.stats());
            }
            Command::Stop { done } => {
                self.matcher.stop(now);
                self.perform(now);
                let _ = done.send(());
            }
        }
    }

    fn keep(&mut self, caller: Caller, held: Held, reply: oneshot::Sender<Reply>) {
        self.by_session.insert((caller.session, caller.call));
        let call = Call {
            caller,
            held,
            reply,
        };
        self.calls.insert(caller.call, call);
    }

    fn remove(&mut self, id: CallId) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        self.by_session.remove(&(call.caller.session, id));
        match &call.held {
            Held::Announcement(id) => self.by_announcement.remove(id),
            Held::Offer(id, _) => self.by_offer.remove(id),
        };
        Some(call)
    }

    fn perform(&mut self, now: Instant) {
        while let Some(action) = self.matcher.poll_action() {
            match action {
                Action::Deliver { to, offer, by } => {
                    let until = by.answer_by.unwrap_or(now + ANSWER_TIME);
                    let personal = matches!(by.shared, Shared::Personal(_));
                    self.deliver(now, to, *offer, (personal, by.version), until);
                }
                Action::Answer {
                    to,
                    answer: given,
                    announcement,
                } => self.give_answer(to, given.description, &announcement),
                Action::FailAnnouncement {
                    to,
                    error,
                    next_poll,
                } => {
                    let call = self.by_announcement.get(&to).copied();
                    if let Some(call) = call.and_then(|call| self.remove(call)) {
                        let (code, retry) = match error {
                            AnnouncementError::NoMatch => {
                                let retry = next_poll.map_or(Retry::Now, Retry::After);
                                (Code::NoMatch, retry)
                            }
                            AnnouncementError::Stopped | _ => (Code::Stopping, error.retry()),
                        };
                        let no = Refusal::of(code, retry, &error.to_string());
                        answer(call.reply, Reply::Refused(no));
                    }
                }
                Action::FailOffer { to, error } => {
                    let call = self.by_offer.get(&to).copied();
                    if let Some(call) = call.and_then(|call| self.remove(call)) {
                        let code = match error {
                            OfferError::NoAnswer => Code::NoAnswer,
                            OfferError::VolunteerLeft => Code::VolunteerLeft,
                            OfferError::AnswerTimeout => Code::AnswerTimeout,
                            OfferError::Stopped => Code::Stopping,
                            OfferError::NoMatch | _ => Code::NoMatch,
                        };
                        answer(call.reply, Reply::Refused(Refusal::new(code, &error)));
                    }
                }
            }
        }
    }

    fn deliver(
        &mut self,
        now: Instant,
        to: AnnouncementId,
        offer: Offer,
        (personal, version): (bool, Option<u8>),
        until: Instant,
    ) {
        let announcement = self.matcher.announcement(to);
        let ids = announcement.map(|announced| (announced.connection, announced.volunteer));
        let call = self.by_announcement.get(&to).copied();
        let call = call.and_then(|call| self.remove(call));
        let (Some((connection, volunteer)), Some(call)) = (ids, call) else {
            self.matcher.cancel_announcement(now, to);
            return;
        };
        let left = until.saturating_duration_since(now).as_millis();
        let pair = Pair {
            id: to,
            volunteer,
            at: call.caller.connection,
            until,
            silent_at: now + self.attention,
            client: offer.properties.geography,
            personal,
            transport: version.unwrap_or(0),
        };
        let reply = Reply::Matched(Matched {
            connection,
            transport: version.unwrap_or(0),
            personal,
            answer_ms: u32::try_from(left).unwrap_or(u32::MAX),
            protocol: offer.network,
            destination: text(offer.destination.as_bytes()),
            description: offer.description,
        });
        if call.reply.send(reply).is_ok() {
            self.pairs.insert(connection, pair);
        } else {
            self.matcher.cancel_announcement(now, to);
        }
    }

    fn give_answer(&mut self, to: OfferId, description: Bytes, announcement: &Announcement) {
        let pair = self.pairs.remove(announcement.connection);
        let call = self.by_offer.get(&to).copied();
        let Some(call) = call.and_then(|call| self.remove(call)) else {
            return;
        };
        if let (Held::Offer(_, purpose), Some(pair)) = (&call.held, &pair) {
            self.report(purpose, pair, announcement);
        }
        let reply = Reply::Answered(Answered {
            connection: announcement.connection,
            transport: pair.map_or(0, |pair| pair.transport),
            description,
        });
        answer(call.reply, reply);
    }

    fn take_answer(
        &mut self,
        now: Instant,
        (volunteer, connection): (&VolunteerId, &ConnectionId),
        description: ByKind,
    ) -> Reply {
        let personal = self
            .pairs
            .by_id
            .get(connection)
            .is_some_and(|pair| pair.personal);
        let description = if personal {
            description.personal
        } else {
            description.common
        };
        let description = match description {
            Ok(description) => description,
            Err(refusal) => {
                // The client need not wait for what is never passed on.
                if self.matcher.answer_error(now, volunteer, connection) {
                    self.pairs.remove(*connection);
                }
                return Reply::Refused(refusal);
            }
        };
        let given = peerage_matcher::Answer {
            version: 0,
            description,
        };
        match self.matcher.answer(now, volunteer, connection, given) {
            Ok(Taken::Delivered) => Reply::Taken { delivered: true },
            Ok(Taken::ClientGone) => {
                self.pairs.remove(*connection);
                Reply::Taken { delivered: false }
            }
            Err(error) => no_client(&error),
        }
    }

    fn report(&self, purpose: &Purpose, pair: &Pair, announcement: &Announcement) {
        let Some(reports) = &self.reports else { return };
        let report = Report {
            connection: announcement.connection,
            at: UnixTime(self.outside.now().0).rounded_down(60),
            destination: purpose.destination.clone(),
            tag: purpose.tag.clone(),
            client: pair.client.country,
            volunteer: announcement.properties.geography.country,
        };
        if reports.try_send(report).is_err() {
            let lost = &self.metrics.reports_lost;
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn explain(&self, session: u64) -> Reply {
        let calls = self
            .by_session
            .range((session, CallId(0))..=(session, CallId(u64::MAX)));
        let waiting = calls.filter_map(|(_, call)| {
            let (offer, explanation) = match &self.calls.get(call)?.held {
                Held::Announcement(id) => (false, self.matcher.explain_announcement(*id)?),
                Held::Offer(id, _) => (true, self.matcher.explain_offer(*id)?),
            };
            Some(waiting(offer, &explanation))
        });
        Reply::Explained(waiting.take(MAX_EXPLANATIONS).collect())
    }
}

/// Whoever called may have hung up since: then there is nobody to tell.
fn answer(to: oneshot::Sender<Reply>, reply: Reply) {
    let _ = to.send(reply);
}
