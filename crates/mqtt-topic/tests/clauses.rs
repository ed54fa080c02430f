//! The normative statements about topics, one by one. Every table runs through `TopicFilter::matches`, both trees and
//! the oracle, so that all four always agree.

mod oracle;

use std::ops::ControlFlow;

use mqtt_topic::{FilterTree, NameTree, TOPIC_BYTES_MAX, TopicError, TopicFilter, TopicName};

/// `filter` matches each of `matching` and none of `others`.
#[track_caller]
fn check(filter: &str, matching: &[&str], others: &[&str]) {
    let filter = TopicFilter::parse(filter).expect("a valid filter");
    let mut filters = FilterTree::new();
    filters.insert(&filter, 1, ());
    let mut names = NameTree::new();
    for (text, expected) in
        matching.iter().map(|name| (name, true)).chain(others.iter().map(|name| (name, false)))
    {
        let name = TopicName::parse(*text).expect("a valid name");
        let mut in_tree = false;
        filters.for_each_match(name, |_, ()| in_tree = true);
        let all = [filter.matches(&name), in_tree, oracle::matches(filter.filter(), text)];
        assert_eq!(all, [expected; 3], "{filter} and {name}: TopicFilter, FilterTree, oracle");
        names.insert(name, ());
    }
    let mut found = Vec::new();
    let _ = names.scan(&filter, None, |name, ()| {
        found.push(name.to_owned());
        ControlFlow::Continue(())
    });
    let mut expected = matching.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected, "{filter}: NameTree");
}

