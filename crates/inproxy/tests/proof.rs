//! Volunteers whose key is known: nobody answers in their place.

use std::sync::Arc;

use bytes::Bytes;
use peerage_core::{Failure as _, Kind};
use peerage_inproxy::call::BrokerClient;
use peerage_inproxy::client::{ClientConfig, DialError, Dialer, Where};
use peerage_inproxy::message::{Announce, Answer, Call};
use peerage_inproxy::proof;
use peerage_inproxy::transport::{Prepared as _, Transport as _, Udp};
use peerage_inproxy::{Description, PartySecret, SignerKey};
use peerage_matcher::CompartmentId;

use crate::common::calls::{call, matched, network};
use crate::common::parties::{Serving, echo, echoed, target};
use crate::common::{OUTSIDE, Running, entry, soon, udp};

const ROOM: CompartmentId = CompartmentId([5; 32]);

fn friend(broker: &Running, pins: Vec<SignerKey>) -> Dialer<Udp> {
    let mut config = ClientConfig::new(Where::Personal(vec![ROOM]), vec![entry()]);
    (config.pins, config.tries) = (pins, 1);
    Dialer::new(broker.caller(), udp(), config, OUTSIDE)
}

fn key(name: u8) -> SignerKey {
    proof::signer(&PartySecret::new([name; 32])).public()
}

#[tokio::test]
async fn the_volunteer_of_the_pairing_is_taken() {
    let broker = Running::new().await;
    let mut volunteer = Serving::of(&broker, [7; 32], |config| config.personal = vec![ROOM]);
    let dialer = friend(&broker, vec![key(8), key(7)]);
    let channel = dialer.dial(&target(echo().await), soon()).await.unwrap();
    echoed(channel, 1000).await;
    volunteer
        .event(|event| {
            matches!(event, peerage_inproxy::volunteer::Event::Ended { .. }).then_some(())
        })
        .await;
}

#[tokio::test]
async fn somebody_else_in_the_compartment_is_not() {
    let broker = Running::new().await;
    let _stranger = Serving::of(&broker, [9; 32], |config| config.personal = vec![ROOM]);
    let dialled = friend(&broker, vec![key(7)])
        .dial(&target(echo().await), soon())
        .await;
    let DialError::GaveUp { last, .. } = dialled.unwrap_err() else {
        panic!()
    };
    assert_eq!(*last, DialError::OtherVolunteer);
    assert_eq!(last.kind(), Kind::WrongIdentity);
}

/// What a lying broker would do: give the volunteer's proof for a match of its own along with ends that
/// are its own.
#[tokio::test]
async fn a_proof_of_another_match_or_of_other_ends_is_not_taken() {
    let broker = Running::new().await;
    let secret = PartySecret::new([7; 32]);
    let signer = proof::signer(&secret);
    let caller = BrokerClient::new(broker.address.clone(), secret, OUTSIDE);
    let caller = Arc::new(caller);
    type Forge = fn(&Description, &Description) -> (Description, Description);
    let forgeries: [Forge; 3] = [
        // The client was told of by another fingerprint.
        |client, ours| {
            let mut other = client.clone();
            other.fingerprint.0[0] ^= 1;
            (other, ours.clone())
        },
        // The volunteer has another one than it signed.
        |client, ours| {
            let mut other = ours.clone();
            other.fingerprint.0[0] ^= 1;
            (client.clone(), other)
        },
        // An older match's.
        |client, ours| {
            let mut other = client.clone();
            other.check_key.0[0] ^= 1;
            (other, ours.clone())
        },
    ];
    for forge in forgeries {
        let announce = Announce {
            network: network(),
            load: 0,
            wait_ms: 15_000,
            personal: vec![ROOM],
        };
        let announced = call(&caller, Call::Announce(announce));
        let dialer = friend(&broker, vec![key(7)]);
        let to = target(echo().await);
        let dialling = tokio::spawn(async move { dialer.dial(&to, soon()).await });
        let matched = matched(announced).await;
        let client = Description::decode(&matched.description).unwrap();
        let prepared = udp().prepare().await.unwrap();
        let ours = prepared.description();
        let (client_signed, ours_signed) = forge(&client, ours);
        let proof = proof::prove(&signer, &client_signed, &ours_signed);
        let answer = Answer {
            connection: matched.connection,
            description: ours.encode().unwrap(),
            proof: Bytes::copy_from_slice(&proof),
        };
        caller.call(&Call::Answer(answer), soon()).await.unwrap();
        let DialError::GaveUp { last, .. } = dialling.await.unwrap().unwrap_err() else {
            panic!()
        };
        assert_eq!(*last, DialError::OtherVolunteer);
    }
}
