//! What outsiders see of this machine: NATs, firewalls, ports of the router, and which address of
//! ours to tell.
//!
//! ```
//! use peerage::outside::{self, ResponderLimits, StunServer, nat::Family};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut server = StunServer::bind("127.0.0.1:0".parse()?, None, ResponderLimits::default())?;
//! let at = [server.first()];
//! let report = tokio::select! {
//!     report = outside::survey(Family::V4, &at) => report,
//!     never = server.run() => match never {},
//! };
//! // One address shows where we are seen, and not how a NAT behaves.
//! assert_eq!(report.is_translated(), Some(false));
//! assert!(report.unknown().is_some());
//! # Ok(())
//! # }
//! ```

mod advertiser;

use peerage_core::Endpoint;

pub use self::advertiser::{Advertise, Advertiser, Listening, Told};
pub use peerage_nat as nat;
pub use peerage_nat::{Family, Report, ResponderLimits, Settings};
pub use peerage_outside::{
    Observed, Observer, Plan, Seen, ServeError, StunServer, local, mapping, resolve,
};

use crate::os;

/// Surveys a family by these STUN servers, with the usual patience.
///
/// # Cancellation
/// Dropping it closes its sockets.
pub async fn survey(family: Family, servers: &[Endpoint]) -> Report {
    let seed = os::random();
    peerage_outside::survey(family, servers, Settings::default(), None, seed).await
}

/// What an [`Observer`] needs, with the usual times; its randomness is the operating system's.
pub fn plan(servers: Vec<String>) -> Plan {
    Plan::new(servers, Box::new(os::random))
}
