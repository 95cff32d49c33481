//! Serving one client.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use peerage_matcher::{ConnectionId, NetworkProtocol};
use peerage_net::Target;
use tokio::time::{Instant, sleep};

use super::{CALL_TIME, Event, Inner, Totals, destination};
use crate::call::HeldLine;
use crate::description::{Description, TransportKind};
use crate::message::{Answer, Call, Matched, Reply};
use crate::opening::{self, Verdict};
use crate::policy::Forbidden;
use crate::transport::{Channel, Prepared as _, Role, Transport, TransportError, relay};

/// How often a volunteer says that its answer is coming. Most answers need less.
const COMING_EVERY: Duration = Duration::from_millis(100);

/// Counts one connection as long as it lives.
struct Active(Arc<Totals>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T: Transport> Inner<T> {
    pub(super) async fn serve(&self, line: HeldLine, matched: Matched) {
        self.totals.active.fetch_add(1, Ordering::Relaxed);
        self.totals.matched.fetch_add(1, Ordering::Relaxed);
        let _active = Active(Arc::clone(&self.totals));
        let connection = matched.connection;
        self.event(Event::Matched {
            connection,
            destination: matched.destination.clone(),
            personal: matched.personal,
        });
        let (target, kind) = match self.acceptable(&matched) {
            Ok(acceptable) => acceptable,
            Err(why) => {
                self.event(Event::Forbidden { connection, why });
                self.decline(line, connection).await;
                return;
            }
        };
        match self.reach_client(line, &matched, kind).await {
            Ok(Some(channel)) => self.relay(channel, connection, &target).await,
            Ok(None) => self.event(Event::ClientGone { connection }),
            Err(error) => self.event(Event::NoPath { connection, error }),
        }
    }

    /// Whether this may be served, as far as that shows before a name is resolved.
    fn acceptable(&self, matched: &Matched) -> Result<(Target, TransportKind), Option<Forbidden>> {
        let target: Target = matched.destination.parse().map_err(|_| None)?;
        let kind = self.transport.kind(matched.transport).ok_or(None)?;
        if matched.protocol != NetworkProtocol::Tcp {
            return Err(None);
        }
        if let peerage_net::Host::Ip(ip) = target.host {
            let addr = std::net::SocketAddr::new(ip, target.port);
            self.config.allow.check(addr).map_err(Some)?;
        }
        Ok((target, kind))
    }

    async fn decline(&self, line: HeldLine, connection: ConnectionId) {
        let deadline = Instant::now() + CALL_TIME;
        let call = Call::AnswerError { connection };
        // If the broker does not hear it, the client's time runs out instead.
        if let Ok((line, _)) = self.broker.call_on(Some(line), &call, deadline).await {
            self.broker.release(line);
        }
    }

    /// Prepares, and says meanwhile that it does: a broker takes a silent volunteer for gone.
    async fn prepare_for(&self, connection: ConnectionId) -> Result<T::Prepared, TransportError> {
        let coming = async {
            loop {
                sleep(COMING_EVERY).await;
                let deadline = Instant::now() + CALL_TIME;
                // One that is lost costs at most this client.
                let _ = self
                    .broker
                    .call(&Call::Coming { connection }, deadline)
                    .await;
            }
        };
        tokio::select! {
            prepared = self.transport.prepare() => prepared,
            never = coming => never,
        }
    }

    /// Answers, and opens the channel meanwhile. None if the client has left.
    async fn reach_client(
        &self,
        line: HeldLine,
        matched: &Matched,
        kind: TransportKind,
    ) -> Result<Option<Channel>, TransportError> {
        let connection = matched.connection;
        let prepared = self.prepare_for(connection).await;
        let described = Description::decode(&matched.description);
        let (prepared, remote) = match (prepared, described) {
            (Ok(prepared), Ok(remote)) => (prepared, remote),
            (Err(error), _) => {
                self.decline(line, connection).await;
                return Err(error);
            }
            (Ok(_), Err(_)) => {
                self.decline(line, connection).await;
                return Err(TransportError::NoCandidate);
            }
        };
        let encoded = prepared.description().encode();
        let Ok(description) = encoded else {
            self.decline(line, connection).await;
            return Err(TransportError::NoCandidate);
        };
        let call = Call::Answer(Answer {
            connection,
            description,
        });
        let answer_by = Instant::now() + Duration::from_millis(matched.answer_ms.into());
        let answering = async {
            let (line, reply) = self
                .broker
                .call_on(Some(line), &call, answer_by)
                .await
                .ok()?;
            self.broker.release(line);
            matches!(reply, Reply::Taken { delivered: true }).then_some(())
        };
        let deadline = Instant::now() + self.config.path_time;
        let connecting = prepared.connect(kind, Role::Volunteer, &remote, deadline);
        let mut connecting = std::pin::pin!(connecting);
        tokio::select! {
            // The client can be here before the broker says that it was told.
            connected = connecting.as_mut() => connected.map(Some),
            answered = answering => match answered {
                Some(()) => connecting.await.map(Some),
                None => Ok(None),
            },
        }
    }

    async fn relay(&self, mut channel: Channel, connection: ConnectionId, target: &Target) {
        let deadline = Instant::now() + self.config.dial_time;
        let reached = async {
            opening::listen(&mut channel)
                .await
                .map_err(|error| (Verdict::Unreachable, error.to_string()))?;
            destination::connect(target, &self.config.allow, deadline).await
        };
        let reached = tokio::time::timeout_at(deadline, reached).await;
        let late = || (Verdict::TimedOut, "the client said nothing".to_owned());
        let (stream, addr) = match reached.unwrap_or_else(|_| Err(late())) {
            Ok(reached) => reached,
            Err((verdict, text)) => {
                self.event(Event::NotConnected {
                    connection,
                    verdict,
                });
                // A client that is gone need not be told.
                let _ = opening::tell(&mut channel, verdict, &text).await;
                return;
            }
        };
        if opening::tell(&mut channel, Verdict::Connected, "")
            .await
            .is_err()
        {
            return;
        }
        self.totals.relayed.fetch_add(1, Ordering::Relaxed);
        self.event(Event::Relaying {
            connection,
            destination: addr,
            path: channel.path(),
        });
        let relayed = relay(channel, stream, &self.throttle, self.config.idle).await;
        self.totals
            .bytes
            .fetch_add(relayed.up + relayed.down, Ordering::Relaxed);
        self.event(Event::Ended {
            connection,
            relayed,
        });
    }
}
