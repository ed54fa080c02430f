//! Shared subscriptions: section 4.8.2.

use std::collections::BTreeMap;

use mqtt_codec::{
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{Peer, connect, disconnect, puback, pubcomp, publish, pubrec, subscribe};

use crate::harness::{Harness, broker, broker_with, expect_violation};

async fn member(broker: &Harness, client_id: &str, filter: &str) -> Peer {
    let mut member = broker.connect(connect(client_id).clean(false).session_expiry_s(100)).await;
    member.subscribe(filter, ExactlyOnce).await;
    member
}

/// Texts of all messages that wait, acknowledged at QoS 0 and 1.
async fn texts(peer: &mut Peer) -> Vec<String> {
    let mut texts = Vec::new();
    for packet in peer.drain().await {
        if let mqtt_codec::Packet::Publish(message) = packet.packet() {
            texts.push(String::from_utf8(message.payload.to_vec()).expect("text"));
            if let Some(packet_id) = message.packet_id {
                peer.send(puback(packet_id.get())).await;
            }
        }
    }
    texts
}

/// Section 4.8.2: each message goes to one member, and all get their part.
#[tokio::test(start_paused = true)]
async fn a_group_shares_the_messages() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut members = Vec::new();
        for number in 0..3 {
            let mut member = broker.client(version, &format!("member {number}")).await;
            member.subscribe("$share/group/t/#", AtLeastOnce).await;
            members.push(member);
        }
        let mut publisher = broker.client(version, "publisher").await;
        for number in 0..30_u16 {
            publisher.publish(publish("t/1").payload(number.to_string()).qos1(1)).await;
        }
        let mut seen = BTreeMap::new();
        for member in &mut members {
            let texts = texts(member).await;
            assert_eq!(texts.len(), 10, "round robin gives everybody the same");
            for text in texts {
                *seen.entry(text).or_insert(0) += 1;
            }
        }
        assert_eq!(seen.len(), 30);
        assert!(seen.values().all(|count| *count == 1));
    }
}

/// Section 4.8.2: groups and plain subscriptions each get their own copy.
#[tokio::test(start_paused = true)]
async fn groups_and_plain_subscriptions_are_independent() {
    let broker = broker().await;
    let mut one = member(&broker, "one", "$share/g/t").await;
    let mut two = member(&broker, "two", "$share/h/t").await;
    let mut three = member(&broker, "three", "$share/g/+").await;
    let mut plain = member(&broker, "plain", "t").await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("x").qos1(1)).await;
    for peer in [&mut one, &mut two, &mut three, &mut plain] {
        assert_eq!(texts(peer).await, ["x"]);
    }
}

/// Section 4.8.2: one session may hold the filter plainly and shared.
#[tokio::test(start_paused = true)]
async fn a_client_may_be_a_member_and_a_plain_subscriber() {
    let broker = broker().await;
    let mut both = broker.v5("both").await;
    both.subscribe_with(subscribe(1).filter("$share/g/t", AtMostOnce).identifier(1)).await;
    both.subscribe_with(subscribe(2).filter("t", AtMostOnce).identifier(2)).await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("x")).await;
    let mut identifiers = Vec::new();
    while identifiers.len() < 2 {
        identifiers.extend(both.receive_text("x").await.properties().subscription_identifiers());
    }
    identifiers.sort_unstable();
    assert_eq!(identifiers, [1, 2]);
    both.expect_silence().await;
}

/// [MQTT-4.8.2-1] [MQTT-4.8.2-2]
#[tokio::test(start_paused = true)]
async fn mqtt_4_8_2_1_a_shared_filter_needs_a_proper_share_name_and_a_filter() {
    let filters = [
        "$share/",
        "$share//t",
        "$share/g",
        "$share/g/",
        "$share/g+/t",
        "$share/+/t",
        "$share/#/t",
        "$share/a#b/t",
        "$share/g/a#",
        "$share/g/#/a",
    ];
    for version in Version::ALL {
        let broker = broker().await;
        for filter in filters {
            let mut peer = broker.client(version, "wrong").await;
            peer.send(subscribe(1).filter(filter, AtMostOnce)).await;
            expect_violation(&mut peer, ReasonCode::TopicFilterInvalid).await;
        }
    }
}

