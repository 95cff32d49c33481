//! `peerage peers watch`: what happens, until interrupted.

use std::time::Duration;

use clap::ValueEnum;
use peerage::core::UnixTime;
use peerage_api::v1;
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::Whose;
use super::words::{direction, ending, place, realm_words, span_ms};
use crate::output::{Exit, Failed, Out, Tone, complain};
use crate::remote::{Place, Remote, Where, refused};

/// How long the daemon keeps what happens for a watcher whose connection broke.
const LEASE_MS: u32 = 60_000;

/// How long to wait before the first attempt to connect again; twice as long before each other one.
const PAUSE: Duration = Duration::from_millis(200);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    whose: Whose,

    /// Only this kind of event; may be given several times. All but found, dialling and failed when
    /// not given.
    #[arg(long, value_enum, value_name = "KIND")]
    only: Vec<Kind>,

    #[command(flatten)]
    at: Where,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Kind {
    /// A peer is established.
    Established,
    /// An established peer is gone.
    Closed,
    /// An attempt failed before there was a peer.
    Failed,
    /// A peer did what its network does not allow.
    Misbehaved,
    /// A peer is of no use any more.
    Incompatible,
    /// There were two connections with a peer.
    AlreadyConnected,
    /// The daemon stood still.
    Stalled,
    /// A finder found candidates.
    Found,
    /// A dial begins.
    Dialling,
    /// An answer came after it was awaited.
    LateAnswer,
    /// A peer's request was not answered in time.
    GivenUp,
}

impl From<Kind> for v1::EventKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Established => Self::Established,
            Kind::Closed => Self::Closed,
            Kind::Failed => Self::Failed,
            Kind::Misbehaved => Self::Misbehaved,
            Kind::Incompatible => Self::Incompatible,
            Kind::AlreadyConnected => Self::AlreadyConnected,
            Kind::Stalled => Self::Stalled,
            Kind::Found => Self::Found,
            Kind::Dialling => Self::Dialling,
            Kind::LateAnswer => Self::LateAnswer,
            Kind::GivenUp => Self::GivenUp,
        }
    }
}

/// What is watched, and how far it was seen.
struct Watch<'a> {
    args: &'a Args,
    /// The subscription to pick up again; empty where there is none.
    token: String,
    /// The last item that was told.
    seen: u64,
}

/// Why a stream is over.
enum Over {
    /// The connection broke, or the daemon stopped: it may come back.
    Broken(String),
    /// The subscription is gone: its lease ran out, or another daemon answers.
    Forgotten,
    /// It makes no sense to go on.
    Fatal(Failed),
}

/// By what a call or a stream failed with.
fn over(status: Status) -> Over {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others come again however often they are tried"
    )]
    match status.code() {
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled => {
            Over::Broken(status.message().to_owned())
        }
        Code::NotFound => Over::Forgotten,
        _ => Over::Fatal(refused(status)),
    }
}

pub(super) async fn run(args: &Args, out: &mut Out) -> Result<Exit, Failed> {
    // The place may change with the configuration; that is for whoever starts it again.
    let place = args.at.place()?;
    let mut remote = place.connect().await?;
    let realm = realm(args, &mut remote).await?;
    let mut watch = Watch {
        args,
        token: String::new(),
        seen: 0,
    };
    loop {
        let is_first = watch.token.is_empty();
        let words = match watch.follow(&mut remote, realm.clone(), out).await {
            Over::Fatal(error) => return Err(error),
            Over::Forgotten if is_first => {
                return Err(crate::output::failed(
                    Exit::No,
                    "the daemon has no such node any more: `peerage peers watch` without -n \
                     watches all",
                ));
            }
            Over::Forgotten => {
                watch.lost_sight(out)?;
                continue;
            }
            Over::Broken(words) => words,
        };
        complain(&format!(
            "the daemon does not answer any more ({words}): waiting for it"
        ));
        remote = again(&place).await;
    }
}

/// The one node that is watched; all of them where none is named.
async fn realm(args: &Args, remote: &mut Remote) -> Result<Option<v1::Realm>, Failed> {
    let named = args.whose.network.is_some() || args.whose.chain.is_some();
    let realms = args.whose.realms(remote).await?;
    match &realms[..] {
        _ if !named => Ok(None),
        [only] => Ok(Some(only.clone())),
        several => {
            let has: Vec<_> = several.iter().map(realm_words).collect();
            let has = has.join(", ");
            Err(crate::output::misused(format!(
                "watch one node or all of them: add -n NETWORK or --chain to mean one of {has}"
            )))
        }
    }
}