/// All of `valid` are filters, and each of `invalid` is refused for breaking `clause`.
#[track_caller]
fn check_filters(valid: &[&str], invalid: &[&str], clause: &str) {
    for text in valid {
        let filter = TopicFilter::parse(*text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(filter.as_str(), *text);
    }
    for text in invalid {
        assert_eq!(TopicFilter::parse(*text).expect_err(text).clause(), clause, "{text}");
    }
}

/// All of `valid` are names, and each of `invalid` is refused for breaking `clause`.
#[track_caller]
fn check_names(valid: &[&str], invalid: &[&str], clause: &str) {
    for text in valid {
        let name = TopicName::parse(*text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(name.as_str(), *text);
    }
    for text in invalid {
        assert_eq!(TopicName::parse(*text).expect_err(text).clause(), clause, "{text}");
    }
}

#[track_caller]
fn check_share(text: &str, share_name: Option<&str>, filter: &str, has_wildcards: bool) {
    let parsed = TopicFilter::parse(text).expect("a valid filter");
    assert_eq!(
        (parsed.as_str(), parsed.share_name(), parsed.filter(), parsed.has_wildcards()),
        (text, share_name, filter, has_wildcards)
    );
}

/// [MQTT3-4.7.1-1]
#[test]
fn mqtt_4_7_0_1_a_name_holds_no_wildcards() {
    check_names(
        &["a", "a/b", "$SYS", "a b", "*", "a-b", "%"],
        &["+", "#", "a/+", "a/#", "a+", "#a", "a/b#c/d"],
        "MQTT-4.7.0-1",
    );
}

/// [MQTT3-4.7.1-2]
#[test]
fn mqtt_4_7_1_1_number_sign_is_the_whole_last_level() {
    check_filters(
        &["#", "a/#", "/#", "a/b/#", "+/#", "//#"],
        &["a#", "a/b#", "a/#/b", "#/", "##", "#/#", "a/##", "#a", "+#"],
        "MQTT-4.7.1-1",
    );
}

#[test]
fn mqtt_4_7_1_1_number_sign_matches_the_parent_and_all_below() {
    check("a/#", &["a", "a/", "a/b", "a/b/c", "a//c", "a/$b"], &["b", "ab", "a b", "/a", "A", "b/a"]);
    check("#", &["a", "/", "/a", "a/b", "a/$b"], &["$", "$SYS", "$SYS/a"]);
    check("/#", &["/", "/a", "//", "/$SYS"], &["a", "a/"]);
    check("a/b/#", &["a/b", "a/b/", "a/b/c/d/e"], &["a", "a/bc", "a/c", "a/b!", "a/b0/c"]);
    check("+/#", &["a", "/", "a/b", "/a"], &["$SYS", "$SYS/a"]);
    check("+/b/#", &["a/b", "/b", "a/b/c"], &["a", "a/a/b", "b", "$a/b"]);
}

/// [MQTT3-4.7.1-3]
#[test]
fn mqtt_4_7_1_2_plus_sign_is_a_whole_level() {
    check_filters(
        &["+", "+/+", "/+", "+/", "a/+/b", "+/a/#", "//+//"],
        &["a+", "+a", "a/b+", "a/+b/c", "++", "/++/"],
        "MQTT-4.7.1-2",
    );
}

#[test]
fn mqtt_4_7_1_2_plus_sign_matches_one_level_even_an_empty_one() {
    check("+", &["a", "abc", " "], &["/", "/a", "a/", "a/b", "$a"]);
    check("a/+", &["a/", "a/b", "a/ ", "a/$b"], &["a", "a/b/c", "a//", "b/a", "a!/b"]);
    check("/+", &["/", "/a"], &["a", "a/", "//", "/a/b"]);
    check("+/+", &["/a", "a/", "/", "a/b"], &["a", "a/b/c", "//", "$/a"]);
    check("a/+/c", &["a/b/c", "a//c"], &["a/c", "a/b/d", "a/b/b/c", "a/b/c/"]);
    check("+/b/+/d", &["a/b/c/d", "/b//d"], &["a/b/c", "a/b/c/e", "a/c/c/d", "a/b/c/d/e"]);
}

#[test]
fn levels_may_be_empty() {
    check("/", &["/"], &["a", "a/", "/a", "//"]);
    check("a/", &["a/"], &["a", "a//"]);
    check("/a", &["/a"], &["a", "//a"]);
    check("a//b", &["a//b"], &["a/b", "a///b"]);
    check("//#", &["//", "/", "//a", "///"], &["a", "/a"]);
}

/// [MQTT3-4.7.2-1]
#[test]
fn mqtt_4_7_2_1_wildcards_at_the_start_skip_dollar_names() {
    check("#", &["a", "a/$SYS"], &["$SYS", "$SYS/a", "$"]);
    check("+", &["a"], &["$SYS"]);
    check("+/monitor/clients", &["a/monitor/clients"], &["$SYS/monitor/clients"]);
    check("+/#", &["a/b"], &["$SYS", "$SYS/b"]);
    check("$SYS/#", &["$SYS", "$SYS/", "$SYS/a/b"], &["$sys/a", "SYS/a", "$SYSX"]);
    check("$SYS/monitor/+", &["$SYS/monitor/clients"], &["$SYS/monitor"]);
    check("a/+", &["a/$SYS"], &["$SYS/a"]);
    check("$SYS/a", &["$SYS/a"], &["SYS/a"]);
}

#[test]
fn mqtt_4_7_2_1_a_share_does_not_uncover_dollar_names() {
    check("$share/group/#", &["a"], &["$SYS/a", "$share/group/a"]);
    check("$share/group/+/a", &["b/a"], &["$SYS/a"]);
    check("$share/group/$SYS/#", &["$SYS/a"], &["a"]);
}

/// [MQTT3-4.7.3-1]
#[test]
fn mqtt_4_7_3_1_a_topic_has_at_least_one_character() {
    check_names(&["/", " "], &[""], "MQTT-4.7.3-1");
    check_filters(&["/", " "], &[""], "MQTT-4.7.3-1");
}

/// [MQTT3-4.7.3-2]
#[test]
fn mqtt_4_7_3_2_a_topic_holds_no_nul() {
    check_names(&["\u{1}", "a/\u{7f}"], &["\0", "a\0", "a/\0/b", "+\0"], "MQTT-4.7.3-2");
    check_filters(
        &["\u{1}", "+/\u{7f}"],
        &["\0", "a/\0", "$share/g\0/a", "$share/g/a\0", "\0#"],
        "MQTT-4.7.3-2",
    );
}

/// [MQTT3-4.7.3-3]
#[test]
fn mqtt_4_7_3_3_a_topic_has_at_most_65535_bytes() {
    let longest = "\u{e9}".repeat(TOPIC_BYTES_MAX / 2) + "x";
    let too_long = "\u{e9}".repeat(TOPIC_BYTES_MAX.div_ceil(2));
    assert_eq!((longest.len(), too_long.len()), (TOPIC_BYTES_MAX, TOPIC_BYTES_MAX + 1));
    check_names(&[&longest], &[&too_long], "MQTT-4.7.3-3");
    check_filters(&[&longest], &[&too_long], "MQTT-4.7.3-3");
}

/// [MQTT3-4.7.3-4]
#[test]
fn mqtt_4_7_3_4_nothing_is_normalised() {
    check("Accounts", &["Accounts"], &["accounts", "ACCOUNTS", "Accounts ", " Accounts"]);
    // The same letter as one code point and as two.
    check("\u{e9}/+", &["\u{e9}/a"], &["e\u{301}/a", "e/a"]);
    check("a/./+", &["a/./b"], &["a/b"]);
    check("a/../+", &["a/../b"], &["b"]);
    check("\u{feff}a", &["\u{feff}a"], &["a"]);
    check("a%2Fb", &["a%2Fb"], &["a/b"]);
}

#[test]
fn mqtt_4_8_2_1_a_share_name_has_at_least_one_character() {
    check_share("$share/g/a/b", Some("g"), "a/b", false);
    check_share("$share/g/a/+", Some("g"), "a/+", true);
    check_share("$share/group name//", Some("group name"), "/", false);
    check_filters(&["$share/g/a"], &["$share/", "$share//a", "$share//"], "MQTT-4.8.2-1");
}

#[test]
fn mqtt_4_8_2_1_only_the_exact_prefix_shares() {
    check_share("$share", None, "$share", false);
    check_share("$Share/g/a", None, "$Share/g/a", false);
    check_share("$shared/g/a", None, "$shared/g/a", false);
    check_share("/$share/g/a", None, "/$share/g/a", false);
    check_share("$share/g/$share/h/a", Some("g"), "$share/h/a", false);
    check_share("a/+", None, "a/+", true);
}

#[test]
fn mqtt_4_8_2_2_a_share_name_holds_no_wildcard_and_a_filter_follows_it() {
    check_filters(
        &["$share/g/#", "$share/g/+/a", "$share/$g/a"],
        &[
            "$share/g",
            "$share/g/",
            "$share/+/a",
            "$share/#/a",
            "$share/a+/b",
            "$share/a#/b",
            "$share/#",
            "$share/+",
        ],
        "MQTT-4.8.2-2",
    );
    // What follows is a topic filter like any other.
    assert_eq!(TopicFilter::parse("$share/g/a#"), Err(TopicError::MisplacedMultiLevelWildcard));
    assert_eq!(TopicFilter::parse("$share/g/a+"), Err(TopicError::MisplacedSingleLevelWildcard));
}

#[test]
fn mqtt_3_3_2_3_a_name_matches_the_filter_that_equals_it() {
    check("a/b/c", &["a/b/c"], &["a/b", "a/b/c/", "a/b/c/d", "a/b/C", "/a/b/c"]);
    check("$share/g/a/b", &["a/b"], &["$share/g/a/b", "a"]);
}

#[test]
fn an_error_tells_its_rule_and_its_clause() {
    let error = TopicFilter::parse("a/#/b").expect_err("`#` is not last");
    assert_eq!(error.to_string(), "`#` is a whole level and the last one [MQTT-4.7.1-1]");
    assert_eq!(size_of::<TopicError>(), 1);
}