/// [MQTT-4.8.2-1]: `$share` is a prefix only when a slash follows, and a topic like any other in PUBLISH.
#[tokio::test(start_paused = true)]
async fn mqtt_4_8_2_1_shared_filters_match_without_their_prefix() {
    let broker = broker().await;
    let mut member = member(&broker, "member", "$share/g/a/+").await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("$share/g/a/b").payload("no").qos1(1)).await;
    publisher.publish(publish("a/b").payload("yes").qos1(2)).await;
    assert_eq!(texts(&mut member).await, ["yes"]);
}

/// [MQTT-4.7.2-1]: the rule on `$` applies to the filter behind the share name.
#[tokio::test(start_paused = true)]
async fn mqtt_4_7_2_1_a_shared_wildcard_does_not_see_dollar_topics() {
    let broker = broker().await;
    let mut member = member(&broker, "member", "$share/g/#").await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("$x/a").payload("no").qos1(1)).await;
    publisher.publish(publish("x/a").payload("yes").qos1(2)).await;
    assert_eq!(texts(&mut member).await, ["yes"]);
}

/// [MQTT-4.8.2-3]
#[tokio::test(start_paused = true)]
async fn mqtt_4_8_2_3_each_member_gets_its_own_granted_qos() {
    let broker = broker().await;
    let mut low = broker.v5("low").await;
    low.subscribe("$share/g/t", AtMostOnce).await;
    let mut high = broker.v5("high").await;
    high.subscribe("$share/g/t", AtLeastOnce).await;
    let mut publisher = broker.v5("publisher").await;
    for number in 1..=10 {
        publisher.publish(publish("t").payload("x").qos2(number)).await;
    }
    for _ in 0..5 {
        assert_eq!(low.receive().await.qos, AtMostOnce);
        assert_eq!(high.receive().await.qos, AtLeastOnce);
    }
    low.expect_silence().await;
    high.expect_silence().await;
}

/// [MQTT-4.8.2-4]
#[tokio::test(start_paused = true)]
async fn mqtt_4_8_2_4_a_qos_2_delivery_is_finished_with_the_member_it_began_with() {
    let broker = broker().await;
    let mut chosen = member(&broker, "chosen", "$share/g/t").await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("1").qos2(1)).await;
    publisher.publish(publish("t").payload("2").qos2(2)).await;
    let first = chosen.expect_publish().await;
    let second = chosen.expect_publish().await;
    chosen.send(pubrec(first.packet_id)).await;
    chosen.expect_pubrel(first.packet_id).await;
    let mut other = member(&broker, "other", "$share/g/t").await;
    chosen.cut();
    other.expect_silence().await;

    let mut chosen = broker.connect(connect("chosen").clean(false).session_expiry_s(100)).await;
    chosen.expect_pubrel(first.packet_id).await;
    let again = chosen.expect_publish().await;
    assert!(again.dup);
    assert_eq!(again.packet_id, second.packet_id);
    chosen.send(pubcomp(first.packet_id)).await;
    chosen.send(pubrec(second.packet_id)).await;
    chosen.expect_pubrel(second.packet_id).await;
}

/// [MQTT-4.8.2-5]
#[tokio::test(start_paused = true)]
async fn mqtt_4_8_2_5_a_qos_2_message_under_way_dies_with_its_session() {
    let broker = broker().await;
    let mut chosen = member(&broker, "chosen", "$share/g/t").await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("x").qos2(1)).await;
    chosen.expect_publish().await;
    let mut other = member(&broker, "other", "$share/g/t").await;
    chosen.send(disconnect(ReasonCode::Success).session_expiry_s(0)).await;
    chosen.expect_closed().await;
    other.expect_silence().await;
}