/// Connects, however long the daemon is away.
async fn again(place: &Place) -> Remote {
    let mut pause = PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        if let Ok(remote) = place.connect().await {
            return remote;
        }
        pause = LONGEST.min(pause * 2);
    }
}

impl Watch<'_> {
    fn request(&self, realm: Option<v1::Realm>) -> v1::SubscribeRequest {
        let wanted = |kind: &Kind| self.args.only.contains(kind);
        // Of attempts there are many more than of peers.
        let usual = |kind: &Kind| !matches!(kind, Kind::Failed | Kind::Found | Kind::Dialling);
        let kinds = Kind::value_variants().iter().copied();
        let kinds = kinds.filter(|kind| match self.args.only.is_empty() {
            true => usual(kind),
            false => wanted(kind),
        });
        let kinds = kinds.map(|kind| v1::EventKind::from(kind).into());
        v1::SubscribeRequest {
            realm,
            events: Some(v1::EventFilter {
                kinds: kinds.collect(),
            }),
            lease_ms: LEASE_MS,
            resume: self.token.clone(),
            after: self.seen,
            ..v1::SubscribeRequest::default()
        }
    }

    /// Tells what comes until the stream ends.
    async fn follow(
        &mut self,
        remote: &mut Remote,
        realm: Option<v1::Realm>,
        out: &mut Out,
    ) -> Over {
        let stream = remote.client.subscribe(self.request(realm)).await;
        let mut stream = match stream {
            Ok(stream) => stream.into_inner(),
            Err(status) => return over(status),
        };
        loop {
            match stream.message().await {
                Ok(Some(item)) => {
                    if let Err(error) = self.tell(remote, item, out) {
                        return Over::Fatal(error);
                    }
                }
                Ok(None) => return Over::Broken("it ended the stream".to_owned()),
                Err(status) => return over(status),
            }
        }
    }

    fn tell(&mut self, remote: &Remote, item: v1::Item, out: &mut Out) -> Result<(), Failed> {
        use v1::item::Of;
        let seq = item.seq;
        match item.of {
            Some(Of::Opened(opened)) => {
                let resumed = opened.token == self.token;
                // The token is a secret, and not told.
                self.token = opened.token;
                if self.args.json {
                    let next = opened.next;
                    out.json("opened", json!({ "next": next, "resumed": resumed }))?;
                } else {
                    let words = if resumed {
                        "watching again"
                    } else {
                        "watching"
                    };
                    crate::output::progress(words);
                }
            }
            Some(Of::Lagged(lagged)) => {
                let words = format!(
                    "{} events are missing here: they came faster than they were taken",
                    lagged.messages
                );
                lost(self.args.json, Some(&lagged), &words, out)?;
                self.seen = lagged.next.saturating_sub(1);
            }
            Some(Of::Event(event)) => {
                if self.args.json {
                    event_json(remote, seq, &event, out)?;
                } else {
                    event_words(&event, out)?;
                }
                self.seen = seq;
            }
            // Nobody asked for messages, and a newer daemon may tell of more.
            Some(Of::Message(_) | Of::Request(_)) | None => self.seen = self.seen.max(seq),
        }
        Ok(())
    }

    /// The daemon knows nothing of this subscription: begin another.
    fn lost_sight(&mut self, out: &mut Out) -> Result<(), Failed> {
        self.token.clear();
        self.seen = 0;
        let words = "the daemon was started anew, or waited too long for this watcher: what happened \
                     meanwhile is not known; `peerage peers list` says who is there now";
        lost(self.args.json, None, words, out)
    }
}

/// Says that something was lost, and where.
fn lost(json: bool, lagged: Option<&v1::Lagged>, words: &str, out: &mut Out) -> Result<(), Failed> {
    if json {
        let body = json!({
            "messages": lagged.map(|lagged| lagged.messages),
            "bytes": lagged.map(|lagged| lagged.bytes),
            "next": lagged.map(|lagged| lagged.next),
            "words": words,
        });
        out.json("lost", body)?;
    } else {
        out.line(out.tone(Tone::Bad, format!("lost  {words}")))?;
    }
    Ok(())
}

