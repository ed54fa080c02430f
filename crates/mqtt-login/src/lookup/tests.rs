use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use mqtt_access::login::Moment;
use mqtt_codec::Version;

use super::*;

/// anna, whose password is `secret`, in a database that can be broken.
#[derive(Debug, Default)]
struct Fake {
    is_down: bool,
    hangs: bool,
    asked: Arc<AtomicUsize>,
}

const ANNA: &str = "$6$V7Ma+NcEiAngp6ki$YSTr+k6FmE97RMzdz/SX4CyC4kbyLMrcl98gngLnZ+w3s7EQ2zR3JwxB7+6LsA48h7An8Lxor4BFMNFml92CCw==";

impl Source for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn user<'a>(&'a self, who: Who<'a>) -> Looked<'a, Option<Found>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let found = if self.is_down {
            Err("gone".to_owned())
        } else if who.username == "anna" {
            Found::read(ANNA, false).map(Some)
        } else {
            Ok(None)
        };
        if self.hangs {
            return Box::pin(std::future::pending());
        }
        Box::pin(ready(found))
    }

    fn rules<'a>(&'a self, _: Who<'a>) -> Looked<'a, Option<Policy>> {
        Box::pin(ready(Ok(Policy::builder().lines("fake", ["allow publish a/#"]).build().ok())))
    }
}

fn lookup(source: Fake, remembered_s: u64) -> Lookup {
    let checker = Arc::new(Checker::new(crate::CheckerBounds::default()).expect("random numbers"));
    Lookup::new(Arc::new(source), checker, Bounds::default(), Duration::from_secs(remembered_s))
        .expect("random numbers")
}

async fn ask(lookup: &Lookup, username: &str, password: &str, must_wait: bool, at: Instant) -> String {
    let applicant = Applicant {
        client_id: "c",
        version: Version::V5,
        address: None,
        listener: "door",
        anonymous_allowed: false,
        certificate_subject: None,
        certificate_common_name: None,
        username: Some(username),
        password: Some(password.as_bytes()),
        proven_by: None,
        must_wait,
        now: Moment { instant: at, wall: SystemTime::UNIX_EPOCH },
    };
    match lookup.decide(&applicant).await {
        Decision::Allow(grant) => {
            format!("{:?} {}", grant.username, grant.rules.map_or(0, |rules| rules.len()))
        }
        Decision::Deny(reason) => format!("{reason:?}"),
        Decision::Pass => "passed on".to_owned(),
    }
}

#[tokio::test]
async fn only_the_right_password_of_a_user_in_the_database_admits() {
    let (lookup, now) = (lookup(Fake::default(), 60), Instant::now());
    assert_eq!(ask(&lookup, "anna", "secret", false, now).await, "Some(\"anna\") 1");
    assert_eq!(ask(&lookup, "anna", "guess", false, now).await, "BadUserNameOrPassword");
    assert_eq!(ask(&lookup, "otto", "secret", false, now).await, "passed on");
}

#[tokio::test]
async fn an_answer_is_remembered_for_its_time_and_for_the_same_password_only() {
    let asked = Arc::default();
    let source = Fake { asked: Arc::clone(&asked), ..Fake::default() };
    let (lookup, now) = (lookup(source, 60), Instant::now());
    for (password, later_s, expected) in
        [("secret", 0, 1), ("secret", 59, 1), ("guess", 59, 2), ("secret", 61, 3)]
    {
        ask(&lookup, "anna", password, false, now + Duration::from_secs(later_s)).await;
        assert_eq!(asked.load(Ordering::Relaxed), expected, "{password} after {later_s} s");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_asked_admits_nobody() {
    let lookup = lookup(Fake { is_down: true, ..Fake::default() }, 60);
    for username in ["anna", "otto"] {
        assert_eq!(ask(&lookup, username, "secret", false, Instant::now()).await, "ServerUnavailable");
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_does_not_answer_costs_its_deadline_and_admits_nobody() {
    let lookup = lookup(Fake { hangs: true, ..Fake::default() }, 60);
    let began = tokio::time::Instant::now();
    assert_eq!(ask(&lookup, "anna", "secret", false, Instant::now()).await, "ServerUnavailable");
    assert_eq!(began.elapsed(), Bounds::default().deadline);
}

#[tokio::test]
async fn whoever_has_to_wait_is_not_looked_up() {
    let asked = Arc::default();
    let source = Fake { asked: Arc::clone(&asked), ..Fake::default() };
    let (lookup, now) = (lookup(source, 60), Instant::now());
    assert_eq!(ask(&lookup, "anna", "secret", true, now).await, "ConnectionRateExceeded");
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    ask(&lookup, "anna", "secret", false, now).await;
    assert_eq!(ask(&lookup, "anna", "secret", true, now).await, "Some(\"anna\") 1");
}