/// [MQTT-4.8.2-6]
#[tokio::test(start_paused = true)]
async fn mqtt_4_8_2_6_a_message_that_a_member_refuses_goes_to_nobody_else() {
    let broker = broker().await;
    let mut chosen = member(&broker, "chosen", "$share/g/t").await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("1").qos1(1)).await;
    publisher.publish(publish("t").payload("2").qos2(2)).await;
    let first = chosen.expect_publish().await;
    let second = chosen.expect_publish().await;
    let mut other = member(&broker, "other", "$share/g/t").await;
    chosen.send(puback(first.packet_id).reason(ReasonCode::QuotaExceeded)).await;
    chosen.send(pubrec(second.packet_id).reason(ReasonCode::UnspecifiedError)).await;
    chosen.ping().await;
    other.expect_silence().await;
    chosen.expect_silence().await;
}

/// Section 4.8.2: what a leaving member had not been sent, or not acknowledged at QoS 1, may go to another.
#[tokio::test(start_paused = true)]
async fn unacknowledged_qos_1_messages_of_a_leaving_member_go_to_another() {
    let broker = broker().await;
    let mut leaving = broker.connect(connect("leaving").receive_maximum(2)).await;
    leaving.subscribe("$share/g/t", AtLeastOnce).await;
    let mut publisher = broker.v5("publisher").await;
    for number in 1..=4 {
        publisher.publish(publish("t").payload(number.to_string()).qos1(number)).await;
    }
    leaving.expect_publish().await;
    leaving.expect_publish().await;
    let mut staying = broker.v5("staying").await;
    staying.subscribe("$share/g/t", AtLeastOnce).await;
    leaving.cut();
    let mut texts = texts(&mut staying).await;
    texts.sort();
    assert_eq!(texts, ["1", "2", "3", "4"]);
}

/// Section 4.8.2: members that are connected are preferred; nobody at all means waiting.
#[tokio::test(start_paused = true)]
async fn absent_members_are_passed_over_while_others_are_there() {
    let broker = broker().await;
    let absent = member(&broker, "absent", "$share/g/t").await;
    let mut present = member(&broker, "present", "$share/g/t").await;
    absent.cut();
    let mut publisher = broker.v5("publisher").await;
    for number in 1..=6 {
        publisher.publish(publish("t").payload(number.to_string()).qos1(number)).await;
    }
    assert_eq!(texts(&mut present).await.len(), 6);
    present.cut();
    publisher.publish(publish("t").payload("waits").qos1(7)).await;
    let mut again = broker.connect(connect("absent").clean(false).session_expiry_s(100)).await;
    let mut present = broker.connect(connect("present").clean(false).session_expiry_s(100)).await;
    let mut waited = texts(&mut again).await;
    waited.extend(texts(&mut present).await);
    assert_eq!(waited, ["waits"]);
}

/// Leaving a group ends the part in it.
#[tokio::test(start_paused = true)]
async fn a_member_that_unsubscribes_gets_nothing_more() {
    let broker = broker().await;
    let mut one = member(&broker, "one", "$share/g/t").await;
    let mut two = member(&broker, "two", "$share/g/t").await;
    assert_eq!(one.unsubscribe("$share/g/t").await.reasons, [ReasonCode::Success]);
    assert_eq!(one.unsubscribe("$share/g/t").await.reasons, [ReasonCode::NoSubscriptionExisted]);
    let mut publisher = broker.v5("publisher").await;
    for number in 1..=4 {
        publisher.publish(publish("t").payload("x").qos1(number)).await;
    }
    assert_eq!(texts(&mut two).await.len(), 4);
    one.expect_silence().await;
}

/// Section 3.2.2.3.13: where they are not available, they are refused with 0x9E.
#[tokio::test(start_paused = true)]
async fn shared_subscriptions_can_be_switched_off() {
    let broker = broker_with(|settings| settings.policy.shared_subscription_available = false).await;
    let mut peer = broker.v5("member").await;
    let suback = peer.subscribe_with(subscribe(1).filter("$share/g/t", AtMostOnce)).await;
    assert_eq!(suback.reasons, [ReasonCode::SharedSubscriptionsNotSupported]);
    let mut old = broker.v3("old member").await;
    let suback = old.subscribe_with(subscribe(1).filter("$share/g/t", AtMostOnce)).await;
    assert_eq!(suback.reasons, [ReasonCode::UnspecifiedError]);
}
