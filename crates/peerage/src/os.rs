//! The only places where the operating system's clock and entropy enter.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use peerage_core::UnixTime;

/// Wall-clock time now.
pub(crate) fn wall_clock() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime(match since {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |secs| -secs),
    })
}

/// Milliseconds since 1970 now; 0 where the clock is set before that.
pub(crate) fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The moment `limit` from `now`; one that never comes when the clock cannot count that far, so that
/// `Duration::MAX` means no limit.
pub(crate) fn deadline(now: Instant, limit: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    now.checked_add(limit).unwrap_or_else(|| now + NEVER)
}

/// Fresh random bytes from the operating system.
///
/// # Panics
/// When the system has no entropy source at all: nothing can be done safely without one.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// Fills a buffer with fresh random bytes from the operating system.
///
/// # Panics
/// As [`random`].
#[expect(
    clippy::expect_used,
    reason = "no node is safe without entropy, and there is no caller who could help"
)]
pub(crate) fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}
