//! The certificates of all listeners: read again when their files change, and watched for their end.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mqtt_transport::{CertificateExpiry, PreparedTls, Reloaded, TlsServer};
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use crate::core::Core;

/// The TLS sides of all listeners that have one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates {
    servers: Arc<[Arc<TlsServer>]>,
    warnings: Arc<Mutex<Warnings>>,
}

/// How long before its end a certificate is worth a warning.
const WARNING_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// Time between two warnings of one certificate.
const WARNING_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Time between two looks at the calendar where files are not looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Of which certificates the log was told, and when. No more than there are.
#[derive(Debug, Default)]
struct Warnings(Vec<(CertificateExpiry, SystemTime)>);

impl Warnings {
    /// Those to tell of now: each that ends soon once a day, however many listeners show it, and one that has taken the
    /// place of another at once.
    fn due(&mut self, expiries: Vec<CertificateExpiry>, now: SystemTime) -> Vec<CertificateExpiry> {
        let is_recent = |at: SystemTime| now.duration_since(at).is_ok_and(|since| since < WARNING_INTERVAL);
        self.0.retain(|(certificate, at)| is_recent(*at) && expiries.contains(certificate));
        let mut due = Vec::new();
        for certificate in expiries {
            if ends_soon(&certificate, now) && self.0.iter().all(|(told, _)| *told != certificate) {
                self.0.push((certificate.clone(), now));
                due.push(certificate);
            }
        }
        due
    }
}

/// Also true where the end is over, or cannot be told.
fn ends_soon(certificate: &CertificateExpiry, now: SystemTime) -> bool {
    let left = certificate.at.map(|at| at.duration_since(now));
    !matches!(left, Some(Ok(left)) if left > WARNING_BEFORE)
}

/// What looking at the files of all listeners led to.
#[derive(Debug, Default)]
struct Look {
    renewed: u64,
    errors: Vec<io::Error>,
}

