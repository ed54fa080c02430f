//! Retained messages (section 3.3.1.3).

use std::time::{Duration, Instant};

use mqtt_codec::QoS;
use mqtt_store::{RetainOutcome, RetainedLimits, Store, StoreError};

use super::{Open, UNLIMITED, filter, name, retained, scan, topics};

fn keep(store: &dyn Store, topic: &str, payload: &[u8]) {
    store.retain(retained(topic, payload, None)).expect("there is room");
}

fn keep_until(store: &dyn Store, topic: &str, expires_at: Instant) {
    store.retain(retained(topic, b"x", Some(expires_at))).expect("there is room");
}

/// Everything that can be seen of the retained messages, for "nothing has changed".
fn contents(store: &dyn Store, now: Instant) -> (usize, usize, Vec<(String, Vec<u8>)>) {
    let totals = store.retained_totals();
    let mut found = scan(store, "#", 2, now);
    found.extend(scan(store, "$SYS/#", 2, now));
    (totals.messages, totals.bytes, found)
}

/// [MQTT-3.3.1-5]
pub(crate) fn a_message_is_kept_with_its_qos(open: &Open) {
    let store = open(UNLIMITED);
    let now = Instant::now();
    for (topic, qos) in [("0", QoS::AtMostOnce), ("1", QoS::AtLeastOnce), ("2", QoS::ExactlyOnce)] {
        let mut kept = retained(topic, b"kept", None);
        kept.qos = qos;
        assert_eq!(store.retain(kept.clone()), Ok(RetainOutcome::Added));
        let page = store.scan_retained(&filter(topic), None, 10, now).expect("readable");
        assert_eq!(page.messages, [kept]);
    }
}

/// [MQTT-3.3.1-5]
pub(crate) fn a_later_message_takes_the_place_of_the_earlier_one(open: &Open) {
    let store = open(UNLIMITED);
    let second = retained("t", b"second and longer", None);
    assert_eq!(store.retain(retained("t", b"first", None)), Ok(RetainOutcome::Added));
    assert_eq!(store.retain(second.clone()), Ok(RetainOutcome::Replaced));
    assert_eq!(scan(&*store, "t", 10, Instant::now()), [("t".into(), b"second and longer".to_vec())]);
    let totals = store.retained_totals();
    assert_eq!((totals.messages, totals.bytes), (1, second.message.size_bytes()));
}

/// [MQTT-3.3.1-6], [MQTT-3.3.1-7]
pub(crate) fn an_empty_message_clears_its_topic_alone(open: &Open) {
    let store = open(UNLIMITED);
    keep(&*store, "t", b"x");
    keep(&*store, "t/below", b"x");
    assert_eq!(store.retain(retained("t", b"", None)), Ok(RetainOutcome::Cleared));
    assert_eq!(store.retain(retained("t", b"", None)), Ok(RetainOutcome::NothingToClear));
    assert_eq!(topics(&*store, "#", Instant::now()), ["t/below"]);
    store.retain(retained("t/below", b"", None)).expect("clearing needs no room");
    assert_eq!(store.retained_totals(), Default::default());
}

pub(crate) fn a_full_store_refuses_a_new_topic_and_changes_nothing(open: &Open) {
    let store = open(RetainedLimits { messages_max: 2, ..UNLIMITED });
    let now = Instant::now();
    keep(&*store, "a", b"1");
    keep(&*store, "$SYS/b", b"2");
    let before = contents(&*store, now);
    assert_eq!(store.retain(retained("c", b"3", None)), Err(StoreError::Full));
    assert_eq!(store.retain(retained("a/c", b"3", Some(now))), Err(StoreError::Full));
    assert_eq!(contents(&*store, now), before);
    assert_eq!(store.retain(retained("a", b"4", None)), Ok(RetainOutcome::Replaced));
}

pub(crate) fn bytes_are_limited_and_a_refusal_changes_nothing(open: &Open) {
    let one = retained("a", &[0; 100], None).message.size_bytes();
    let store = open(RetainedLimits { bytes_max: 2 * one, ..UNLIMITED });
    let now = Instant::now();
    keep(&*store, "a", &[1; 100]);
    assert_eq!(store.retain(retained("b", &[2; 101], None)), Err(StoreError::Full));
    keep(&*store, "b", &[2; 100]);
    let before = contents(&*store, now);
    assert_eq!(before.1, 2 * one, "the last byte can be used");
    assert_eq!(store.retain(retained("b", &[3; 101], None)), Err(StoreError::Full));
    assert_eq!(store.retain(retained("c", b"3", None)), Err(StoreError::Full));
    assert_eq!(contents(&*store, now), before);
}

