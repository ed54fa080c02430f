//! QoS 1 and QoS 2 survive a connection that is cut after any packet (sections 4.3, 4.4 and 4.6).

mod support;

use std::collections::BTreeMap;

use mqtt_codec::{QoS, Version};
use support::{Link, Seen, Setup, Towards, numbered};

const MESSAGES: u32 = 5;
const VERSIONS: [Version; 3] = Version::ALL;

/// Sends five messages each way and lets `cut_after` packets arrive per connection, as given; then runs to the end.
fn exchange(setup: &Setup, qos: QoS, cuts_after: &[usize]) -> Link {
    let mut link = Link::open(setup.clone());
    for towards in Towards::BOTH {
        link.send(towards, numbered(qos, 0..MESSAGES));
    }
    for packets in cuts_after {
        link.run(*packets);
        link.cut();
        link.reconnect();
    }
    link.settle();
    link
}

fn setups() -> impl Iterator<Item = Setup> {
    VERSIONS.into_iter().flat_map(|version| {
        [1, 2, 5, 100].map(|receive_maximum| Setup::of(version).receive_maximum(receive_maximum))
    })
}

/// Cuts once after each packet of the exchange, and then again and again after every few packets.
fn at_every_packet(qos: QoS, check: impl Fn(&Link, &str)) {
    for setup in setups() {
        let packets = exchange(&setup, qos, &[]).seen.len();
        for cut_after in 0..=packets {
            let link = exchange(&setup, qos, &[cut_after]);
            check(&link, &format!("{} cut after {cut_after}", setup.version));
        }
        for step in 1..=packets {
            // Each connection dies after one packet more than the one before: it goes on at last.
            let cuts: Vec<usize> = (0..=step).collect();
            check(&exchange(&setup, qos, &cuts), &format!("{} cuts after 0..={step}", setup.version));
        }
    }
}

fn finished(link: &Link, towards: Towards) -> usize {
    match towards {
        Towards::Broker => link.client.completed.len(),
        Towards::Client => link.broker.completed.len(),
    }
}

fn received(link: &Link, towards: Towards) -> Vec<u32> {
    match towards {
        Towards::Broker => link.broker.numbers(),
        Towards::Client => link.client.numbers(),
    }
}

fn first_occurrences(numbers: &[u32]) -> Vec<u32> {
    let mut seen = Vec::new();
    for number in numbers {
        if !seen.contains(number) {
            seen.push(*number);
        }
    }
    seen
}

fn all_numbers() -> Vec<u32> {
    (0..MESSAGES).collect()
}

/// The transmissions of each message, in their order.
fn transmissions(link: &Link, towards: Towards) -> BTreeMap<Vec<u8>, Vec<&Seen>> {
    let mut by_message: BTreeMap<Vec<u8>, Vec<&Seen>> = BTreeMap::new();
    for publish in link.publishes(towards) {
        by_message.entry(publish.payload.clone()).or_default().push(publish);
    }
    by_message
}

// [MQTT-4.3.2-3], [MQTT3-4.3.2-1]: unacknowledged until the PUBACK, so it arrives, once or more often.
// [MQTT-4.3.2-4], [MQTT3-4.3.2-2]: each is answered.
#[test]
fn mqtt_4_3_2_3_qos_1_arrives_at_least_once() {
    at_every_packet(QoS::AtLeastOnce, |link, case| {
        for towards in Towards::BOTH {
            let numbers = received(link, towards);
            assert_eq!(first_occurrences(&numbers), all_numbers(), "{case}");
            assert_eq!(finished(link, towards), MESSAGES as usize, "{case}");
        }
    });
}

// [MQTT-4.3.3-3], [MQTT-4.3.3-5], [MQTT-4.3.3-8], [MQTT-4.3.3-11], [MQTT3-4.3.3-1], [MQTT3-4.3.3-2]
#[test]
fn mqtt_4_3_3_10_qos_2_arrives_exactly_once_and_in_order() {
    at_every_packet(QoS::ExactlyOnce, |link, case| {
        for towards in Towards::BOTH {
            assert_eq!(received(link, towards), all_numbers(), "{case}");
            assert_eq!(finished(link, towards), MESSAGES as usize, "{case}");
        }
    });
}

// [MQTT-4.3.1-1], [MQTT3-4.3.1-1]: and it is never sent again.
#[test]
fn mqtt_4_3_1_1_qos_0_is_sent_once_without_dup() {
    at_every_packet(QoS::AtMostOnce, |link, case| {
        for towards in Towards::BOTH {
            let numbers = received(link, towards);
            assert_eq!(first_occurrences(&numbers), numbers, "{case}");
            assert!(numbers.is_sorted(), "{case}");
            assert!(link.publishes(towards).all(|publish| !publish.dup && publish.id.is_none()), "{case}");
        }
    });
}

// [MQTT-3.3.1-1], [MQTT3-3.3.1-1], [MQTT-4.3.2-2], [MQTT-4.3.3-2]: DUP 0 at first, DUP 1 ever after.
#[test]
fn mqtt_3_3_1_1_dup_is_set_when_and_only_when_sent_again() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for version in VERSIONS {
            let mut link = Link::open(Setup::of(version));
            link.send(Towards::Broker, numbered(qos, 0..MESSAGES));
            let sent: Vec<bool> = link.client.wire.iter().map(|frame| frame[0] & 8 != 0).collect();
            assert_eq!(sent, [false; MESSAGES as usize]);
            link.cut();
            link.reconnect();
            let resent: Vec<bool> = link.client.wire.iter().map(|frame| frame[0] & 8 != 0).collect();
            assert_eq!(resent, [true; MESSAGES as usize]);
        }
    }
}