impl Certificates {
    pub(crate) fn new(servers: impl Iterator<Item = Arc<TlsServer>>) -> Self {
        Self { servers: servers.collect(), warnings: Arc::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// How long each is good, listener by listener.
    pub(crate) fn expiries(&self) -> Vec<CertificateExpiry> {
        self.servers.iter().flat_map(|server| server.expiries()).collect()
    }

    /// Reads files again, all or only those that have changed.
    async fn look(&self, all: bool) -> Look {
        let servers = self.servers.clone();
        let look = move || servers.iter().fold(Look::default(), |look, server| look.at(server, all));
        let look = tokio::task::spawn_blocking(look).await;
        look.unwrap_or_else(|error| Look { renewed: 0, errors: vec![io::Error::other(error)] })
    }

    fn warn(&self, now: SystemTime) {
        let due = self.warnings.lock().due(self.expiries(), now);
        for certificate in due {
            let file = certificate.file.display();
            match certificate.at.map(|at| at.duration_since(now)) {
                Some(Ok(left)) => {
                    tracing::warn!(%file, days_left = left.as_secs() / 86_400, "a certificate ends soon");
                }
                Some(Err(_)) => tracing::error!(%file, "a certificate has ended: clients refuse it"),
                None => tracing::warn!(%file, "the end of a certificate cannot be read"),
            }
        }
    }
}

impl Look {
    fn at(mut self, server: &Arc<TlsServer>, all: bool) -> Self {
        match if all { server.reload() } else { server.reload_if_changed() } {
            Ok(Reloaded::Unchanged) => {}
            Ok(Reloaded::Renewed) => {
                tell_renewed(server);
                self.renewed += 1;
            }
            Err(error) => self.errors.push(error),
        }
        self
    }
}

fn tell_renewed(server: &TlsServer) {
    let files: Vec<_> = server.expiries().iter().map(|it| it.file.display().to_string()).collect();
    tracing::info!(files = files.join(", "), "certificates read again");
}

/// What the files of all encrypted listeners held when they were read again. Made by
/// [`Broker::prepare_certificates`](crate::Broker::prepare_certificates).
#[must_use = "nothing changes before it is taken over"]
#[derive(Debug)]
pub struct PreparedCertificates {
    core: Arc<Core>,
    servers: Vec<(Arc<TlsServer>, PreparedTls)>,
}

impl PreparedCertificates {
    pub(crate) async fn read(core: &Arc<Core>) -> Result<Self, Vec<io::Error>> {
        let servers = core.certificates.servers.clone();
        let read = move || {
            let mut errors = Vec::new();
            let prepared = servers.iter().filter_map(|server| {
                let prepared = server.prepare().map_err(|error| errors.push(error)).ok()?;
                Some((server.clone(), prepared))
            });
            let prepared: Vec<_> = prepared.collect();
            if errors.is_empty() { Ok(prepared) } else { Err(errors) }
        };
        let read = tokio::task::spawn_blocking(read).await;
        match read.unwrap_or_else(|error| Err(vec![io::Error::other(error)])) {
            Ok(servers) => Ok(Self { core: core.clone(), servers }),
            Err(errors) => {
                core.metrics.certificate_reloads_failed.add(errors.len() as u64);
                Err(errors)
            }
        }
    }

    /// From now on new connections get what was read; those that exist go on.
    pub fn take_over(self) {
        self.core.metrics.certificate_reloads.add(self.servers.len() as u64);
        for (server, prepared) in self.servers {
            server.take_over(prepared);
            tell_renewed(&server);
        }
        self.core.warn_of_certificates();
    }
}

impl Core {
    /// Reads the files of encrypted listeners again, all or only those that have changed, and warns of certificates that
    /// end soon. What went wrong, listener by listener.
    pub(crate) async fn reload_certificates(&self, all: bool) -> Vec<io::Error> {
        let Look { renewed, errors } = self.certificates.look(all).await;
        self.metrics.certificate_reloads.add(renewed);
        self.metrics.certificate_reloads_failed.add(errors.len() as u64);
        self.warn_of_certificates();
        errors
    }

    fn warn_of_certificates(&self) {
        self.certificates.warn(self.calendar.now());
    }

    /// Seconds that a certificate is still good, 0 if it is not; `None` if that cannot be told.
    pub(crate) fn seconds_left(&self, certificate: &CertificateExpiry) -> Option<u64> {
        Some(certificate.at?.duration_since(self.calendar.now()).unwrap_or_default().as_secs())
    }
}

/// Looks at the files, if they are to be looked at, and at the calendar regularly until the broker stops.
pub(crate) async fn watch_certificates(core: Arc<Core>, every: Option<Duration>) {
    if core.certificates.is_empty() {
        return;
    }
    let mut ticks = interval(every.unwrap_or(LOOK_INTERVAL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if every.is_none() {
            core.warn_of_certificates();
            continue;
        }
        for error in core.reload_certificates(false).await {
            tracing::error!(%error, "new certificates cannot be used; the old ones stay");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_of_two_listeners_is_told_of_once_and_one_without_an_end_as_well() {
        let now = SystemTime::UNIX_EPOCH + WARNING_BEFORE;
        let expiry = |file: &str, at| CertificateExpiry { file: file.into(), at };
        let (ended, unknown) = (expiry("a", Some(SystemTime::UNIX_EPOCH)), expiry("b", None));
        let good = expiry("c", Some(now + 2 * WARNING_BEFORE));
        let all = vec![ended.clone(), unknown.clone(), good, ended.clone()];
        let mut warnings = Warnings::default();
        assert_eq!(warnings.due(all.clone(), now), [ended, unknown]);
        assert_eq!(warnings.due(all.clone(), now + WARNING_INTERVAL - Duration::from_secs(1)), []);
        assert_eq!(warnings.due(all, now + WARNING_INTERVAL).len(), 2);
    }
}
