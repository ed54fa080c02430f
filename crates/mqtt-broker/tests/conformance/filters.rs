//! Which filter sees which topic: section 4.7.

use mqtt_codec::{QoS::AtMostOnce, Version};
use mqtt_testkit::publish;

use crate::harness::broker;

/// Of these topics, published in this order, the filter sees exactly those that it should.
async fn check(filter: &str, seen: &[&str], unseen: &[&str]) {
    for version in Version::ALL {
        let broker = broker().await;
        let mut subscriber = broker.client(version, "subscriber").await;
        subscriber.subscribe(filter, AtMostOnce).await;
        let mut publisher = broker.client(version, "publisher").await;
        for topic in unseen.iter().chain(seen) {
            publisher.publish(publish(topic).payload(topic)).await;
        }
        for topic in seen {
            assert_eq!(subscriber.receive_text(topic).await.topic, *topic, "{filter} in {version:?}");
        }
        subscriber.expect_silence().await;
    }
}

/// Section 4.7.1.2.
#[tokio::test(start_paused = true)]
async fn a_number_sign_stands_for_any_levels_and_for_none() {
    check(
        "sport/tennis/#",
        &["sport/tennis", "sport/tennis/a", "sport/tennis/a/b"],
        &["sport", "sport/tenni"],
    )
    .await;
    check("#", &["a", "a/b", "/", "/a", "a/"], &[]).await;
    check("/#", &["/", "/a", "/a/b"], &["a", "a/b"]).await;
    check("a//#", &["a/", "a//b"], &["a", "a/b"]).await;
}

/// Section 4.7.1.3.
#[tokio::test(start_paused = true)]
async fn a_plus_sign_stands_for_exactly_one_level() {
    check("sport/+", &["sport/", "sport/a"], &["sport", "sport/a/b"]).await;
    check("+", &["a"], &["/a", "a/b", "a/"]).await;
    check("+/+", &["/a", "a/", "a/b", "/"], &["a", "a/b/c"]).await;
    check("/+", &["/a", "/"], &["a", "a/b"]).await;
    check("a/+/c", &["a/b/c", "a//c"], &["a/c", "a/b/b/c", "a/b/c/d"]).await;
    check("+/b/#", &["a/b", "/b", "a/b/c/d"], &["b", "a/c/b"]).await;
    check("+/#", &["a", "a/b", "/"], &[]).await;
    check("a/+/#", &["a/b", "a/b/c", "a/"], &["a"]).await;
}

/// [MQTT-4.7.2-1] [MQTT3-4.7.2-1]
#[tokio::test(start_paused = true)]
async fn mqtt_4_7_2_1_wildcards_do_not_begin_with_a_dollar() {
    check("#", &["a"], &["$x", "$x/a", "$"]).await;
    check("+/a", &["b/a", "/a"], &["$x/a"]).await;
    check("+", &["a"], &["$x"]).await;
    check("+/#", &["a/b"], &["$x/a"]).await;
    check("$x/#", &["$x", "$x/a", "$x/a/b"], &["x/a", "$y/a"]).await;
    check("$x/+", &["$x/a"], &["$x", "$x/a/b"]).await;
    check("a/#", &["a/$x"], &[]).await;
    check("a/+/$y", &["a/$x/$y"], &[]).await;
}

/// [MQTT-4.7.3-4] [MQTT3-4.7.3-4]
#[tokio::test(start_paused = true)]
async fn mqtt_4_7_3_4_topics_are_compared_as_they_are() {
    check(
        "Accounts",
        &["Accounts"],
        &["ACCOUNTS", "accounts", "Accounts/", "/Accounts", " Accounts", "Accounts "],
    )
    .await;
    check("Accounts payable", &["Accounts payable"], &["Accounts  payable"]).await;
    check("a//b", &["a//b"], &["a/b", "a///b"]).await;
    check("/", &["/"], &["//", "a/"]).await;
    // The same letter, composed and decomposed.
    check("caf\u{E9}", &["caf\u{E9}"], &["cafe\u{301}", "cafe"]).await;
    check("straße/+", &["straße/1"], &["strasse/1"]).await;
    check("传感器/#", &["传感器/温度"], &["传感/温度"]).await;
    check("😀", &["😀"], &["😁"]).await;
}

/// Section 4.7.1.1 and 4.7.3: deep topics and those with control characters of Unicode are served.
#[tokio::test(start_paused = true)]
async fn deep_topics_are_served() {
    let deep = vec!["x"; 100].join("/");
    check(&deep, &[&deep], &[&deep[2..]]).await;
    let pluses = vec!["+"; 100].join("/");
    check(&pluses, &[&deep], &[&deep[2..]]).await;
}
