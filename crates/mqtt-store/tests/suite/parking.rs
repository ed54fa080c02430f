//! Sessions of clients that are away.

use std::time::{Duration, Instant};

use mqtt_codec::SubscriptionOptions;
use mqtt_session::{Session, Subscription};
use mqtt_store::Parked;

use super::{Open, UNLIMITED};

/// A session that can be told by its one subscription.
fn session(filter: &str, ends_at: Option<Instant>) -> Parked {
    let mut session = Session::new();
    let subscription = Subscription { options: SubscriptionOptions::default(), identifier: Some(7) };
    session.subscribe(filter, subscription);
    Parked { session, ends_at, owner: None }
}

fn filters(parked: Option<Parked>) -> Vec<String> {
    let session = parked.expect("a session").session;
    session.subscriptions().map(|(filter, _)| filter.to_owned()).collect()
}

pub(crate) fn a_session_comes_back_as_it_went(open: &Open) {
    let store = open(UNLIMITED);
    let ends_at = Instant::now() + Duration::from_secs(60);
    store.park("client", session("a/+", Some(ends_at))).expect("it can be kept");
    assert_eq!(store.parked_len(), 1);
    let parked = store.unpark("client").expect("readable").expect("a session");
    assert_eq!(parked.ends_at, Some(ends_at));
    let expected = Subscription { options: SubscriptionOptions::default(), identifier: Some(7) };
    assert_eq!(parked.session.subscription("a/+"), Some(expected));
    assert_eq!(parked.session.subscriptions().len(), 1);
}

pub(crate) fn a_session_comes_back_once(open: &Open) {
    let store = open(UNLIMITED);
    assert!(store.unpark("client").expect("readable").is_none());
    store.park("client", session("a", None)).expect("it can be kept");
    assert_eq!(filters(store.unpark("client").expect("readable")), ["a"]);
    assert!(store.unpark("client").expect("readable").is_none());
    assert_eq!(store.parked_len(), 0);
}

pub(crate) fn a_later_session_takes_the_place_of_the_earlier_one(open: &Open) {
    let store = open(UNLIMITED);
    store.park("client", session("earlier", None)).expect("it can be kept");
    store.park("client", session("later", None)).expect("it can be kept");
    assert_eq!(store.parked_len(), 1);
    assert_eq!(filters(store.unpark("client").expect("readable")), ["later"]);
    assert_eq!(store.parked_len(), 0);
}

pub(crate) fn sessions_are_told_apart_by_the_whole_identifier(open: &Open) {
    let store = open(UNLIMITED);
    let long = "x".repeat(65_535);
    let identifiers = ["a", "A", "a/b", "a ", "ä", "\u{1F426}", "..", &long, &long[1..]];
    for identifier in identifiers {
        store.park(identifier, session(identifier, None)).expect("it can be kept");
    }
    assert_eq!(store.parked_len(), identifiers.len());
    for identifier in identifiers {
        assert_eq!(filters(store.unpark(identifier).expect("readable")), [identifier]);
    }
    assert_eq!(store.parked_len(), 0);
}
