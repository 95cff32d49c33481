//! The hub as it runs: behind a lock that is never held for long, with streams that wait.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures_core::Stream;
use prost::Message as _;
use tokio::sync::Notify;
use tonic::{Code, Status};

use crate::convert::millis;
use crate::fault::Fault;
use crate::hub::{Hub, Limits, Next, Origin, Press, Reader, Refused, Terms, Token};
use crate::v1;
use v1::item::Of;

/// What one subscription wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wants {
    /// Of this node only.
    pub(crate) node: Option<usize>,
    pub(crate) events: Option<v1::EventFilter>,
    pub(crate) messages: Option<v1::MessageFilter>,
    pub(crate) requests: bool,
}

impl Wants {
    fn of_node(&self, node: usize) -> bool {
        self.node.is_none_or(|wanted| wanted == node)
    }

    fn event(&self, node: usize, kind: v1::EventKind) -> bool {
        self.of_node(node)
            && self.events.as_ref().is_some_and(|filter| {
                filter.kinds.is_empty() || filter.kinds.contains(&i32::from(kind))
            })
    }

    fn message(&self, node: usize, session: u64, name: &str) -> bool {
        self.of_node(node)
            && self.messages.as_ref().is_some_and(|filter| {
                let named = || filter.names.iter().any(|wanted| wanted == name);
                (filter.names.is_empty() || named())
                    && (filter.sessions.is_empty() || filter.sessions.contains(&session))
            })
    }
}

/// What the board knows of a subscription.
#[derive(Debug)]
struct Who {
    wants: Wants,
    waker: Option<Waker>,
}

/// Everybody who listens.
#[derive(Debug)]
pub(crate) struct Board {
    hub: Mutex<Hub<Who, Of>>,
    /// Somebody is to be held back, or not any more; or a lease was begun.
    changed: Notify,
    is_stopping: AtomicBool,
}

/// Collects who is to be woken once the lock is free.
#[derive(Default)]
struct Woken(Vec<Waker>);

impl Woken {
    fn note(&mut self, who: &mut Who) {
        self.0.extend(who.waker.take());
    }

    fn wake(self) {
        for waker in self.0 {
            waker.wake();
        }
    }
}

impl Board {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            hub: Mutex::new(Hub::new(limits)),
            changed: Notify::new(),
            is_stopping: AtomicBool::new(false),
        }
    }

    fn hub(&self) -> MutexGuard<'_, Hub<Who, Of>> {
        // Nothing panics while it is held.
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of an event.
    pub(crate) fn event(&self, node: usize, kind: v1::EventKind, event: v1::Event) {
        let len = event.encoded_len();
        let record = Arc::new(Of::Event(event));
        let mut woken = Woken::default();
        let wants = |who: &Who| who.wants.event(node, kind);
        let _ = self
            .hub()
            .publish(&record, len, None, wants, |who| woken.note(who));
        woken.wake();
    }

    /// Whether anybody wants such a message; to be asked before it is made.
    pub(crate) fn wants_message(&self, node: usize) -> bool {
        let wants = |who: &Who| who.wants.messages.is_some() && who.wants.of_node(node);
        self.hub().any(wants)
    }

    /// Tells of a message that a peer sent.
    pub(crate) fn message(&self, (node, session): Origin, message: v1::Message) {
        let payload = message.message.as_ref();
        let name = payload.map_or("", |payload| &*payload.name).to_owned();
        let len = payload.map_or(0, |payload| payload.body.len()) + 64;
        let record = Arc::new(Of::Message(message));
        let mut woken = Woken::default();
        let wants = |who: &Who| who.wants.message(node, session, &name);
        let mut hub = self.hub();
        let origin = Some((node, session));
        let _ = hub.publish(&record, len, origin, wants, |who| woken.note(who));
        let presses = hub.has_presses();
        drop(hub);
        woken.wake();
        if presses {
            self.changed.notify_one();
        }
    }

    /// Hands a peer's question to whoever answers such; whether there is one.
    pub(crate) fn request(&self, origin: Origin, request: v1::PeerRequest) -> bool {
        let len = request.encoded_len();
        let record = Arc::new(Of::Request(request));
        let mut woken = Woken::default();
        let wants = |who: &Who| who.wants.requests && who.wants.of_node(origin.0);
        let mut hub = self.hub();
        let taken = hub.publish_to_one(&record, len, Some(origin), wants, |who| woken.note(who));
        let presses = hub.has_presses();
        drop(hub);
        woken.wake();
        if presses {
            self.changed.notify_one();
        }
        taken
    }

    /// This session is over.
    pub(crate) fn forget(&self, origin: Origin) {
        self.hub().forget(origin);
    }

    /// Begins a subscription.
    pub(crate) fn open(
        self: &Arc<Self>,
        token: Token,
        wants: Wants,
        terms: Terms,
    ) -> Result<Subscription, Refused> {
        let who = Who { wants, waker: None };
        let reader = self.hub().open(token, who, terms)?;
        Ok(self.subscription(reader, token))
    }

    /// Picks one up again.
    pub(crate) fn resume(
        self: &Arc<Self>,
        token: Token,
        after: u64,
    ) -> Result<Subscription, Refused> {
        let mut woken = Woken::default();
        let reader = self.hub().resume(token, after, |who| woken.note(who))?;
        woken.wake();
        Ok(self.subscription(reader, token))
    }

    fn subscription(self: &Arc<Self>, reader: Reader, token: Token) -> Subscription {
        Subscription {
            board: Arc::clone(self),
            reader,
            opening: Some(token),
            is_over: false,
        }
    }

    /// Ends one; whether there was such.
    pub(crate) fn end(&self, token: Token) -> bool {
        let mut woken = Woken::default();
        let ended = self.hub().end(token, |who| woken.note(who));
        woken.wake();
        ended
    }

    /// Ends all of them, for good: the daemon stops.
    pub(crate) fn close(&self) {
        self.is_stopping.store(true, Ordering::Release);
        let mut woken = Woken::default();
        self.hub().end_all(|who| woken.note(who));
        woken.wake();
    }

    pub(crate) fn status(&self) -> v1::SubscriptionStatus {
        let hub = self.hub();
        v1::SubscriptionStatus {
            open: crate::convert::count(hub.len()),
            budget_bytes: hub.granted() as u64,
            waiting_bytes: hub.waiting() as u64,
            lost: hub.lost(),
        }
    }

    /// The next that is to be held back or let go; ends leases meanwhile.
    pub(crate) async fn press(&self) -> Press {
        loop {
            let until = {
                let mut hub = self.hub();
                hub.handle_timeout(tokio::time::Instant::now().into_std());
                if let Some(press) = hub.poll_press() {
                    return press;
                }
                hub.poll_timeout()
            };
            let over = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = over => {}
            }
        }
    }
}