/// One flat object: the event's name is the type, its fields stand beside the node and the time.
fn event_json(remote: &Remote, seq: u64, event: &v1::Event, out: &mut Out) -> Result<(), Failed> {
    let Value::Object(mut shown) = remote.show(event)? else {
        return Ok(());
    };
    let mut body = json!({ "seq": seq });
    let mut kind = "event".to_owned();
    for name in ["realm", "at_ms"] {
        body[name] = shown.remove(name).unwrap_or_default();
    }
    if let Some((name, Value::Object(fields))) = shown.into_iter().next() {
        kind = name;
        for (name, value) in fields {
            body[name] = value;
        }
    }
    out.json(&kind, body)?;
    Ok(())
}

fn event_words(event: &v1::Event, out: &mut Out) -> Result<(), Failed> {
    use v1::event::Of;
    let reason = |reason: Option<&v1::Reason>| match reason {
        Some(reason) => format!(": {}", reason.words),
        None => String::new(),
    };
    let closed = |of: &v1::Closed| {
        let (at, way) = (
            place(of.peer.as_ref(), &of.address),
            direction(of.direction()),
        );
        let (how, lasted) = (ending(of.ending()), span_ms(of.lasted_ms));
        format!(
            "{at}  {way}, {how} after {lasted}{}",
            reason(of.reason.as_ref())
        )
    };
    let (tone, kind, words) = match &event.of {
        Some(Of::Established(of)) => {
            let (at, way) = (
                place(of.peer.as_ref(), &of.address),
                direction(of.direction()),
            );
            let session = of.peer.as_ref().map_or(0, |peer| peer.session);
            let height = of.height.map(|height| format!(", height {height}"));
            let (agent, height) = (&of.agent, height.unwrap_or_default());
            let words = format!("{at}  {way}, session {session}, {agent}{height}");
            (Tone::Good, "established", words)
        }
        Some(Of::Closed(of)) => (Tone::Bad, "closed", closed(of)),
        Some(Of::Failed(of)) => (Tone::Quiet, "failed", closed(of)),
        Some(Of::Misbehaved(of)) => {
            let (at, strikes) = (place(of.peer.as_ref(), ""), of.strikes);
            let words = format!("{at}  {}, {strikes} strikes", of.misdeed);
            (Tone::Bad, "misbehaved", words)
        }
        Some(Of::Incompatible(of)) => {
            let words = place(of.peer.as_ref(), "") + &reason(of.reason.as_ref());
            (Tone::Bad, "incompatible", words)
        }
        Some(Of::AlreadyConnected(of)) => {
            let stays = of.peer.as_ref().map_or(0, |peer| peer.session);
            let (at, goes) = (place(of.peer.as_ref(), ""), of.dropped);
            let words = format!("{at}  session {stays} stays, {goes} goes");
            (Tone::Quiet, "already_connected", words)
        }
        Some(Of::Stalled(of)) => {
            let words = format!("the daemon stood still for {}", span_ms(of.lost_ms));
            (Tone::Bad, "stalled", words)
        }
        Some(Of::Found(of)) => {
            let (gave, finder, new) = (of.gave, &of.finder, of.new.len());
            let words = format!("{gave} by {finder}, {new} of them new");
            (Tone::Quiet, "found", words)
        }
        Some(Of::Dialling(of)) => {
            let words = format!("{}  {}", place(of.peer.as_ref(), &of.address), of.why);
            (Tone::Quiet, "dialling", words)
        }
        Some(Of::LateAnswer(of)) => {
            let at = place(of.peer.as_ref(), "");
            let name = of.message.as_ref().map_or("", |message| &*message.name);
            let (took, late) = (span_ms(of.took_us / 1000), span_ms(of.late_us / 1000));
            let words = format!("{at}  {name} after {took}, {late} too late");
            (Tone::Quiet, "late_answer", words)
        }
        Some(Of::GivenUp(of)) => {
            let words = format!("{}  request {}", place(of.peer.as_ref(), ""), of.request);
            (Tone::Quiet, "given_up", words)
        }
        None => return Ok(()),
    };
    let at = UnixTime(i64::try_from(event.at_ms / 1000).unwrap_or(i64::MAX)).to_string();
    let realm = event.realm.as_ref().map(realm_words).unwrap_or_default();
    let (at, kind) = (out.tone(Tone::Quiet, at), out.tone(tone, kind));
    out.line(format!("{at}  {realm}  {kind}  {words}"))?;
    Ok(())
}