// [MQTT-4.4.0-1], [MQTT3-4.4.0-1], [MQTT3-2.3.1-3]: under the old packet identifier, and on new connections only.
// [MQTT-2.2.1-5]: acknowledgements repeat it, else nothing would ever finish.
#[test]
fn mqtt_4_4_0_1_messages_are_sent_again_with_their_identifier_on_a_new_connection_only() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        at_every_packet(qos, |link, case| {
            for towards in Towards::BOTH {
                for sent in transmissions(link, towards).values() {
                    assert!(sent.iter().all(|one| one.id == sent[0].id), "{case}");
                    assert!(sent.is_sorted_by(|a, b| a.connection < b.connection), "{case}");
                }
            }
        });
    }
}

// [MQTT-4.3.3-6]
#[test]
fn mqtt_4_3_3_6_a_message_is_never_sent_again_after_its_pubrel() {
    at_every_packet(QoS::ExactlyOnce, |link, case| {
        for towards in Towards::BOTH {
            let ours: Vec<&Seen> = link.seen.iter().filter(|seen| seen.towards == towards).collect();
            for (at, pubrel) in ours.iter().enumerate().filter(|(_, seen)| seen.name == "PUBREL") {
                // A window of 5 uses five identifiers or fewer, and none is used a second time here.
                let again = ours[at..].iter().any(|seen| seen.name == "PUBLISH" && seen.id == pubrel.id);
                assert!(!again, "{case}");
            }
        }
    });
}

// [MQTT-4.6.0-1], [MQTT3-4.6.0-1] within each connection; [MQTT-4.6.0-2], [MQTT-4.6.0-3] for the answers.
#[test]
fn mqtt_4_6_0_1_the_order_of_sending_is_kept_on_every_connection() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        at_every_packet(qos, |link, case| {
            for towards in Towards::BOTH {
                for connection in 1..=link.connection {
                    let on_it = |name, towards| {
                        let seen = link.seen.iter().filter(move |seen| seen.connection == connection);
                        let ids = seen.filter(move |seen| seen.name == name && seen.towards == towards);
                        ids.map(|seen| seen.id).collect::<Vec<_>>()
                    };
                    let publishes = on_it("PUBLISH", towards);
                    assert!(publishes.is_sorted(), "{case}: {publishes:?}");
                    for answer in ["PUBACK", "PUBREC"] {
                        let answers = on_it(answer, towards.back());
                        assert!(publishes.starts_with(&answers), "{case}: {answers:?}");
                    }
                }
            }
        });
    }
}

// [MQTT3-4.6.0-4]
#[test]
fn mqtt_4_6_0_4_pubrels_follow_the_order_of_the_pubrecs() {
    at_every_packet(QoS::ExactlyOnce, |link, case| {
        for towards in Towards::BOTH {
            for connection in 1..=link.connection {
                let here = link.seen.iter().filter(|seen| seen.connection == connection);
                let releases = here.filter(|seen| seen.towards == towards && seen.name == "PUBREL");
                let ids: Vec<_> = releases.map(|seen| seen.id).collect();
                assert!(ids.is_sorted(), "{case}: {ids:?}");
            }
        }
    });
}

#[test]
fn mqtt_4_4_0_1_pubrels_come_before_publishes_on_a_new_connection() {
    let mut link = Link::open(Setup::of(Version::V5));
    link.send(Towards::Broker, numbered(QoS::ExactlyOnce, 0..3));
    link.step(Towards::Broker); // PUBLISH 1
    link.step(Towards::Client); // PUBREC 1: the PUBREL is now on the wire
    link.cut();
    link.reconnect();
    let kinds: Vec<u8> = link.client.wire.iter().map(|frame| frame[0] >> 4).collect();
    assert_eq!(kinds, [6, 3, 3]);
    link.settle();
    assert_eq!(link.broker.numbers(), [0, 1, 2]);
}

// [MQTT-4.3.2-5], [MQTT-4.3.3-12]: the identifier is free again, so many more messages than identifiers get through.
#[test]
fn mqtt_4_3_2_5_identifiers_are_used_again() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut link = Link::open(Setup::of(Version::V5).receive_maximum(3));
        link.send(Towards::Broker, numbered(qos, 0..70_000));
        link.settle();
        assert_eq!(link.broker.got.len(), 70_000);
        assert!(link.broker.numbers().is_sorted());
        // [MQTT-2.2.1-3], [MQTT3-2.3.1-1]: never zero.
        assert!(link.publishes(Towards::Broker).all(|publish| publish.id.is_some_and(|id| id > 0)));
    }
}

#[test]
fn mqtt_3_1_2_4_clean_start_forgets_what_was_under_way() {
    for version in VERSIONS {
        let mut setup = Setup::of(version);
        setup.clean_start = true; // [MQTT3-3.1.2-6]
        let mut link = Link::open(setup);
        link.send(Towards::Broker, numbered(QoS::AtLeastOnce, 0..2));
        link.send(Towards::Client, numbered(QoS::ExactlyOnce, 0..2));
        link.cut();
        link.reconnect();
        assert_eq!(link.settle(), 0);
    }
}
