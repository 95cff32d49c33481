//! The changes of `peerage book` made by the daemon that has the book.

use std::io::BufRead;
use std::time::Duration;

use peerage::node::book::{Role, Subject};
use peerage::node::store::Realm;
use peerage_api::v1;

use super::found;
use crate::data::Whom;
use crate::output::{Exit, Failed, complain, environment, misused, progress};
use crate::remote::{Remote, refused};

fn realm_of(realm: &Realm) -> v1::Realm {
    v1::Realm {
        network: realm.network.to_string(),
        chain: realm.chain.to_string(),
    }
}

fn subject_of(subject: &Subject) -> v1::Subject {
    use v1::subject::Of;
    let of = match subject {
        Subject::Identity(identity) => Of::Identity(identity.to_string()),
        Subject::Net(range) => Of::Net(range.to_string()),
    };
    v1::Subject { of: Some(of) }
}

pub(super) async fn add(
    mut remote: Remote,
    realm: &Realm,
    peer: &str,
    role: Role,
) -> Result<Exit, Failed> {
    let (of, address) = (Some(realm_of(realm)), peer.to_owned());
    let peer = match role {
        Role::Trusted => {
            let request = v1::TrustPeerRequest { realm: of, address };
            let answer = remote.client.trust_peer(request).await;
            answer.map_err(refused)?.into_inner().peer
        }
        Role::Static | Role::Ordinary => {
            let request = v1::AddPeerRequest {
                realm: of,
                address,
                candidate: role == Role::Ordinary,
            };
            let answer = remote.client.add_peer(request).await;
            answer.map_err(refused)?.into_inner().peer
        }
    };
    let (key, role) = (peer.unwrap_or_default().key, role.name());
    progress(&format!(
        "{key} is in the book of {realm}, {role}; the daemon has it"
    ));
    Ok(Exit::Yes)
}

pub(super) async fn remove(mut remote: Remote, realm: &Realm, whom: &Whom) -> Result<Exit, Failed> {
    let Whom::Key(key) = whom else {
        return Err(misused(format!(
            "a running daemon forgets one peer at a time: which one at {whom}? `peerage why {whom}` \
             shows them"
        )));
    };
    let peer = v1::PeerRef {
        realm: Some(realm_of(realm)),
        session: 0,
        key: key.to_string(),
    };
    let request = v1::RemovePeerRequest {
        peer: Some(peer),
        forget: true,
    };
    let answer = remote.client.remove_peer(request).await;
    let removed = answer.map_err(refused)?.into_inner().removed;
    let word = if removed { "is no longer" } else { "is not" };
    progress(&format!("{key} {word} in the book of {realm}"));
    Ok(found(removed))
}

pub(super) async fn ban(
    mut remote: Remote,
    realm: &Realm,
    subject: &Subject,
    term: Option<Duration>,
    why: &str,
) -> Result<Exit, Failed> {
    let request = v1::BanRequest {
        realm: Some(realm_of(realm)),
        subject: Some(subject_of(subject)),
        // None at all would be for good.
        seconds: term.map_or(0, |term| term.as_secs().max(1)),
        why: why.to_owned(),
    };
    remote.client.ban(request).await.map_err(refused)?;
    progress(&format!("{subject} is banned on {realm}, as of now"));
    Ok(Exit::Yes)
}

pub(super) async fn unban(
    mut remote: Remote,
    realm: &Realm,
    subject: &Subject,
) -> Result<Exit, Failed> {
    let request = v1::UnbanRequest {
        realm: Some(realm_of(realm)),
        subject: Some(subject_of(subject)),
    };
    let answer = remote.client.unban(request).await.map_err(refused)?;
    let lifted = answer.into_inner().lifted;
    let word = if lifted { "is no longer" } else { "was not" };
    progress(&format!("{subject} {word} banned on {realm}"));
    Ok(found(lifted))
}

/// How many lines go in one call, as many as a daemon takes, and how many bytes at the most: less
/// than a call has.
const AT_ONCE: [usize; 2] = [1000, 8 << 20];

/// The longest line, as the book writes them, with its end.
const LINE: u64 = (1 << 20) + 1;

pub(super) async fn import(
    mut remote: Remote,
    realm: &Realm,
    mut input: impl BufRead,
) -> Result<Exit, Failed> {
    let unreadable = |error| environment(error, "cannot read the lines");
    let (mut peers, mut bans, mut wrong, mut first_line) = (0, 0, 0, 1);
    let mut is_over = false;
    while !is_over {
        let (mut lines, mut count) = (String::new(), 0);
        let [most, bytes] = AT_ONCE;
        while count < most && lines.len() < bytes && !is_over {
            let read = std::io::Read::take(&mut input, LINE).read_line(&mut lines);
            is_over = read.map_err(unreadable)? == 0;
            count += 1;
        }
        if lines.trim().is_empty() {
            continue;
        }
        let request = v1::ImportBookRequest {
            realm: Some(realm_of(realm)),
            lines,
            first_line,
        };
        first_line += u32::try_from(count).unwrap_or(0);
        let taken = remote.client.import_book(request).await.map_err(refused)?;
        let taken = taken.into_inner();
        for words in &taken.refused {
            complain(words);
        }
        peers += taken.peers;
        bans += taken.bans;
        wrong += taken.not_taken;
    }
    progress(&format!(
        "{peers} peers and {bans} bans taken into the book of {realm}, {wrong} not; the daemon has them"
    ));
    Ok(found(wrong == 0))
}
