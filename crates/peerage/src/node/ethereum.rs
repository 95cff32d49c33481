//! Keeping peers of Ethereum.

use peerage_book::{Identity, Verdict};
use peerage_core::Reason;
use peerage_customs::ethereum as customs;
use peerage_ethereum::{ForkFilter, Local, Message, PeerInfo};
use peerage_find::Candidate;
use peerage_peers::{Config, Heard, Parting, Tie};

use super::kept::{Keeps, Kept};
use crate::{Ethereum, os};

impl Keeps for Ethereum {
    type Status = ForkFilter;
    /// The id of the request.
    type RequestKey = u64;

    fn customs() -> Config {
        Config::ethereum()
    }

    fn status(local: &Local) -> ForkFilter {
        local.forks(os::wall_clock())
    }

    fn judge(forks: &ForkFilter, info: &PeerInfo) -> Result<(), Reason> {
        customs::judge(forks, info)
    }

    fn judge_candidate(local: &Local, candidate: &Candidate) -> Verdict {
        let Some(record) = candidate.claims.record() else {
            return Verdict::Unknown;
        };
        let forks = local.forks(os::wall_clock());
        customs::judge_record(&forks, record.raw("eth"), candidate.source.0)
    }

    const HAS_IDENTITIES: bool = true;

    fn identity(info: &PeerInfo) -> Option<Identity> {
        customs::identity(info)
    }

    fn tie(local: &Local, info: &PeerInfo) -> Tie {
        Tie::between(&local.key.id().0, &info.id.0)
    }

    fn greeted(info: &PeerInfo) -> peerage_book::Greeted {
        customs::greeted(info)
    }

    fn hear(message: Message) -> Heard<Kept<Self>> {
        customs::hear(message)
    }

    fn farewell(say: Parting) -> Option<Message> {
        Some(customs::farewell(say))
    }

    fn len(message: &Message) -> usize {
        customs::len(message)
    }
}
