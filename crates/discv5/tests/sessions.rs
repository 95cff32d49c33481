//! Sessions by themselves: what is stored is found, and no nonce comes twice.

use std::collections::BTreeSet;
use std::time::Duration;

use peerage_core::Endpoint;
use peerage_discv5::address::Contact;
use peerage_discv5::keys::OwnKeys;
use peerage_discv5::record::Builder;
use peerage_discv5::rng::Rng;
use peerage_discv5::session::Sessions;

use crate::common::start;
use crate::records::key;

fn sessions_with(count: u8) -> (Sessions, Vec<Contact>) {
    let mut sessions = Sessions::new(256, 64, Duration::from_secs(10));
    let contacts = (1..=count).map(|n| {
        let record = Builder::new(n.into()).sign(&key(n)).unwrap();
        let contact = Contact {
            node: record.node_id(),
            endpoint: Endpoint::new([192, 0, 2, 1].into(), 9000 + u16::from(n)),
        };
        let keys = OwnKeys {
            seal: [n; 16].into(),
            open: [n; 16].into(),
        };
        sessions.install(start(), contact, record, keys, true);
        contact
    });
    let contacts = contacts.collect();
    (sessions, contacts)
}

#[test]
fn what_is_stored_is_found_by_node_and_address() {
    let (sessions, contacts) = sessions_with(6);
    assert_eq!(sessions.len(), 6);
    for (contact, seq) in contacts.iter().zip(1..) {
        assert_eq!(sessions.of(contact).unwrap().record().seq(), seq);
        let elsewhere = Contact {
            endpoint: contacts[0].endpoint,
            ..*contact
        };
        assert_eq!(sessions.of(&elsewhere).is_some(), *contact == contacts[0]);
    }
}

#[test]
fn nonces_begin_with_a_counter_of_their_session_and_never_come_twice() {
    let (mut sessions, contacts) = sessions_with(2);
    let mut rng = Rng::new([1; 32]);
    let mut met = BTreeSet::new();
    for count in 0..300u32 {
        for contact in &contacts {
            let nonce = sessions.next_nonce(contact, &mut rng).unwrap();
            assert_eq!(nonce.0[..4], count.to_be_bytes());
            assert!(met.insert(nonce), "the rest is random");
        }
    }
}
