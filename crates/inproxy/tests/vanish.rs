//! Somebody falls silent without a goodbye: a machine without power, a line that is cut.

use std::sync::Arc;
use std::time::Duration;

use peerage_core::{Failure as _, Kind, Retry};
use peerage_inproxy::Code;
use peerage_inproxy::client::{ClientConfig, DialError, Dialer, Where};
use peerage_inproxy::message::{Call, Reply};
use tokio::time::Instant;

use crate::common::calls::{announce, answer, call, matched, offering, refused, until};
use crate::common::parties::target;
use crate::common::{COMMON, Line, OUTSIDE, Running, entry, nobody, soon, udp};

/// Long enough for a call, short enough to wait for.
const ATTENTION: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_volunteer_that_says_nothing_after_its_match_is_told_to_its_client() {
    let broker = Running::with(|config| config.limits.attention = ATTENTION).await;
    let (volunteer, client) = (Arc::new(broker.caller()), Arc::new(broker.caller()));
    let announced = call(&volunteer, announce());
    let offered = offering(&client);
    let matched = matched(announced).await;
    // Its connection lives, and so does the volunteer.
    let told = refused(offered.await.unwrap());
    assert_eq!((told.code, told.retry), (Code::VolunteerLeft, Retry::Now));
    let late = refused(volunteer.call(&answer(&matched), soon()).await);
    assert_eq!(late.code, Code::NoClient);
}

#[tokio::test]
async fn a_line_that_is_cut_between_match_and_answer_is_told_to_the_client() {
    let broker = Running::with(|config| config.limits.attention = ATTENTION).await;
    let line = Line::to(broker.address.target.to_string()).await;
    let (volunteer, client) = (
        Arc::new(broker.caller_over(&line)),
        Arc::new(broker.caller()),
    );
    let announced = call(&volunteer, announce());
    until(&client, true, false).await;
    line.freeze();
    let told = refused(offering(&client).await.unwrap());
    assert_eq!(
        (told.code, told.kind()),
        (Code::VolunteerLeft, Kind::Closed)
    );
    assert!(!announced.is_finished(), "it does not know yet");
    announced.abort();
}

#[tokio::test]
async fn only_the_volunteer_that_was_given_a_client_says_that_it_is_coming() {
    let broker = Running::new().await;
    let (volunteer, client) = (Arc::new(broker.caller()), Arc::new(broker.caller()));
    let announced = call(&volunteer, announce());
    let offered = offering(&client);
    let matched = matched(announced).await;
    let coming = Call::Coming {
        connection: matched.connection,
    };
    let noted = |awaited| Ok(Reply::Noted { awaited });
    let thief = broker.caller();
    assert_eq!(thief.call(&coming, soon()).await, noted(false));
    assert_eq!(volunteer.call(&coming, soon()).await, noted(true));
    let taken = volunteer.call(&answer(&matched), soon()).await;
    assert_eq!(taken, Ok(Reply::Taken { delivered: true }));
    assert_eq!(volunteer.call(&coming, soon()).await, noted(false));
    assert!(matches!(offered.await.unwrap(), Ok(Reply::Answered(_))));
}

#[tokio::test]
async fn a_line_to_the_broker_that_is_cut_ends_the_try_and_not_the_patience() {
    let broker = Running::new().await;
    let line = Line::to(broker.address.target.to_string()).await;
    let mut config = ClientConfig::new(Where::Common(vec![COMMON]), vec![entry()]);
    config.try_time = Duration::from_millis(50);
    config.tries = 2;
    let dialer = Dialer::new(broker.caller_over(&line), udp(), config, OUTSIDE);
    dialer.broker().prepare(soon()).await.unwrap();
    line.freeze();
    let deadline = soon();
    let error = dialer.dial(&target(nobody()), deadline).await.unwrap_err();
    assert!(Instant::now() < deadline);
    let DialError::GaveUp { tries: 2, last } = &error else {
        panic!("{error}")
    };
    assert_eq!(last.kind(), Kind::Timeout, "{error}");
}
