//! Both ends send at random, connections die at random: the promises of the three levels hold (section 4.3).

mod support;

use mqtt_codec::{QoS, Version};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use support::{Link, Setup, Towards, delivery};

#[derive(Clone, Debug)]
enum Event {
    Send(Towards, QoS),
    Arrive(Towards, u8),
    Cut,
}

fn towards() -> impl Strategy<Value = Towards> {
    select(&Towards::BOTH[..])
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let qos = select(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][..]);
    let event = prop_oneof![
        4 => (towards(), qos).prop_map(|(towards, qos)| Event::Send(towards, qos)),
        6 => (towards(), 1_u8..4).prop_map(|(towards, packets)| Event::Arrive(towards, packets)),
        1 => any::<()>().prop_map(|()| Event::Cut),
    ];
    vec(event, 0..150)
}

/// Payload: who sent it at which level, and a number that counts up at each sender.
fn payload(number: u32, qos: QoS) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.push(qos as u8);
    payload
}

fn play(link: &mut Link, events: &[Event]) -> [Vec<(u32, QoS)>; 2] {
    let mut sent = [Vec::new(), Vec::new()];
    let mut number = 0;
    for event in events {
        match event {
            Event::Send(towards, qos) => {
                let topic = format!("t/{}", number % 3);
                link.send(*towards, [delivery(&topic, &payload(number, *qos), *qos)]);
                sent[usize::from(*towards == Towards::Client)].push((number, *qos));
                number += 1;
            }
            Event::Arrive(towards, packets) => {
                for _ in 0..*packets {
                    link.step(*towards);
                }
            }
            Event::Cut => {
                link.cut();
                link.reconnect();
            }
        }
    }
    link.settle();
    sent
}

fn numbers_at(link: &Link, towards: Towards, qos: QoS) -> Vec<u32> {
    let end = if towards == Towards::Broker { &link.broker } else { &link.client };
    end.got.iter().filter(|got| got.qos == qos).map(support::Got::number).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    // [MQTT-4.3.1-1], [MQTT-4.3.2-3], [MQTT-4.3.3-10], [MQTT-4.6.0-1], [MQTT-3.3.1-1], [MQTT-3.3.4-7], [MQTT-3.3.4-9]
    #[test]
    fn mqtt_4_3_levels_keep_their_promises_under_random_cuts(
        version in select(&Version::ALL[..]),
        receive_maximum in select(&[1_u16, 2, 7, 65_535][..]),
        aliases in select(&[0_u16, 2, 10][..]),
        events in events(),
    ) {
        let setup = Setup::of(version).topic_aliases(aliases).receive_maximum(receive_maximum);
        let mut link = Link::open(setup);
        let sent = play(&mut link, &events);
        for (sent, towards) in sent.iter().zip(Towards::BOTH) {
            let of = |level: QoS| -> Vec<u32> {
                sent.iter().filter(|(_, qos)| *qos == level).map(|(number, _)| *number).collect()
            };
            let at_most_once = numbers_at(&link, towards, QoS::AtMostOnce);
            prop_assert!(at_most_once.is_sorted_by(|a, b| a < b));

            let mut at_least_once = numbers_at(&link, towards, QoS::AtLeastOnce);
            let mut firsts = Vec::new();
            at_least_once.retain(|number| {
                let first = !firsts.contains(number);
                firsts.push(*number);
                first
            });
            prop_assert_eq!(at_least_once, of(QoS::AtLeastOnce));
            prop_assert_eq!(numbers_at(&link, towards, QoS::ExactlyOnce), of(QoS::ExactlyOnce));

            for (at, publish) in link.seen.iter().enumerate() {
                let same = |other: &&support::Seen| {
                    other.name == "PUBLISH" && other.towards == publish.towards && other.payload == publish.payload
                };
                // DUP only on a later connection; a message seen before always has it.
                if publish.name == "PUBLISH" && link.seen[..at].iter().any(|other| same(&other)) {
                    prop_assert!(publish.dup);
                }
                if publish.dup {
                    prop_assert!(publish.connection > 1);
                    prop_assert!(!publish.topic.is_empty());
                }
            }
        }
        prop_assert_eq!(link.broker.protocol().session().unacknowledged_len(), 0);
        prop_assert_eq!(link.broker.protocol().session().unreleased_len(), 0);
        prop_assert_eq!(link.client.protocol().session().unacknowledged_len(), 0);
        prop_assert_eq!(link.client.protocol().session().unreleased_len(), 0);
    }
}
