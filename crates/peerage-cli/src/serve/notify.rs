//! Telling the service manager how we are: sd_notify(3), the protocol of systemd.
//!
//! Without `NOTIFY_SOCKET` all of this does nothing.

use std::future::Future;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::start::Running;

/// A manager that does not listen is no reason to stop.
fn say(states: &[NotifyState<'_>]) {
    let _unheard = sd_notify::notify(states);
}

/// The listeners are bound and the nodes run, for the first time or after [`reloading`].
pub(super) fn ready(status: &str) {
    say(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// How we are, in a line for people.
pub(super) fn status(status: &str) {
    say(&[NotifyState::Status(status)]);
}

/// The configuration is read again; [`ready`] follows, whatever comes of it.
pub(super) fn reloading() {
    // `Type=notify-reload` tells by the clock which of its signals this answers.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        say(&[NotifyState::Reloading, now]);
    }
}

/// Goodbyes are said from now on.
pub(super) fn stopping() {
    say(&[NotifyState::Stopping, NotifyState::Status("saying goodbye")]);
}

/// The proof of life that the manager asks for by `WATCHDOG_USEC`.
pub(super) struct Watchdog(Option<(Interval, Duration)>);

impl Watchdog {
    /// Twice as often as is asked for, as sd_watchdog_enabled(3) recommends.
    pub(super) fn new() -> Self {
        Self(sd_notify::watchdog_enabled().map(|within| {
            let every = (within / 2).max(Duration::from_millis(1));
            let mut due = interval_at(Instant::now(), every);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            (due, every / 2)
        }))
    }

    /// Waits until another proof is due. Cancelling it loses none.
    pub(super) async fn due(&mut self) {
        match &mut self.0 {
            Some((due, _)) => drop(due.tick().await),
            None => std::future::pending().await,
        }
    }

    /// Gives the proof if the owner of each node answers in time. Whoever calls this is alive too.
    pub(super) async fn prove(&self, nodes: &[Running]) {
        let Some((_, limit)) = self.0 else { return };
        let answers = nodes
            .iter()
            .map(|node| async { node.figures().await.is_some() });
        if all_answer(limit, answers).await {
            say(&[NotifyState::Watchdog]);
        }
    }
}

/// Whether all of them say yes within this time.
async fn all_answer(
    limit: Duration,
    answers: impl IntoIterator<Item = impl Future<Output = bool>>,
) -> bool {
    let all = async {
        for answer in answers {
            if !answer.await {
                return false;
            }
        }
        true
    };
    timeout(limit, all).await.unwrap_or(false)
}

/// Whether stderr goes to systemd's journal: `JOURNAL_STREAM` names its device and inode
/// (systemd.exec(5)), which stderr has unless it was sent elsewhere.
#[cfg(unix)]
pub(super) fn is_journal() -> bool {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;

    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    let stderr = std::io::stderr();
    let stderr = stderr.as_fd().try_clone_to_owned();
    let stderr = stderr.and_then(|stderr| std::fs::File::from(stderr).metadata());
    stderr.is_ok_and(|stderr| *stream == *format!("{}:{}", stderr.dev(), stderr.ino()))
}

/// There is no journal here.
#[cfg(not(unix))]
pub(super) const fn is_journal() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    /// One node that hangs is enough to be started anew.
    #[tokio::test(start_paused = true)]
    async fn a_proof_of_life_needs_every_node() {
        let limit = Duration::from_secs(15);
        assert!(all_answer(limit, [ready(true), ready(true)]).await);
        assert!(!all_answer(limit, [ready(true), ready(false)]).await);
        assert!(!all_answer(limit, [pending()]).await);
        let late = async {
            tokio::time::sleep(limit * 2).await;
            true
        };
        assert!(!all_answer(limit, [late]).await);
    }
}
