//! Which listeners a configuration asks for, and whether they are safe to open.

use mqtt_transport::{ClientCertificates, Scheme, TlsVersion};

use crate::access::AccessSettings;

use super::authentication;
use super::problem::{Place, Problem};
use super::settings::{ListenerEntry, default_listeners};

/// Completes the listeners: the default ones if there are none, and an answer about anonymous clients in each.
///
/// Nobody is let in by accident: without any way to log in, only a loopback address admits clients on its own
/// account; with one, anonymous clients come in only where a listener says so.
pub(crate) fn resolve(
    given: Vec<(ListenerEntry, Place)>,
    anonymous: Option<bool>,
    access: &AccessSettings,
) -> (Vec<ListenerEntry>, Vec<Problem>) {
    let mut problems = duplicates(&given);
    let given = if given.is_empty() { with_place(default_listeners()) } else { given };
    let mut entries = Vec::with_capacity(given.len());
    for (mut entry, place) in given {
        problems.extend(scheme_problems(&entry).map(|message| Problem { place: place.clone(), message }));
        problems.extend(authentication::of_listener(&entry, access, &place));
        let own = entry.allow_anonymous.or(entry.authentication.names_anonymous());
        let allowed = own.or(anonymous).or(access.authentication.names_anonymous());
        let can_log_in = authentication::admits_names(&entry, access);
        let admits_anybody = allowed.unwrap_or_else(|| entry.is_loopback() && !can_log_in);
        entry.allow_anonymous = Some(admits_anybody);
        if !admits_anybody && !can_log_in {
            problems.push(Problem { place: place.clone(), message: nobody_could_enter(&entry, allowed) });
        }
        if entry.rules.version_min > entry.rules.version_max {
            let message = format!("{}: `version_min` is above `version_max`: no version is left", entry.url);
            problems.push(Problem { place, message });
        }
        entries.push(entry);
    }
    (entries, problems)
}

fn with_place(entries: Vec<ListenerEntry>) -> Vec<(ListenerEntry, Place)> {
    let place = |entry: &ListenerEntry| Place::Argument(format!("default listener {}", entry.url));
    entries.into_iter().map(|entry| (entry.clone(), place(&entry))).collect()
}

fn nobody_could_enter(entry: &ListenerEntry, allowed: Option<bool>) -> String {
    let url = &entry.url;
    if allowed == Some(false) {
        return format!(
            "{url} would admit nobody: anonymous clients are refused, and no way to log in is configured. \
             Remove `allow_anonymous = false`"
        );
    }
    format!(
        "{url} can be reached from other machines, and no way to log in is configured. If really everybody \
         may connect, say so with `allow_anonymous = true` in this [[listener]], or with --allow-anonymous; \
         else listen on 127.0.0.1 only"
    )
}

/// What is missing or too much for the scheme of the address.
fn scheme_problems(entry: &ListenerEntry) -> impl Iterator<Item = String> {
    let tls = &entry.transport.tls;
    let encrypted = entry.url.scheme().is_encrypted();
    let quic = entry.url.scheme() == Scheme::Quic;
    let (certificates, keys) = (entry.certificates.len(), entry.keys.len());
    let asked = tls.client_certificates != ClientCertificates::NotAsked;
    let problems = [
        (encrypted && certificates == 0, "an encrypted listener needs `certificates` and `keys`"),
        (
            !encrypted && certificates + keys > 0,
            "`certificates` and `keys` need an encrypted address, as mqtts://, wss:// or quic://",
        ),
        (certificates != keys, "`certificates` and `keys` must have the same length"),
        (
            !encrypted && asked,
            "`client_certificates` needs an encrypted address, as mqtts://, wss:// or quic://",
        ),
        (asked && tls.client_ca_file.is_none(), "`client_certificates` needs a `client_ca_file`"),
        (
            quic && entry.systemd_socket.is_some(),
            "`systemd_socket` is not for QUIC: it takes sockets of TCP and Unix",
        ),
        (tls.version_min > tls.version_max, "`tls_version_min` is above `tls_version_max`"),
        (quic && tls.version_max < TlsVersion::V1_3, "QUIC needs TLS 1.3"),
        (
            quic && !entry.transport.proxy_from.is_empty(),
            "`proxy_from` is not for QUIC: the protocol needs TCP",
        ),
    ];
    let url = entry.url.clone();
    problems.into_iter().filter(|(wrong, _)| *wrong).map(move |(_, message)| format!("{url}: {message}"))
}

/// Two listeners cannot share an address; port 0 is never shared, and a port of UDP is none of TCP.
fn duplicates(given: &[(ListenerEntry, Place)]) -> Vec<Problem> {
    let address = |entry: &ListenerEntry| {
        let url = &entry.url;
        (url.host().to_ascii_lowercase(), url.port(), url.scheme() == Scheme::Quic)
    };
    let mut problems = Vec::new();
    let given: Vec<_> = given.iter().filter(|(entry, _)| entry.systemd_socket.is_none()).collect();
    for (position, (entry, place)) in given.iter().enumerate() {
        let first = given[..position].iter().find(|(other, _)| address(other) == address(entry));
        if let Some((_, first)) = first.filter(|_| entry.url.port() != 0) {
            let message = format!("{} is already taken by the listener at {first}", entry.url);
            problems.push(Problem { place: place.clone(), message });
        }
    }
    problems
}
