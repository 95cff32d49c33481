//! What must hold after every operation.

use peerage_core::{Direction, Exposure, Failed, Failure, Kind};
use peerage_verack::dialect::{Early, OutboundVerack};
use peerage_verack::envelope::HEADER_LEN;
use peerage_verack::{Awaited, HandshakeError, Peer};

use super::super::Net;
use super::super::dialogue::{Error, commands};
use super::{End, Machine, State};

impl<D: Net> Machine<D> {
    pub(super) fn accepted(&self) -> bool {
        !self.refuses && self.policy.calls().len() == 1
    }

    /// Version, then verack, each once; and neither promises anything to a peer not yet accepted.
    pub(super) fn check_what_was_said(&self) {
        let said = commands::<D>(&self.local, &self.said);
        let inbound = self.attempt.direction() == Direction::Inbound;
        match said.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => assert!(inbound, "the dialling side speaks first"),
            ["version"] => assert!(!inbound, "inbound says both together"),
            ["version", "verack"] => assert!(self.accepted(), "a verack for nobody"),
            _ => panic!("{said:?}"),
        }
        assert!(self.policy.calls().len() <= 1, "asked at most once");
    }

    /// What lies unread is the front of one message that may still be lawful.
    pub(super) fn check_what_is_kept(&self) {
        let most = HEADER_LEN + D::RULES.max_early_payload;
        assert!(self.input.len() < most, "{} bytes kept", self.input.len());
    }

    /// There is a peer only after its version and then its verack, by a reader of our own.
    pub(super) fn greeted(&mut self, peer: Peer<D>) -> State<D> {
        self.check_what_was_said();
        let consumed = &self.heard[..self.heard.len() - self.input.len()];
        let names = frame_names(consumed);
        let at = names.iter().position(|name| name == "version");
        let at = at.expect("no peer without its version");
        assert_eq!(names.iter().filter(|name| *name == "version").count(), 1);
        assert_eq!(
            names.last().unwrap(),
            "verack",
            "no peer without its verack"
        );
        let between = names.len() - at - 2;
        let info = peer.info();
        let (before, kept) = match (D::RULES.before_verack)(info.negotiated) {
            Early::Refuse => (0, 0),
            Early::Keep(budget) => (0, budget.messages as usize),
            Early::Drop(budget) => (budget.messages as usize, budget.messages as usize),
        };
        assert!(at <= before && between <= kept);
        match (D::RULES.before_verack)(info.negotiated) {
            Early::Drop(_) => {
                assert_eq!(
                    (info.dropped as usize, peer.early().len()),
                    (at + between, 0)
                );
            }
            Early::Keep(_) | Early::Refuse => {
                assert_eq!((info.dropped, peer.early().len()), (0, between));
            }
        }
        assert!(info.theirs.protocol_version >= info.negotiated);
        assert_eq!(info.addr, self.attempt.addr);
        assert!(self.accepted());
        let said = commands::<D>(&self.local, &self.said);
        assert_eq!(said, ["version", "verack"], "nothing is left unsaid");
        State::Talks(Box::new(peer.into_parts().1))
    }

    pub(super) fn failed(&self, failed: &Failed<Error>) -> State<D> {
        let error = &failed.error;
        let reason = error.reason();
        let stages = [Awaited::Version.stage(), Awaited::Verack.stage()];
        assert!(stages.contains(&reason.stage), "{reason:?}");
        assert!(
            !matches!(reason.kind, Kind::Bug | Kind::Usage),
            "{reason:?}"
        );
        assert!(!reason.message.is_empty());
        let printable = |text: &str| text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
        assert!(printable(&reason.message), "{reason:?}");
        for (name, value) in reason.detail.iter() {
            assert!(
                printable(name) && printable(&value.to_string()),
                "{reason:?}"
            );
        }
        if reason.stage == Awaited::Verack.stage() {
            assert!(
                self.accepted(),
                "past the version without consent: {reason:?}"
            );
        }
        let said = commands::<D>(&self.local, &self.said);
        let verack = said.iter().any(|name| name == "verack");
        let late = D::RULES.outbound_verack == OutboundVerack::AfterVerack
            && self.attempt.direction() == Direction::Outbound;
        // A late verack is the last thing of all: nothing but the transport can fail after it.
        assert!(
            !verack || (reason.stage == Awaited::Verack.stage() && !late),
            "{said:?}"
        );
        self.check_last_words(failed);
        State::Over(End::Failed(reason.kind))
    }

    fn check_last_words(&self, failed: &Failed<Error>) {
        let words = commands::<D>(&self.local, &failed.last_words);
        let inbound = self.attempt.direction() == Direction::Inbound;
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => {}
            ["version"] => {
                assert_eq!(failed.error, HandshakeError::SelfConnection);
                assert!(inbound, "the dialling side has said its version already");
            }
            ["reject"] => {
                let kind = self.attempt.addr.exposure();
                assert_eq!(kind, Exposure::Direct, "a reject tells our height");
                assert!(D::RULES.rejects);
            }
            _ => panic!("{words:?}"),
        }
    }
}

/// The commands of a stream of whole frames, read without the code under test. Padding that is not
/// all zero stays part of the name.
fn frame_names(stream: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let name = String::from_utf8_lossy(&rest[4..16]).into_owned();
        names.push(name.trim_end_matches('\0').to_owned());
        let len = u32::from_le_bytes(rest[16..20].try_into().unwrap());
        rest = &rest[HEADER_LEN + len as usize..];
    }
    names
}
