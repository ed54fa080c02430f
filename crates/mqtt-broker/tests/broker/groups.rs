//! Shared subscriptions: who is chosen, and what becomes of a member's messages when it leaves.

use std::collections::BTreeMap;
use std::time::Duration;

use mqtt_broker::SharedStrategy::{self, HashClient, HashTopic, Random, RoundRobin, Sticky};
use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::ReasonCode;
use mqtt_session::DropReason::SessionEnded;
use mqtt_testkit::{Peer, connect, disconnect, publish, pubrec};
use tokio::time::sleep;

use crate::harness::{Harness, broker, broker_with};
use crate::wires::{settle, texts};

const STRATEGIES: [SharedStrategy; 5] = [RoundRobin, Random, Sticky, HashClient, HashTopic];

async fn house(strategy: SharedStrategy) -> Harness {
    broker_with(|settings| settings.shared_strategy = strategy).await
}

async fn member(house: &Harness, name: &str) -> Peer {
    let mut peer = house.connect(connect(name).clean(false).session_expiry_s(1000)).await;
    peer.subscribe("$share/g/t/#", ExactlyOnce).await;
    peer
}

async fn members(house: &Harness, names: &[&str]) -> Vec<Peer> {
    let mut members = Vec::new();
    for name in names {
        members.push(member(house, name).await);
    }
    members
}

/// What each member gets now.
async fn shares(members: &mut [Peer]) -> Vec<Vec<String>> {
    let mut shares = Vec::new();
    for member in members {
        shares.push(texts(&member.drain().await));
    }
    shares
}

/// Publishes numbers to one topic.
async fn say(publisher: &mut Peer, topic: &str, numbers: std::ops::Range<u16>) {
    for number in numbers {
        publisher.publish(publish(topic).payload(number.to_string()).qos1(number + 1)).await;
    }
}

