//! What a peer of the family says in its `version`.

use peerage_core::UnixTime;
use peerage_verack::dissect::services_shown;
use peerage_verack::{Dialect, PeerInfo};

use crate::facts::{About, Fact, PeerFacts};

/// What a peer of the version/verack family says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionFacts {
    /// The protocol version it claims.
    pub protocol_version: u32,
    /// The protocol version agreed on.
    pub negotiated: u32,
    /// Its service bits.
    pub services: u64,
    /// Their names.
    pub services_shown: String,
    /// Its clock.
    pub time: UnixTime,
    /// Whether it wants transactions announced.
    pub relay: bool,
}

pub(super) fn facts<D: Dialect>(info: &PeerInfo, early: usize) -> PeerFacts {
    let theirs = &info.theirs;
    PeerFacts {
        addr: info.addr.to_string(),
        agent: theirs.user_agent.clone(),
        height: Some(theirs.height.0.into()),
        dropped: info.dropped,
        early,
        rtt: None,
        about: About::Version(VersionFacts {
            protocol_version: theirs.protocol_version.0,
            negotiated: info.negotiated.0,
            services: theirs.services.0,
            services_shown: services_shown::<D>(theirs.services.0),
            time: theirs.time,
            relay: theirs.relay,
        }),
    }
}

impl VersionFacts {
    pub(crate) fn fields(&self) -> Vec<(&'static str, Fact)> {
        vec![
            ("protocol_version", Fact::Int(self.protocol_version.into())),
            ("negotiated", Fact::Int(self.negotiated.into())),
            ("services", Fact::Text(format!("{:#x}", self.services))),
            ("services_shown", Fact::Text(self.services_shown.clone())),
            ("time", Fact::Int(self.time.0)),
            ("relay", Fact::Flag(self.relay)),
        ]
    }

    pub(crate) fn notes(&self, facts: &PeerFacts) -> Vec<String> {
        vec![
            format!(
                "{}  version {}  services {}  height {}",
                facts.agent,
                self.protocol_version,
                self.services_shown,
                height(facts)
            ),
            format!("speaking version {}", self.negotiated),
        ]
    }

    pub(crate) fn brief(&self, facts: &PeerFacts) -> String {
        format!(
            "version {}  {}  height {}",
            self.negotiated,
            self.services_shown,
            height(facts)
        )
    }

    pub(crate) fn in_words(&self, facts: &PeerFacts) -> String {
        let services = if self.services == 0 {
            "nothing"
        } else {
            &self.services_shown
        };
        format!("serves {services} at height {}", height(facts))
    }
}

/// The family always claims a height; 0 when it has none.
fn height(facts: &PeerFacts) -> u64 {
    facts.height.unwrap_or_default()
}
