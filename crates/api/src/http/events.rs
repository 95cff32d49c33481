//! Server-sent events: the same subscriptions, as text, with ids to resume by.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures_core::Stream;
use serde_json::{Value, json};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{Face, of_query, response};
use crate::board::Subscription;
use crate::fault::Fault;
use crate::v1;
use v1::item::Of;

/// How often a comment shows that the stream lives.
const PULSE: Duration = Duration::from_secs(15);

/// How long a reader may be away, in milliseconds, when nothing is said: browsers come back by
/// themselves after a few seconds.
const LEASE_MS: u32 = 15_000;

/// What a reader may leave waiting, in bytes, when nothing is said.
const BUDGET: u64 = 1 << 20;

impl Face {
    /// `GET /v1/events`: events, and messages if wanted. The query is that of `SubscribeRequest`.
    pub(super) fn events(
        self: &Arc<Self>,
        query: &str,
        headers: &HeaderMap,
    ) -> Result<Response, Fault> {
        let mut request: v1::SubscribeRequest = self.described.read(&of_query(query))?;
        if request.requests {
            return Err(Fault::invalid(
                "peers' requests are answered over gRPC: leave requests out",
            ));
        }
        if request.events.is_none() && request.messages.is_none() {
            request.events = Some(v1::EventFilter::default());
        }
        if request.budget_bytes == 0 {
            request.budget_bytes = BUDGET;
        }
        if request.lease_ms == 0 {
            request.lease_ms = LEASE_MS;
        }
        let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let resumed = last
            .and_then(|id| id.split_once('-'))
            .and_then(|(token, seq)| {
                let after = seq.parse().ok()?;
                let resume = token.to_owned();
                let again = v1::SubscribeRequest {
                    resume,
                    after,
                    ..v1::SubscribeRequest::default()
                };
                self.daemon.subscribe(again).ok()
            });
        // Whose lease is over begins anew; its first event tells another token.
        let subscription = match resumed {
            Some(resumed) => resumed,
            None => self.daemon.subscribe(request)?,
        };
        let mut pulse = interval_at(Instant::now() + PULSE, PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let told = Told {
            face: Arc::clone(self),
            subscription,
            token: String::new(),
            pulse,
        };
        Ok(response(
            StatusCode::OK,
            "text/event-stream",
            Body::from_stream(told),
        ))
    }
}

/// The text of a subscription.
struct Told {
    face: Arc<Face>,
    subscription: Subscription,
    /// The subscription's name, in the ids of its events.
    token: String,
    pulse: Interval,
}

impl Told {
    fn text(&mut self, item: &v1::Item) -> String {
        let (kind, id) = match &item.of {
            Some(Of::Opened(opened)) => {
                self.token.clone_from(&opened.token);
                ("opened", opened.next.saturating_sub(1))
            }
            Some(Of::Lagged(lagged)) => ("lagged", lagged.next.saturating_sub(1)),
            Some(Of::Event(_)) => ("event", item.seq),
            Some(Of::Message(_)) => ("message", item.seq),
            Some(Of::Request(_)) | None => return String::new(),
        };
        let shown = self.face.described.show(item).unwrap_or(Value::Null);
        let body = &shown[kind];
        // JSON has no line breaks of its own.
        format!("id: {}-{id}\nevent: {kind}\ndata: {body}\n\n", self.token)
    }
}

impl Stream for Told {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let text = match Pin::new(&mut self.subscription).poll_next(cx) {
            Poll::Ready(Some(Ok(item))) => self.text(&item),
            Poll::Ready(Some(Err(status))) => {
                let body = json!({ "error": status.message() });
                format!("event: end\ndata: {body}\n\n")
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => match self.pulse.poll_tick(cx) {
                Poll::Ready(_) => ":\n\n".to_owned(),
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(Some(Ok(text.into())))
    }
}
