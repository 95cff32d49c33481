//! What callers are told, in their terms.

use peerage_matcher::{AnswerError, Count, Explanation, Refused, Rule, Stats};

use crate::broker::metrics::rounded;
use crate::message::{Numbers, Reply, Waiting};
use crate::refusal::{Code, Refusal};

fn count(count: usize) -> u32 {
    u32::try_from(rounded(count as u64)).unwrap_or(u32::MAX)
}

pub(super) fn waiting(offer: bool, explanation: &Explanation) -> Waiting {
    let most = |kept: Count| count(kept.most());
    Waiting {
        offer,
        others: count(explanation.others),
        excluded: Rule::ALL.map(|rule| {
            let row = explanation
                .excluded
                .iter()
                .find(|(other, _)| *other == rule);
            row.map_or(0, |(_, kept)| most(*kept))
        }),
        compatible: most(explanation.compatible),
    }
}

/// The broker's numbers as callers are told them.
pub(in crate::broker) fn numbers(stats: &Stats) -> Numbers {
    let matches: u64 = stats.matches.iter().flatten().sum();
    Numbers {
        announcements: count(stats.announcements),
        offers: count(stats.offers),
        pending: count(stats.pending),
        matches: u32::try_from(rounded(matches)).unwrap_or(u32::MAX),
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

pub(super) fn no_client(error: &AnswerError) -> Reply {
    Reply::Refused(Refusal::new(Code::NoClient, error))
}

pub(super) fn refusal(refused: &Refused) -> Reply {
    let code = match refused {
        Refused::Stopped => Code::Stopping,
        Refused::Full { .. } => Code::Full,
        Refused::Limited(_) => Code::Limited,
        Refused::LoadLimited { .. } => Code::LoadLimited,
        Refused::Country { .. } => Code::Country,
        Refused::UnknownGeography => Code::UnknownPlace,
        Refused::NoVersion => Code::NoTransport,
        Refused::TooLate { .. } => Code::TooLate,
        Refused::NoCompartment => Code::Compartment,
        Refused::TooManyCompartments { .. } | Refused::TooLong { .. } | Refused::Duplicate | _ => {
            Code::BadRequest
        }
    };
    Reply::Refused(Refusal::new(code, refused))
}
