//! Which listeners a configuration asks for, and whether they are safe to open.

use super::problem::{Place, Problem};
use super::settings::{ListenerEntry, default_listeners};

/// Completes the listeners: the default ones if there are none, and an answer about anonymous clients in each.
///
/// Nobody is let in by accident: without a log-in, only a loopback address admits clients on its own account.
pub(crate) fn resolve(
    given: Vec<(ListenerEntry, Place)>,
    anonymous: Option<bool>,
) -> (Vec<ListenerEntry>, Vec<Problem>) {
    let mut problems = duplicates(&given);
    let given = if given.is_empty() { with_place(default_listeners()) } else { given };
    let mut entries = Vec::with_capacity(given.len());
    for (mut entry, place) in given {
        let allowed = entry.allow_anonymous.or(anonymous);
        match allowed.unwrap_or_else(|| entry.is_loopback()) {
            true => entry.allow_anonymous = Some(true),
            false => {
                problems.push(Problem { place: place.clone(), message: nobody_could_enter(&entry, allowed) })
            }
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

/// Two listeners cannot share an address; port 0 is never shared.
fn duplicates(given: &[(ListenerEntry, Place)]) -> Vec<Problem> {
    let address = |entry: &ListenerEntry| (entry.url.host().to_ascii_lowercase(), entry.url.port());
    let mut problems = Vec::new();
    for (position, (entry, place)) in given.iter().enumerate() {
        let first = given[..position].iter().find(|(other, _)| address(other) == address(entry));
        if let Some((_, first)) = first.filter(|_| entry.url.port() != 0) {
            let message = format!("{} is already taken by the listener at {first}", entry.url);
            problems.push(Problem { place: place.clone(), message });
        }
    }
    problems
}
