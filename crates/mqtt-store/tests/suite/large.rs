//! A store that is full.

use std::time::{Duration, Instant};

use mqtt_store::RetainOutcome;

use super::{Open, UNLIMITED, filter, retained, topics};

const MESSAGES: usize = 1_000_000;

/// One site in a hundred sends messages that expire.
pub(crate) fn a_million_messages_are_kept_and_found(open: &Open) {
    let store = open(UNLIMITED);
    let start = Instant::now();
    let tomorrow = start + Duration::from_secs(86_400);
    for number in 0..MESSAGES {
        let site = number % 1000;
        let topic = format!("site/{site}/device/{number}");
        let expires_at = (site % 100 == 7).then_some(tomorrow);
        assert_eq!(store.retain(retained(&topic, b"on", expires_at)), Ok(RetainOutcome::Added));
    }
    assert_eq!(store.retained_totals().messages, MESSAGES);
    assert_eq!(topics(&*store, "site/7/device/123007", start), ["site/7/device/123007"]);
    assert_eq!(topics(&*store, "site/7/+/+", start).len(), 1000);
    assert_eq!(topics(&*store, "site/7/#", tomorrow).len(), 0);
    let page = store.scan_retained(&filter("#"), None, 100, start).expect("readable");
    assert_eq!(page.messages.len(), 100);
    assert_eq!(store.expire_retained(start).len(), 0);
    let parts = std::iter::from_fn(|| Some(store.expire_retained(tomorrow).len()).filter(|part| *part > 0));
    assert_eq!(parts.sum::<usize>(), MESSAGES / 100);
    assert_eq!(store.retained_totals().messages, MESSAGES - MESSAGES / 100);
}
