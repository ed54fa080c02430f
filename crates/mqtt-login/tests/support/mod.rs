//! Applicants, and what becomes of them.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mqtt_access::login::{Applicant, Moment};
use mqtt_codec::Version;

/// The time of all these tests, in seconds since 1970.
pub(crate) const NOW_S: u64 = 1_700_000_000;

pub(crate) fn wall() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW_S)
}

/// A client that shows nothing yet.
pub(crate) fn applicant(at: Instant) -> Applicant<'static> {
    Applicant {
        client_id: "c1",
        version: Version::V5,
        address: Some("192.0.2.1:1000".parse().expect("an address")),
        listener: "door",
        anonymous_allowed: false,
        certificate_subject: None,
        certificate_common_name: None,
        username: None,
        password: None,
        proven_by: None,
        must_wait: false,
        now: Moment { instant: at, wall: wall() },
    }
}
