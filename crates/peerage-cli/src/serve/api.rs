//! The daemon's interface for programs, where this build has it and the configuration wants it.

#[cfg(feature = "api")]
mod on;

#[cfg(not(feature = "api"))]
mod off;

#[cfg(not(feature = "api"))]
pub(crate) use self::off::{Feed, Gate};
#[cfg(feature = "api")]
pub(crate) use self::on::{Feed, Gate};

/// Where it is served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub(crate) grpc: Option<String>,
    pub(crate) http: Option<String>,
}
