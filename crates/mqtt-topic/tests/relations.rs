//! How filters relate to each other, compared with the names that they match.

use mqtt_topic::{TopicFilter, TopicName};
use proptest::prelude::*;

fn filter(text: &str) -> TopicFilter<&str> {
    TopicFilter::parse(text).expect("a filter")
}

fn check(a: &str, b: &str, covers: bool, overlaps: bool) {
    assert_eq!(filter(a).covers(&filter(b)), covers, "{a} covers {b}");
    assert_eq!(filter(a).overlaps(&filter(b)), overlaps, "{a} overlaps {b}");
    assert_eq!(filter(b).overlaps(&filter(a)), overlaps, "{b} overlaps {a}");
}

#[test]
fn a_filter_covers_what_it_holds_and_no_more() {
    check("#", "a/b", true, true);
    check("a/#", "a", true, true);
    check("a/#", "a/+/c", true, true);
    check("a/+", "a/#", false, true);
    check("a/+", "a/b", true, true);
    check("a/+", "a/+/c", false, false);
    check("+", "#", false, true);
    check("a/b", "a/+", false, true);
    check("a/b", "a/c", false, false);
    check("a/+/c", "a/b/+", false, true);
    check("a", "a/#", false, true);
    check("a/", "a", false, false);
    check("a/", "a/+", false, true);
}

#[test]
fn mqtt_4_7_2_1_wildcards_at_the_start_hold_no_dollar_topics() {
    check("#", "$SYS/#", false, false);
    check("+/x", "$SYS/x", false, false);
    check("$SYS/#", "$SYS/broker/+", true, true);
    check("$SYS/#", "#", false, false);
}

#[test]
fn a_share_name_does_not_hide_a_filter() {
    check("public/#", "$share/g/secret/#", false, false);
    check("secret/#", "$share/g/secret/x", true, true);
    check("#", "$share/g/#", true, true);
}

fn levels(wildcards: bool) -> impl Strategy<Value = String> {
    let words = if wildcards { "[ab$]|\\+|" } else { "[ab$]|" };
    proptest::collection::vec(words, 1..4).prop_map(|levels| levels.join("/"))
}

proptest! {
    #[test]
    fn relations_agree_with_the_names_that_match(
        a in levels(true), b in levels(true), more in (any::<bool>(), any::<bool>()),
        names in proptest::collection::vec(levels(false), 32),
    ) {
        let hash = |text: String, more| if more { format!("{text}/#") } else { text };
        let (a, b) = (hash(a, more.0), hash(b, more.1));
        let (Ok(a), Ok(b)) = (TopicFilter::parse(&*a), TopicFilter::parse(&*b)) else { return Ok(()) };
        for name in names {
            let Ok(name) = TopicName::parse(&*name) else { continue };
            if a.covers(&b) && b.matches(&name) {
                prop_assert!(a.matches(&name), "{a} covers {b} but not {name}");
            }
            if a.matches(&name) && b.matches(&name) {
                prop_assert!(a.overlaps(&b), "{a} and {b} share {name}");
            }
        }
    }
}
