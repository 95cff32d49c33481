//! Sockets that cannot be had.

use peerage_core::{Failure, Kind};
use peerage_find::{Bind, BindError, Sockets};

use crate::common::anywhere;

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = Sockets::bind(&Bind::at(anywhere())).unwrap();
    let at = taken.endpoints().next().unwrap().socket_addr();
    let error = Sockets::bind(&Bind::at(at)).unwrap_err();
    assert!(matches!(error, BindError::InUse { addr } if addr == at));
    assert!(error.to_string().contains(&at.port().to_string()));
    assert_eq!(error.kind(), Kind::Usage);
}

#[tokio::test]
async fn an_address_of_another_machine_is_refused() {
    let at = "192.0.2.1:0".parse().unwrap();
    let error = Sockets::bind(&Bind::at(at)).unwrap_err();
    assert!(matches!(error, BindError::NotOurs { .. }), "{error}");
    assert!(matches!(
        Sockets::bind(&Bind::default()),
        Err(BindError::Nowhere)
    ));
}

#[tokio::test]
async fn both_families_share_a_port() {
    let v4 = Sockets::bind(&Bind::at(anywhere())).unwrap();
    let port = v4.endpoints().next().unwrap().port();
    let v6 = Bind::at(([0, 0, 0, 0, 0, 0, 0, 1], port).into());
    // The same port is free on the other family, because each socket keeps to its own.
    let both = Sockets::bind(&v6).unwrap();
    assert_eq!(both.endpoints().next().unwrap().port(), port);
}