/// A token as text.
pub(crate) fn token_text(token: Token) -> String {
    token.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A token from text.
pub(crate) fn token_from(text: &str) -> Result<Token, Fault> {
    let mut token = [0; 16];
    let digits = text.as_bytes();
    let wrong = || Fault::invalid("a token has 32 hexadecimal digits: take it from Opened.token");
    if digits.len() != 2 * token.len() {
        return Err(wrong());
    }
    for (byte, pair) in token.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(token)
}

/// The one reader of a subscription. Dropping it begins its lease.
#[derive(Debug)]
pub struct Subscription {
    board: Arc<Board>,
    reader: Reader,
    /// The token, until it is told.
    opening: Option<Token>,
    is_over: bool,
}

impl Subscription {
    fn opened(&self, token: Token) -> v1::Item {
        let terms = self.board.hub().terms(self.reader);
        let (budget, lease, next) = terms.map_or((0, 0, 0), |(terms, next)| {
            (terms.budget as u64, millis(terms.lease), next)
        });
        item(
            0,
            Of::Opened(v1::Opened {
                token: token_text(token),
                budget_bytes: budget,
                lease_ms: u32::try_from(lease).unwrap_or(u32::MAX),
                next,
            }),
        )
    }
}

const fn item(seq: u64, of: Of) -> v1::Item {
    let of = Some(of);
    v1::Item { seq, of }
}

impl Stream for Subscription {
    type Item = Result<v1::Item, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(token) = self.opening.take() {
            return Poll::Ready(Some(Ok(self.opened(token))));
        }
        let mut hub = self.board.hub();
        let next = hub.next(self.reader, |who| who.waker = Some(cx.waker().clone()));
        let presses = hub.has_presses();
        drop(hub);
        if presses {
            self.board.changed.notify_one();
        }
        let fault = match next {
            Next::Item(seq, record) => {
                // Whoever comes last takes it without a copy.
                let of = Arc::try_unwrap(record).unwrap_or_else(|shared| (*shared).clone());
                return Poll::Ready(Some(Ok(item(seq, of))));
            }
            Next::Lagged(lag) => {
                let lagged = v1::Lagged {
                    messages: lag.messages,
                    bytes: lag.bytes,
                    next: lag.next,
                };
                return Poll::Ready(Some(Ok(item(0, Of::Lagged(lagged)))));
            }
            Next::Empty => return Poll::Pending,
            Next::Full => Fault::of_kind(
                Code::ResourceExhausted,
                peerage::Kind::Full,
                "the budget was full and the policy is to close: take items faster, ask for a \
                 larger budget, or let the oldest give way",
            ),
            Next::Gone if self.board.is_stopping.load(Ordering::Acquire) => {
                peerage::node::Stopped.into()
            }
            Next::Gone => Fault::of_kind(
                Code::Aborted,
                peerage::Kind::Cancelled,
                "another stream has picked the subscription up, or it was ended",
            ),
        };
        self.is_over = true;
        Poll::Ready(Some(Err(fault.into())))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let now: Instant = tokio::time::Instant::now().into_std();
        self.board.hub().leave(now, self.reader);
        self.board.changed.notify_one();
    }
}
