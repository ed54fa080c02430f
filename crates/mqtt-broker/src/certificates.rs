//! The certificates of all listeners: read again when their files change, and watched for their end.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mqtt_transport::{CertificateExpiry, Reloaded, TlsServer};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::core::Core;

/// The TLS sides of all listeners that have one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates(Arc<[Arc<TlsServer>]>);

/// How long before its end a certificate is worth a warning.
const WARNING_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// Time between two warnings.
const WARNING_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

impl Certificates {
    pub(crate) fn new(servers: impl Iterator<Item = Arc<TlsServer>>) -> Self {
        Self(servers.collect())
    }

    /// How long each is good, listener by listener.
    pub(crate) fn expiries(&self) -> Vec<CertificateExpiry> {
        self.0.iter().flat_map(|server| server.expiries()).collect()
    }

    /// Reads files again, all or only those that have changed. What went wrong, listener by listener.
    pub(crate) async fn reload(&self, all: bool) -> Vec<io::Error> {
        let servers = self.0.clone();
        let work = tokio::task::spawn_blocking(move || {
            let reload = |server: &Arc<TlsServer>| match if all {
                server.reload()
            } else {
                server.reload_if_changed()
            } {
                Ok(Reloaded::Unchanged) => None,
                Ok(Reloaded::Renewed) => {
                    tracing::info!(files = ?server.expiries(), "certificates read again");
                    None
                }
                Err(error) => Some(error),
            };
            servers.iter().filter_map(reload).collect()
        });
        work.await.unwrap_or_else(|error| vec![io::Error::other(error)])
    }

    fn warn(&self, now: SystemTime) {
        for certificate in self.expiries() {
            let file = certificate.file.display();
            match certificate.at.map(|at| at.duration_since(now)) {
                Some(Ok(left)) if left > WARNING_BEFORE => {}
                Some(Ok(left)) => {
                    tracing::warn!(%file, days_left = left.as_secs() / 86_400, "a certificate ends soon");
                }
                Some(Err(_)) => tracing::error!(%file, "a certificate has ended: clients refuse it"),
                None => tracing::warn!(%file, "the end of a certificate cannot be read"),
            }
        }
    }
}

/// Seconds that a certificate is still good, 0 if it is not; `None` if that cannot be told.
pub(crate) fn seconds_left(certificate: &CertificateExpiry) -> Option<u64> {
    Some(certificate.at?.duration_since(SystemTime::now()).unwrap_or_default().as_secs())
}

/// Looks at the files regularly until the broker stops.
pub(crate) async fn watch_certificates(core: Arc<Core>, every: Duration) {
    let certificates = core.certificates.clone();
    if certificates.0.is_empty() {
        return;
    }
    let mut warn_at = Instant::now();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for error in certificates.reload(false).await {
            tracing::error!(%error, "new certificates cannot be used; the old ones stay");
        }
        if Instant::now() >= warn_at {
            certificates.warn(SystemTime::now());
            warn_at = Instant::now() + WARNING_INTERVAL;
        }
    }
}