pub(crate) fn a_replacement_needs_only_the_room_that_the_old_one_does_not_give_back(open: &Open) {
    let one = retained("a", &[0; 100], None).message.size_bytes();
    let store = open(RetainedLimits { messages_max: 1, bytes_max: one });
    keep(&*store, "a", &[1; 100]);
    keep(&*store, "a", &[2; 100]);
    keep(&*store, "a", &[3; 1]);
    keep(&*store, "a", &[4; 100]);
    assert_eq!(scan(&*store, "#", 1, Instant::now()), [("a".into(), vec![4; 100])]);
}

pub(crate) fn a_full_store_can_be_cleared(open: &Open) {
    let store = open(RetainedLimits { messages_max: 1, bytes_max: 1000 });
    keep(&*store, "a", b"x");
    assert_eq!(store.retain(retained("b", b"", None)), Ok(RetainOutcome::NothingToClear));
    assert_eq!(store.retain(retained("a", b"", None)), Ok(RetainOutcome::Cleared));
    keep(&*store, "b", b"x");
}

pub(crate) fn pages_join_to_the_whole_in_one_order(open: &Open) {
    let store = open(UNLIMITED);
    let now = Instant::now();
    let mut expected = Vec::new();
    for number in 0..50 {
        for topic in [format!("a/{number}/x"), format!("a/{number}"), format!("b/{number}/x")] {
            keep(&*store, &topic, topic.as_bytes());
            expected.push((topic.clone(), topic.into_bytes()));
        }
    }
    keep(&*store, "$SYS/a/1/x", b"hidden");
    expected.sort();
    for filter in ["#", "+/+/x", "a/#", "a/+", "+/7/x", "nothing/#", "a/7"] {
        let matching = super::filter(filter);
        let mut expected = expected.clone();
        expected.retain(|(topic, _)| matching.matches(&name(topic)));
        let whole = scan(&*store, filter, usize::MAX, now);
        for page_max in [1, 2, 7, expected.len().max(1), expected.len() + 1] {
            assert_eq!(scan(&*store, filter, page_max, now), whole, "{filter} in pages of {page_max}");
        }
        let mut sorted = whole;
        sorted.sort();
        assert_eq!(sorted, expected, "{filter}");
    }
}

pub(crate) fn a_scan_goes_on_behind_a_name_that_has_gone(open: &Open) {
    let store = open(UNLIMITED);
    let now = Instant::now();
    for number in 0..9 {
        keep(&*store, &format!("t/{number}"), b"x");
    }
    let all = topics(&*store, "t/+", now);
    let page = store.scan_retained(&filter("t/+"), None, 3, now).expect("readable");
    let next = page.next.expect("more is left");
    store.retain(retained(next.as_str(), b"", None)).expect("clearing needs no room");
    let rest = store.scan_retained(&filter("t/+"), Some(&next), 100, now).expect("readable");
    let rest: Vec<&str> = rest.messages.iter().map(|retained| retained.message.topic()).collect();
    assert_eq!(rest, all[3..]);
}

/// A message that is published while a scan goes on is not lost to it if its place is still to come.
pub(crate) fn a_scan_sees_what_comes_behind_its_place(open: &Open) {
    let store = open(UNLIMITED);
    let now = Instant::now();
    for number in [1, 3, 5, 7] {
        keep(&*store, &format!("t/{number}"), b"old");
    }
    let page = store.scan_retained(&filter("t/#"), None, 1, now).expect("readable");
    let first = page.messages[0].message.topic().to_owned();
    keep(&*store, "t/4", b"new");
    keep(&*store, "t/7", b"new");
    let rest = store.scan_retained(&filter("t/#"), page.next.as_ref(), 100, now).expect("readable");
    let mut seen: Vec<_> = rest.messages.iter().map(|retained| retained.message.topic()).collect();
    seen.push(&first);
    seen.sort_unstable();
    assert_eq!(seen, ["t/1", "t/3", "t/4", "t/5", "t/7"]);
    let newer = rest.messages.iter().find(|retained| retained.message.topic() == "t/7");
    assert_eq!(newer.map(|retained| retained.message.payload()), Some(&b"new"[..]));
}

/// [MQTT-4.7.2-1]
pub(crate) fn wildcards_at_the_start_do_not_see_dollar_topics(open: &Open) {
    let store = open(UNLIMITED);
    let now = Instant::now();
    for topic in ["$SYS/uptime", "$other/uptime", "$", "plain/uptime"] {
        keep(&*store, topic, b"x");
    }
    assert_eq!(topics(&*store, "#", now), ["plain/uptime"]);
    assert_eq!(topics(&*store, "+/uptime", now), ["plain/uptime"]);
    assert_eq!(topics(&*store, "$SYS/#", now), ["$SYS/uptime"]);
    assert_eq!(topics(&*store, "$other/+", now), ["$other/uptime"]);
    assert_eq!(topics(&*store, "$", now), ["$"]);
}

