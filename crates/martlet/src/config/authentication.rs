//! Whether the members that decide on logins can do so.

use std::collections::BTreeMap;

use super::problem::{Place, Problem};
use super::settings::ListenerEntry;
use crate::access::{AccessSettings, Member};

/// What is wrong with the order for all listeners.
pub(super) fn global(
    access: &AccessSettings,
    anonymous: Option<bool>,
    places: &BTreeMap<&'static str, Place>,
) -> Vec<Problem> {
    let Some(members) = &access.authentication.0 else { return Vec::new() };
    let place = places.get("access.authentication").cloned();
    let place = place.unwrap_or(Place::Argument("access.authentication".to_owned()));
    let said = incapable(members, access).chain(contradiction(members, anonymous));
    said.map(|message| Problem {
        place: place.clone(),
        message: format!("`access.authentication` {message}"),
    })
    .collect()
}

/// What is wrong with a listener's own order.
pub(super) fn of_listener(entry: &ListenerEntry, access: &AccessSettings, place: &Place) -> Vec<Problem> {
    let Some(members) = &entry.authentication.0 else { return Vec::new() };
    let certificates = members.contains(&Member::Certificate) && !entry.knows_certificates();
    let certificates = certificates.then(|| {
        "names \"certificate\", but the listener does not ask for certificates or takes no user names from them: see \
         `client_certificates` and `username_from`"
            .to_owned()
    });
    let said =
        incapable(members, access).chain(certificates).chain(contradiction(members, entry.allow_anonymous));
    let problem = |message| Problem {
        place: place.clone(),
        message: format!("{}: `authentication` {message}", entry.url),
    };
    said.map(problem).collect()
}

/// Whether a client can log in at a listener.
pub(super) fn admits_names(entry: &ListenerEntry, access: &AccessSettings) -> bool {
    let order = entry.authentication.0.as_deref().or(access.authentication.0.as_deref());
    order.unwrap_or(Member::ALL).iter().any(|member| match member {
        Member::Anonymous => false,
        Member::Certificate => entry.knows_certificates(),
        other => other.lacks(access).is_none(),
    })
}

fn incapable(members: &[Member], access: &AccessSettings) -> impl Iterator<Item = String> {
    members.iter().filter_map(|member| {
        let lack = member.lacks(access)?;
        Some(format!("names {:?}, but {lack}", member.name()))
    })
}

fn contradiction(members: &[Member], anonymous: Option<bool>) -> Option<String> {
    match (members.contains(&Member::Anonymous), anonymous?) {
        (true, false) => Some("names \"anonymous\", but `allow_anonymous` is false".to_owned()),
        (false, true) => Some(
            "does not name \"anonymous\", but `allow_anonymous` is true: add it at the end, or remove `allow_anonymous`"
                .to_owned(),
        ),
        _ => None,
    }
}
