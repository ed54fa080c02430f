//! What the service manager is told (`sd_notify`); nothing where there is none.

use sd_notify::NotifyState;
use tracing::warn;

/// All listeners are open, or a reload is over.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Files are being read again.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "the service manager is not told of the reload"),
    }
}

/// The shutdown has begun.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager cannot be told");
    }
}
