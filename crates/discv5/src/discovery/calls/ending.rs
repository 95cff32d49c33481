//! How a request ends: with an answer, after silence, or with all others.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Answer, Body, Call, Discovery, Purpose, RequestError, RequestHandle, State};
use crate::discovery::action::Event;

impl Discovery {
    /// Requests whose time has come: once more, or over.
    pub(in crate::discovery) fn expire_calls(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.calls.deadlines.first() {
            if at > now {
                break;
            }
            let Some(call) = self.calls.open.get(&id) else {
                self.calls.deadlines.remove(&(at, id));
                continue;
            };
            let is_over = call.expires_at <= now || call.was_resent || call.state == State::Queued;
            if is_over || call.body.is_answered_in_part() {
                self.on_silence(now, id);
            } else if call.body.may_be_repeated() || self.sessions.of(&call.contact).is_none() {
                self.resend(now, id);
            } else {
                let expires_at = call.expires_at;
                self.calls.set_deadline(id, expires_at);
            }
        }
    }

    fn resend(&mut self, now: Instant, id: u64) {
        let contact = self.calls.open.get(&id).map(|call| call.contact);
        if contact.is_some_and(|contact| !self.may_talk_to(now, &contact)) {
            self.finish(now, id, Err(RequestError::NotAdmitted));
            return;
        }
        self.metrics.resent += 1;
        let Some(call) = self.calls.open.get_mut(&id) else {
            return;
        };
        call.was_resent = true;
        let (contact, purpose, record) = (call.contact, call.purpose, call.record.clone());
        let elsewhere = self.endpoints_of(&record).find(|e| *e != contact.endpoint);
        if let Some(endpoint) = elsewhere.filter(|endpoint| self.admits(now, *endpoint))
            && self.sessions.of(&contact).is_none()
        {
            let leads = self.calls.handshaking.get(&contact);
            let waiting = if leads.is_some_and(|handshake| handshake.lead == id) {
                self.calls.release(&contact)
            } else {
                VecDeque::new()
            };
            if let Some(call) = self.calls.open.get_mut(&id) {
                call.contact.endpoint = endpoint;
            }
            self.dispatch(now, id);
            for other in waiting {
                self.dispatch(now, other);
            }
        } else {
            self.dispatch(now, id);
        }
        if let Purpose::Search(search) = purpose {
            self.on_search_slow(now, search, &contact.node);
        }
    }

    /// Nothing has come in time. Some parts of an answer are an answer.
    fn on_silence(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.open.get_mut(&id) else {
            return;
        };
        let result = match &mut call.body {
            Body::FindNode { parts, found, .. } if *parts > 0 => {
                Ok(Answer::Nodes(std::mem::take(found)))
            }
            Body::Ping | Body::FindNode { .. } | Body::Talk { .. } => Err(RequestError::Timeout),
        };
        self.finish(now, id, result);
    }

    /// A request is over, and with it what waited for its handshake if that has failed.
    pub(in crate::discovery) fn finish(
        &mut self,
        now: Instant,
        id: u64,
        result: Result<Answer, RequestError>,
    ) {
        let Some(call) = self.calls.take(id) else {
            return;
        };
        let mut over = vec![(id, call, result)];
        let contact = over[0].1.contact;
        let handshake = self.calls.handshaking.get_mut(&contact);
        let leads = handshake.is_some_and(|handshake| {
            handshake.queue.retain(|waiting| *waiting != id);
            handshake.lead == id
        });
        let mut freed = VecDeque::new();
        if leads {
            freed = self.calls.release(&contact);
        }
        if let Err(error) = over[0].2 {
            for waiting in std::mem::take(&mut freed) {
                let call = self.calls.take(waiting);
                over.extend(call.map(|call| (waiting, call, Err(error))));
            }
        }
        for (id, call, result) in over {
            self.on_finished(now, id, call, result);
        }
        for waiting in freed {
            self.dispatch(now, waiting);
        }
    }

    fn on_finished(
        &mut self,
        now: Instant,
        id: u64,
        call: Call,
        result: Result<Answer, RequestError>,
    ) {
        match &result {
            Ok(_) => self.on_node_answered(&call.record, call.contact.endpoint),
            Err(error) => self.on_node_failed(now, &call.contact.node, *error),
        }
        match call.purpose {
            Purpose::Caller => {
                let request = RequestHandle(id);
                self.event(Event::Answered { request, result });
            }
            Purpose::Liveness | Purpose::PullRecord => {}
            Purpose::Search(search) => self.on_search_step(now, search, &call.contact.node, result),
            Purpose::Resolve(search) => {
                self.on_resolve_step(now, search, &call.contact.node, result);
            }
        }
    }

    pub(in crate::discovery) fn close_calls(&mut self) {
        while let Some((&id, _)) = self.calls.open.first_key_value() {
            if let Some(call) = self.calls.take(id)
                && call.purpose == Purpose::Caller
            {
                let request = RequestHandle(id);
                let result = Err(RequestError::Timeout);
                self.event(Event::Answered { request, result });
            }
        }
        self.calls.handshaking.clear();
    }
}
