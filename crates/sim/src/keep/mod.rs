//! The whole way in virtual time, from finding a peer to keeping it.
//!
//! - [`net`]: what a network brings; [`family`] and [`ethereum`] are the three there are.
//! - [`keeper`]: a node that finds, dials, greets and keeps: `book`, `peers`, the handshakes and
//!   `discv5` themselves, joined as `peerage-node` joins them.
//! - [`fault`]: what can be wrong with a citizen, and [`rogue`], those that only answer.
//! - [`Town`]: many of them, what happens to it ([`incident`]), and what must always hold.
//!
//! ```
//! use std::time::Duration;
//! use peerage_sim::keep::{Decred, Plan, Town};
//!
//! let plan = Plan {
//!     nodes: 12,
//!     target: 2,
//!     inbound: 4,
//!     span: Duration::from_secs(600),
//!     ..Plan::default()
//! };
//! let report = Town::<Decred>::new(&plan)?.run(|_| {});
//! assert_eq!(report.violated, 0, "{:?}", report.violations);
//! assert!(report.tally.greeted_out >= 18);
//! # Ok::<(), peerage_sim::keep::PlanError>(())
//! ```

pub mod citizen;
pub mod ethereum;
pub mod family;
pub mod fault;
pub mod incident;
pub mod keeper;
pub mod net;
mod plan;
mod report;
pub mod rogue;
pub mod searcher;
mod session;
pub mod tally;
mod town;

pub use citizen::{Body, Citizen};
pub use ethereum::Ethereum;
pub use fault::Fault;
pub use incident::Incident;
pub use keeper::{Keeper, Setup};
pub use net::{Net, Software};
pub use peerage_verack::decred::Decred;
pub use peerage_verack::zcash::Zcash;
pub use plan::{MAX_DAYS, MAX_NODES, Plan, PlanError};
pub use report::{Progress, Report, Violation};
pub use rogue::Rogue;
pub use searcher::Searcher;
pub use tally::Tally;
pub use town::Town;
