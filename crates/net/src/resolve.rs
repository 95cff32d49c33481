//! From a name to addresses, by the operating system.

use peerage_core::Endpoint;
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

use crate::ReachError;

/// The addresses of `name`, each with `port`, in the resolver's order; at least one.
///
/// # Errors
/// When there is none, the resolver fails, or `deadline` passes.
///
/// # Cancellation
/// Dropping the future leaves the question to the resolver, which forgets it in its own time.
pub async fn resolve(
    name: &str,
    port: u16,
    deadline: Instant,
) -> Result<Vec<Endpoint>, ReachError> {
    let found = timeout_at(deadline, lookup_host((name, port)))
        .await
        .map_err(|_| ReachError::ResolveTimedOut { name: name.into() })?
        .map_err(|error| ReachError::Unresolved {
            name: name.into(),
            resolver: error.to_string().as_str().into(),
        })?;
    let endpoints: Vec<_> = found.map(Endpoint::from).collect();
    if endpoints.is_empty() {
        return Err(ReachError::NoAddress { name: name.into() });
    }
    Ok(endpoints)
}