fn numbers(range: std::ops::Range<u16>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn every_strategy_gives_each_message_to_one_member() {
    for strategy in STRATEGIES {
        let house = house(strategy).await;
        let mut members = members(&house, &["a", "b", "c"]).await;
        say(&mut house.v5("publisher").await, "t/1", 0..50).await;
        let mut all = shares(&mut members).await.concat();
        all.sort_by_key(|text| text.parse::<u16>().expect("a number"));
        assert_eq!(all, numbers(0..50), "{strategy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn round_robin_takes_turns() {
    let house = house(RoundRobin).await;
    let mut members = members(&house, &["a", "b", "c"]).await;
    say(&mut house.v5("publisher").await, "t/1", 0..9).await;
    let shares = shares(&mut members).await;
    assert_eq!(shares, [["0", "3", "6"], ["1", "4", "7"], ["2", "5", "8"]]);
}

#[tokio::test(start_paused = true)]
async fn random_reaches_everybody_about_equally() {
    let house = house(Random).await;
    let mut members = members(&house, &["a", "b", "c"]).await;
    say(&mut house.v5("publisher").await, "t/1", 0..600).await;
    for share in shares(&mut members).await {
        // 200 on average; so far off only once in a million runs.
        assert!((140..260).contains(&share.len()), "{}", share.len());
    }
}

#[tokio::test(start_paused = true)]
async fn sticky_stays_with_one_until_it_leaves() {
    let house = house(Sticky).await;
    let mut members = members(&house, &["a", "b", "c"]).await;
    let mut publisher = house.v5("publisher").await;
    for round in (0..3).rev() {
        say(&mut publisher, "t/1", 0..10).await;
        say(&mut publisher, "t/2", 10..20).await;
        let shares = shares(&mut members).await;
        let chosen = shares.iter().position(|share| !share.is_empty()).expect("somebody");
        assert_eq!(shares.concat(), shares[chosen], "one member gets everything");
        assert_eq!(shares[chosen], numbers(0..20));
        // By going away, by unsubscribing, by leaving for good.
        let leaving = members.remove(chosen);
        if round == 2 {
            leaving.cut();
        } else {
            leaving.leave().await;
        }
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn hash_client_keeps_a_publisher_with_one_member() {
    let house = house(HashClient).await;
    let mut members = members(&house, &["a", "b", "c"]).await;
    for number in 0..40 {
        let name = format!("p{number}");
        let mut publisher = house.v5(&name).await;
        for (id, topic) in [(1, "t/1"), (2, "t/2"), (3, "t/3")] {
            publisher.publish(publish(topic).payload(&name).qos1(id)).await;
        }
    }
    assert_each_belongs_to_one(&shares(&mut members).await, 3);
}

#[tokio::test(start_paused = true)]
async fn hash_topic_keeps_a_topic_with_one_member() {
    let house = house(HashTopic).await;
    let mut members = members(&house, &["a", "b", "c"]).await;
    for publisher in ["p", "q", "r"] {
        let mut publisher = house.v5(publisher).await;
        for number in 0..40 {
            let topic = format!("t/{number}");
            publisher.publish(publish(&topic).payload(&topic).qos1(number + 1)).await;
        }
    }
    assert_each_belongs_to_one(&shares(&mut members).await, 3);
}

/// Each text came `times` times to one member and to no other, and nobody got all of them.
fn assert_each_belongs_to_one(shares: &[Vec<String>], times: usize) {
    let mut owners = BTreeMap::new();
    for (member, share) in shares.iter().enumerate() {
        for text in share {
            let (owner, count) = owners.entry(text).or_insert((member, 0));
            assert_eq!(*owner, member, "{text}");
            *count += 1;
        }
    }
    assert_eq!(owners.len(), 40);
    assert!(owners.values().all(|(_, count)| *count == times));
    assert!(shares.iter().filter(|share| !share.is_empty()).count() > 1);
}

/// Section 4.8.2: whoever is connected comes first; nobody there means that one of them will have it later.
#[tokio::test(start_paused = true)]
async fn every_strategy_prefers_members_that_are_connected() {
    for strategy in STRATEGIES {
        let house = house(strategy).await;
        let mut members = members(&house, &["a", "b", "c"]).await;
        let mut publisher = house.v5("publisher").await;
        say(&mut publisher, "t/1", 0..5).await;
        shares(&mut members).await;
        members.drain(..2).for_each(Peer::cut);
        settle().await;
        say(&mut publisher, "t/1", 0..20).await;
        assert_eq!(shares(&mut members).await, [numbers(0..20)], "{strategy:?}");
        members.drain(..).for_each(Peer::cut);
        settle().await;
        say(&mut publisher, "t/1", 50..60).await;
        let mut later = Vec::new();
        for name in ["a", "b", "c"] {
            let mut back = house.connect(connect(name).clean(false).session_expiry_s(1000)).await;
            later.extend(
                texts(&back.drain().await)
                    .into_iter()
                    .filter(|text| text.len() == 2 && text.as_str() >= "50"),
            );
        }
        later.sort();
        assert_eq!(later, numbers(50..60), "{strategy:?}");
        assert_eq!(house.broker.metrics().dropped_total(), 0);
    }
}

/// What a leaving member had not been sent goes to the others whatever its QoS; what it had been sent only at
/// QoS 1. [MQTT-4.8.2-5]
#[tokio::test(start_paused = true)]
async fn mqtt_4_8_2_5_a_leaving_members_messages_go_on_but_not_qos_2_that_was_sent() {
    let house = broker().await;
    let mut leaving = house.connect(connect("leaving").receive_maximum(2)).await;
    leaving.subscribe("$share/g/t/#", ExactlyOnce).await;
    let mut publisher = house.v5("publisher").await;
    publisher.publish(publish("t/1").payload("sent 1").qos1(1)).await;
    publisher.publish(publish("t/1").payload("sent 2").qos2(2)).await;
    publisher.publish(publish("t/1").payload("waiting 1").qos1(3)).await;
    publisher.publish(publish("t/1").payload("waiting 2").qos2(4)).await;
    assert_eq!(leaving.expect_publish().await.text(), "sent 1");
    assert_eq!(leaving.expect_publish().await.text(), "sent 2");
    let mut staying = member(&house, "staying").await;
    leaving.leave().await;
    for text in ["sent 1", "waiting 1", "waiting 2"] {
        let message = staying.receive_text(text).await;
        assert!(!message.dup, "a first delivery to this receiver");
    }
    staying.expect_silence().await;
    let drops = house.broker.latest_drops();
    assert_eq!(drops.len(), 1);
    assert_eq!((drops[0].reason, &*drops[0].client_id, drops[0].qos), (SessionEnded, "leaving", ExactlyOnce));
}

/// A QoS 2 message that its receiver has taken over is finished; there is nothing to pass on.
#[tokio::test(start_paused = true)]
async fn mqtt_4_8_2_5_a_message_that_was_received_goes_to_nobody_else() {
    let house = broker().await;
    let mut leaving = house.v5("leaving").await;
    leaving.subscribe("$share/g/t/#", ExactlyOnce).await;
    let mut publisher = house.v5("publisher").await;
    publisher.publish(publish("t/1").payload("x").qos2(1)).await;
    let message = leaving.expect_publish().await;
    leaving.send(pubrec(message.packet_id)).await;
    leaving.expect_pubrel(message.packet_id).await;
    let mut staying = member(&house, "staying").await;
    leaving.leave().await;
    staying.expect_silence().await;
    assert_eq!(house.broker.metrics().dropped_total(), 0);
}

/// The end of a session is its end in every way: it expires, its client starts anew, or is taken over by one
/// that does.
#[tokio::test(start_paused = true)]
async fn however_a_members_session_ends_its_messages_go_to_another() {
    for way in 0..3 {
        let house = broker().await;
        let mut leaving = member(&house, "leaving").await;
        let mut publisher = house.v5("publisher").await;
        publisher.publish(publish("t/1").payload("one").qos1(1)).await;
        leaving.expect_publish().await;
        let mut staying = member(&house, "staying").await;
        match way {
            0 => {
                leaving.cut();
                sleep(Duration::from_secs(999)).await;
                staying.expect_silence().await;
                sleep(Duration::from_secs(1)).await;
            }
            1 => {
                leaving.cut();
                settle().await;
                house.v5("leaving").await.ping().await;
            }
            _ => house.v5("leaving").await.ping().await,
        }
        staying.receive_text("one").await;
        assert_eq!(house.broker.metrics().dropped_total(), 0);
    }
}

/// The last member's messages have nobody to go to.
#[tokio::test(start_paused = true)]
async fn the_last_members_messages_are_counted_as_dropped() {
    let house = broker().await;
    let mut last = house.connect(connect("last").receive_maximum(1)).await;
    last.subscribe("$share/g/t/#", AtLeastOnce).await;
    let mut publisher = house.v5("publisher").await;
    say(&mut publisher, "t/1", 0..3).await;
    last.cut();
    settle().await;
    assert_eq!(house.broker.metrics().dropped_for(SessionEnded), 3);
    publisher.send(publish("t/1").payload("x").qos1(9)).await;
    assert_eq!(publisher.expect_puback(9).await.reason, ReasonCode::NoMatchingSubscribers);
}

/// A member that unsubscribes keeps what was queued for it; it is its session's.
#[tokio::test(start_paused = true)]
async fn a_member_that_unsubscribes_gets_what_was_meant_for_it() {
    let house = broker().await;
    let mut leaving = house.connect(connect("leaving").receive_maximum(1)).await;
    leaving.subscribe("$share/g/t/#", AtLeastOnce).await;
    let mut publisher = house.v5("publisher").await;
    say(&mut publisher, "t/1", 0..3).await;
    let first = leaving.expect_publish().await;
    leaving.unsubscribe("$share/g/t/#").await;
    let mut staying = member(&house, "staying").await;
    say(&mut publisher, "t/1", 3..4).await;
    leaving.send(mqtt_testkit::puback(first.packet_id)).await;
    for text in ["1", "2"] {
        leaving.receive_text(text).await;
    }
    leaving.leave().await;
    staying.receive_text("3").await;
    staying.expect_silence().await;
}

/// Groups of one filter, and of one name with other filters, know nothing of each other.
#[tokio::test(start_paused = true)]
async fn each_group_has_its_own_turn() {
    let house = house(RoundRobin).await;
    let mut peers = Vec::new();
    for (name, filter) in
        [("a", "$share/g/t/#"), ("b", "$share/g/t/#"), ("c", "$share/h/t/#"), ("d", "$share/g/t/+")]
    {
        let mut peer = house.v5(name).await;
        peer.subscribe(filter, AtMostOnce).await;
        peers.push(peer);
    }
    say(&mut house.v5("publisher").await, "t/1", 0..4).await;
    let shares = shares(&mut peers).await;
    assert_eq!(shares, [vec!["0", "2"], vec!["1", "3"], vec!["0", "1", "2", "3"], vec!["0", "1", "2", "3"]]);
}

/// A slow member slows its publishers down like any receiver; the others go on with what is theirs.
#[tokio::test(start_paused = true)]
async fn the_send_quota_of_one_member_does_not_bind_another() {
    let house = house(RoundRobin).await;
    let mut narrow = house.connect(connect("narrow").receive_maximum(1)).await;
    narrow.subscribe("$share/g/t/#", AtLeastOnce).await;
    let mut wide = member(&house, "wide").await;
    say(&mut house.v5("publisher").await, "t/1", 0..10).await;
    assert_eq!(texts(&wide.drain().await), ["1", "3", "5", "7", "9"]);
    for text in ["0", "2", "4", "6", "8"] {
        narrow.receive_text(text).await;
    }
    narrow.send(disconnect(ReasonCode::Success)).await;
}