pub(crate) fn a_filter_without_wildcards_finds_one(open: &Open) {
    let store = open(UNLIMITED);
    let now = Instant::now();
    for topic in ["a", "a/b", "a/b/c", "a/", "/a"] {
        keep(&*store, topic, b"x");
    }
    for topic in ["a", "a/b", "a/b/c", "a/", "/a"] {
        assert_eq!(topics(&*store, topic, now), [topic]);
    }
    assert!(topics(&*store, "b", now).is_empty());
    let after = name("a/b").to_boxed();
    let page = store.scan_retained(&filter("a/b"), Some(&after), 9, now).expect("readable");
    assert!(page.messages.is_empty() && page.next.is_none(), "strictly after");
}

/// [MQTT-3.3.2-5]
pub(crate) fn a_scan_leaves_out_what_has_expired(open: &Open) {
    let store = open(UNLIMITED);
    let start = Instant::now();
    let second = Duration::from_secs(1);
    for number in 0..10 {
        keep_until(&*store, &format!("t/{number}"), start + second * number);
    }
    keep(&*store, "t/forever", b"x");
    assert_eq!(topics(&*store, "#", start).len(), 10, "what ends now has ended");
    assert_eq!(topics(&*store, "#", start + second * 8), ["t/9", "t/forever"]);
    assert_eq!(topics(&*store, "t/9", start + second * 9 - Duration::from_nanos(1)), ["t/9"]);
    assert!(topics(&*store, "t/9", start + second * 9).is_empty());
    assert_eq!(topics(&*store, "#", start + second * 100), ["t/forever"]);
}

pub(crate) fn expiry_removes_what_is_due_and_nothing_else(open: &Open) {
    let store = open(UNLIMITED);
    let start = Instant::now();
    let second = Duration::from_secs(1);
    for number in 0..10 {
        keep_until(&*store, &format!("t/{number}"), start + second * number);
    }
    keep(&*store, "t/forever", b"x");
    assert_eq!(store.expire_retained(start + second * 4).len(), 5);
    assert_eq!(store.expire_retained(start + second * 4).len(), 0);
    assert_eq!(store.retained_totals().messages, 6);
    assert_eq!(topics(&*store, "#", start), ["t/5", "t/6", "t/7", "t/8", "t/9", "t/forever"]);
    assert_eq!(store.expire_retained(start + second * 1000).len(), 5);
    let kept = retained("t/forever", b"x", None).message.size_bytes();
    assert_eq!((store.retained_totals().messages, store.retained_totals().bytes), (1, kept));
}

/// No filter sees all of them, so a sweep by filters would miss some.
pub(crate) fn expiry_knows_every_dollar_topic(open: &Open) {
    let store = open(UNLIMITED);
    let start = Instant::now();
    for topic in ["$SYS", "$SYS/a", "$", "$/a", "$share/group/t", "$any/thing", "/$a", "plain"] {
        keep_until(&*store, topic, start);
    }
    assert_eq!(store.expire_retained(start).len(), 8);
    assert_eq!(store.retained_totals(), Default::default());
}

pub(crate) fn a_replaced_message_takes_its_expiry_along(open: &Open) {
    let store = open(UNLIMITED);
    let start = Instant::now();
    let second = Duration::from_secs(1);
    for topic in ["stays", "lives longer", "lives shorter", "cleared", "comes back"] {
        keep_until(&*store, topic, start + second * 10);
    }
    keep(&*store, "stays", b"x");
    keep_until(&*store, "lives longer", start + second * 20);
    keep_until(&*store, "lives shorter", start + second * 5);
    store.retain(retained("cleared", b"", None)).expect("clearing needs no room");
    store.retain(retained("comes back", b"", None)).expect("clearing needs no room");
    keep(&*store, "comes back", b"x");
    assert_eq!(store.expire_retained(start + second * 5), ["lives shorter".into()]);
    assert_eq!(store.expire_retained(start + second * 10).len(), 0);
    assert_eq!(topics(&*store, "#", start + second * 10), ["comes back", "lives longer", "stays"]);
    assert_eq!(store.expire_retained(start + second * 20), ["lives longer".into()]);
    assert_eq!(store.retained_totals().messages, 2);
}

pub(crate) fn expiry_makes_room(open: &Open) {
    let store = open(RetainedLimits { messages_max: 2, ..UNLIMITED });
    let start = Instant::now();
    keep_until(&*store, "a", start);
    keep_until(&*store, "b", start);
    assert_eq!(store.retain(retained("c", b"x", None)), Err(StoreError::Full));
    assert_eq!(store.expire_retained(start).len(), 2);
    keep(&*store, "c", b"x");
}
