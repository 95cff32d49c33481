//! From what a caller says to what the matcher is told: every check that needs no other caller.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use peerage_core::{PeerText, Retry};
use peerage_matcher::{
    Announcement, CompartmentId, ConnectionId, NetworkProtocol, Offer, Properties, VolunteerId,
};
use peerage_net::{Host, Target};

use super::config::BrokerConfig;
use super::owner::Purpose;
use crate::address::{Reach, reach};
use crate::compartments::State;
use crate::description::Description;
use crate::destination::DestinationError;
use crate::filter::Filter;
use crate::message;
use crate::outside::Outside;
use crate::refusal::{Code, Refusal};

/// The least a call waits, so that a caller who says 0 learns something.
const LEAST_WAIT: Duration = Duration::from_millis(100);

/// An announcement, and the compartments it is in: personal, common.
pub(super) type Admitted<T> = (Box<T>, Vec<CompartmentId>, Vec<CompartmentId>);

pub(super) struct Admission<'a> {
    pub(super) config: &'a BrokerConfig,
    pub(super) outside: Outside,
    pub(super) from: SocketAddr,
    pub(super) now: Instant,
}

fn no(code: Code, text: &str) -> Refusal {
    Refusal::of(code, Retry::Never, text)
}

impl Admission<'_> {
    fn properties(&self, network: &message::Network) -> Properties {
        Properties {
            nat: network.nat,
            mappings: network.mappings,
            network: network.kind,
            geography: self.config.geography.locate(self.from.ip()),
            versions: network.transports,
        }
    }

    fn deadline(&self, wait_ms: u32, most: Duration) -> Instant {
        let wait = Duration::from_millis(wait_ms.into());
        self.now + wait.min(most).max(LEAST_WAIT)
    }

    /// A description in which only what may be passed on is left.
    pub(super) fn description(
        &self,
        bytes: &[u8],
        personal: bool,
    ) -> Result<bytes::Bytes, Refusal> {
        let mut description = Description::decode(bytes).map_err(|error| {
            no(
                Code::BadRequest,
                &format!("the session description: {error}"),
            )
        })?;
        let filter = Filter {
            geography: &*self.config.geography,
            private: personal,
            loopback: self.config.loopback,
        };
        let ip: IpAddr = self.from.ip().to_canonical();
        let dropped = filter.apply(ip, &mut description);
        if description.candidates.is_empty() {
            let mut text = "no address of the session description may be passed on".to_owned();
            if let Some((_, why)) = dropped.first() {
                text.push_str(&format!(", the first because it is {why:?}").to_lowercase());
            }
            return Err(no(Code::NoCandidate, &text));
        }
        let unencodable =
            |error: peerage_core::wire::TooLong| no(Code::BadRequest, &error.to_string());
        description.encode().map_err(unencodable)
    }

    pub(super) fn announcement(
        &self,
        volunteer: VolunteerId,
        call: message::Announce,
    ) -> Result<Admitted<Announcement>, Refusal> {
        let common = if call.personal.is_empty() {
            let assigned = self.config.compartments.assign(&volunteer);
            let text = "this broker has no common compartment: ask for a pairing link";
            vec![assigned.ok_or_else(|| no(Code::Compartment, text))?]
        } else {
            Vec::new()
        };
        let announcement = Announcement {
            volunteer,
            connection: ConnectionId(self.outside.bytes()),
            properties: self.properties(&call.network),
            address: self.from.into(),
            priority: false,
            newcomer: false,
            load: call.load,
            deadline: Some(self.deadline(call.wait_ms, self.config.limits.announce_wait)),
        };
        Ok((Box::new(announcement), call.personal, common))
    }

    /// However wide an entry is, it opens nobody's own network: a volunteer's is reached by people it
    /// knows, if at all, and loopback in tests.
    fn public(&self, target: &Target, personal: bool) -> Result<(), Refusal> {
        let Host::Ip(ip) = target.host else {
            return Ok(());
        };
        let open = match reach(ip) {
            Reach::Public => true,
            Reach::Private => personal || self.config.loopback,
            Reach::Loopback => self.config.loopback,
            Reach::Bogus => false,
        };
        let text = "the destination is no public address";
        open.then_some(())
            .ok_or_else(|| no(Code::Destination, text))
    }

    pub(super) fn offer(
        &self,
        call: message::Offer,
    ) -> Result<(Admitted<Offer>, Purpose), Refusal> {
        if call.protocol == NetworkProtocol::Udp {
            return Err(no(
                Code::Udp,
                "UDP destinations are not served: volunteers relay TCP",
            ));
        }
        if call.personal.is_empty() == call.common.is_empty() {
            let text = "an offer has either personal or common compartments";
            return Err(no(Code::BadRequest, text));
        }
        for id in &call.common {
            let mut known = self.config.compartments.iter();
            let text = match known.find(|(other, _)| other == id) {
                Some((_, State::Active)) => continue,
                Some((_, State::Retired)) => "the compartment is retired: ask for a new invitation",
                None => "the compartment is not of this broker: check the invitation",
            };
            return Err(no(Code::Compartment, text));
        }
        let target: Target = call
            .destination
            .parse()
            .map_err(|error| no(Code::BadRequest, &format!("the destination: {error}")))?;
        self.public(&target, !call.personal.is_empty())?;
        // One spelling for one destination.
        let destination = target.to_string();
        let list = &self.config.destinations;
        let entry = list
            .check(&call.entry, &target, call.protocol, self.outside.now())
            .map_err(|error: DestinationError| Refusal::new(Code::Destination, &error))
            .map_err(|refusal| Refusal {
                retry: Retry::Never,
                ..refusal
            })?;
        let description = self.description(&call.description, !call.personal.is_empty())?;
        let offer = Offer {
            properties: self.properties(&call.network),
            address: self.from.ip(),
            sponsor: None,
            network: call.protocol,
            destination: PeerText::from(destination.as_str()),
            destination_entry: bytes::Bytes::new(),
            secret: bytes::Bytes::new(),
            description,
            deadline: Some(self.deadline(call.wait_ms, self.config.limits.offer_wait)),
        };
        let purpose = Purpose {
            destination,
            tag: entry.tag,
        };
        Ok(((Box::new(offer), call.personal, call.common), purpose))
    }
}

/// What is passed on of a volunteer's description, by the kind of compartment it met its client in.
pub(super) struct ByKind {
    pub(super) common: Result<bytes::Bytes, Refusal>,
    pub(super) personal: Result<bytes::Bytes, Refusal>,
}
