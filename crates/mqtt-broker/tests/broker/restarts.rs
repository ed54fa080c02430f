//! A broker that is killed and started again on what its store has kept, with clients connected.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_broker::{Broker, LocalError, Publication, Settings};
use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::{Packet, ReasonCode, Version};
use mqtt_session::DropReason;
use mqtt_store::durable::Wall;
use mqtt_store::durable::simulated::{Faults, SimulatedMedium};
use mqtt_store::{
    Condition, Durability, DurableSettings, DurableStore, QueueLimits, RetainedLimits, Store, WriteSettings,
};
use mqtt_testkit::{
    ConnectBuilder, Peer, ToWire, connect, disconnect, puback, pubcomp, publish, pubrec, pubrel, subscribe,
    will,
};
use tokio::time::sleep;

use crate::harness::{Harness, quiet, start};
use crate::rights::{Rules, close, user};
use crate::wires::{settle, texts};

/// The beginning of the calendar, where the tests' brokers do not mind what day it is.
fn wall() -> Wall {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Wall {
        instant: Instant::now(),
        unix_ms: u64::try_from(since.as_millis()).expect("before the year 500 million"),
    }
}

async fn on(medium: &SimulatedMedium, change: impl FnOnce(&mut Settings)) -> Harness {
    start(Broker::builder().settings(quiet(change)).store(stored(medium))).await
}

async fn ruled(medium: &SimulatedMedium, rules: &Rules) -> Harness {
    let builder = Broker::builder().settings(quiet(|_| ())).store(stored(medium));
    start(builder.access(Arc::new(rules.clone()))).await
}

pub(crate) fn stored(medium: &SimulatedMedium) -> Arc<dyn Store> {
    stored_within(medium, 256 << 20)
}

fn stored_within(medium: &SimulatedMedium, memory_bytes_max: usize) -> Arc<dyn Store> {
    let settings = DurableSettings {
        write: WriteSettings::default(),
        retained: RetainedLimits::default(),
        queue: QueueLimits::default(),
        memory_bytes_max,
        wall: wall(),
        drop_damaged: false,
    };
    Arc::new(DurableStore::open_inline(Arc::new(medium.clone()), &settings).expect("nothing is damaged"))
}

/// A broker on what a kill at this moment leaves.
async fn killed(medium: &SimulatedMedium) -> (Harness, SimulatedMedium) {
    let left = medium.after_kill();
    (on(&left, |_| ()).await, left)
}

fn lasting(client_id: &str) -> ConnectBuilder {
    connect(client_id).clean(false).session_expiry_s(1000)
}

async fn subscriber(house: &Harness) -> Peer {
    let mut peer = house.connect(lasting("subscriber")).await;
    peer.subscribe("t/#", ExactlyOnce).await;
    peer
}

async fn returned(house: &Harness) -> (Peer, Vec<String>) {
    let mut peer = house.open("back");
    assert!(peer.connect(lasting("subscriber")).await.session_present);
    let got = texts(&peer.drain().await);
    (peer, got)
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_while_the_receiver_did_not_read_is_there_after_a_kill() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    let _connected = subscriber(&house).await;
    let mut publisher = house.v5("publisher").await;
    for number in 1..=3 {
        publisher.publish(publish("t/1").payload(format!("one {number}")).qos1(number)).await;
        publisher.publish(publish("t/2").payload(format!("two {number}")).qos2(number + 10)).await;
    }
    let (house, _) = killed(&medium).await;
    let (_, got) = returned(&house).await;
    assert_eq!(got, ["one 1", "two 1", "one 2", "two 2", "one 3", "two 3"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_receiver_has_acknowledged_does_not_come_again() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    let mut peer = subscriber(&house).await;
    let mut publisher = house.v5("publisher").await;
    publisher.publish(publish("t").payload("one").qos1(1)).await;
    publisher.publish(publish("t").payload("two").qos2(2)).await;
    peer.receive_text("one").await;
    peer.receive_text("two").await;
    settle().await;
    let (house, _) = killed(&medium).await;
    assert_eq!(returned(&house).await.1, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_message_under_way_comes_again_under_its_identifier() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    let mut peer = subscriber(&house).await;
    let mut publisher = house.v5("publisher").await;
    publisher.publish(publish("t").payload("first").qos2(1)).await;
    publisher.publish(publish("t").payload("second").qos2(2)).await;
    let first = peer.expect_publish().await.packet_id;
    let second = peer.expect_publish().await.packet_id;
    let (house, _) = killed(&medium).await;
    let mut peer = house.connect(lasting("subscriber")).await;
    let again = peer.expect_publish().await;
    assert_eq!((again.packet_id, again.dup), (first, true));
    assert_eq!(peer.expect_publish().await.packet_id, second);
}

#[tokio::test(start_paused = true)]
async fn a_released_message_goes_on_with_its_pubrel() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    let mut peer = subscriber(&house).await;
    house.v5("publisher").await.publish(publish("t").qos2(1)).await;
    let id = peer.expect_publish().await.packet_id;
    peer.send(pubrec(id)).await;
    peer.expect_pubrel(id).await;
    let (house, left) = killed(&medium).await;
    let mut peer = house.connect(lasting("subscriber")).await;
    peer.expect_pubrel(id).await;
    peer.send(pubcomp(id)).await;
    settle().await;
    let (house, _) = killed(&left).await;
    let mut peer = house.connect(lasting("subscriber")).await;
    peer.expect_silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_qos_2_message_that_comes_again_after_a_kill_is_not_passed_on_again() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    drop(subscriber(&house).await);
    let mut publisher = house.connect(lasting("publisher")).await;
    publisher.send(publish("t").payload("once").qos2(7)).await;
    publisher.expect_pubrec(7).await;
    let (house, left) = killed(&medium).await;
    let mut publisher = house.connect(lasting("publisher")).await;
    publisher.send(publish("t").payload("once").qos2(7).dup()).await;
    publisher.expect_pubrec(7).await;
    publisher.send(pubrel(7)).await;
    publisher.expect_pubcomp(7).await;
    // The identifier is free again, also after the next kill.
    let (house, _) = killed(&left).await;
    let mut publisher = house.connect(lasting("publisher")).await;
    publisher.publish(publish("t").payload("another").qos2(7)).await;
    assert_eq!(returned(&house).await.1, ["once", "another"]);
}

#[tokio::test(start_paused = true)]
async fn subscriptions_keep_their_options_and_identifiers() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    let mut peer = house.connect(lasting("subscriber")).await;
    peer.subscribe_with(subscribe(1).filter("t", AtLeastOnce).no_local().retain_as_published().identifier(9))
        .await;
    peer.subscribe("gone", AtLeastOnce).await;
    peer.unsubscribe("gone").await;
    let (house, _) = killed(&medium).await;
    let mut peer = house.connect(lasting("subscriber")).await;
    peer.publish(publish("t").payload("own").qos1(1)).await;
    let mut publisher = house.v5("publisher").await;
    publisher.publish(publish("gone").payload("x").qos1(1)).await;
    publisher.publish(publish("t").payload("kept").qos1(2).retained()).await;
    let got = peer.receive_text("kept").await;
    assert!(got.retain);
    assert_eq!(got.properties().subscription_identifiers().collect::<Vec<_>>(), [9]);
    peer.expect_silence().await;
}

#[tokio::test(start_paused = true)]
async fn retained_messages_are_there_and_cleared_ones_are_not() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    let mut publisher = house.v5("publisher").await;
    publisher.publish(publish("a").payload("first").qos1(1).retained()).await;
    publisher.publish(publish("a").payload("second").qos1(2).retained()).await;
    publisher.publish(publish("b").payload("x").qos1(3).retained()).await;
    publisher.publish(publish("b").payload("").qos1(4).retained()).await;
    let (house, _) = killed(&medium).await;
    let mut peer = house.v5("subscriber").await;
    peer.subscribe("#", AtLeastOnce).await;
    assert_eq!(texts(&peer.drain().await), ["second"]);
}

#[tokio::test(start_paused = true)]
async fn a_clean_start_and_an_ended_session_leave_nothing_behind() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    drop(subscriber(&house).await);
    settle().await;
    let mut fresh = house.open("fresh");
    assert!(!fresh.connect(lasting("subscriber").clean(true)).await.session_present);
    let (house, left) = killed(&medium).await;
    let mut peer = house.open("back");
    assert!(peer.connect(lasting("subscriber")).await.session_present);
    house.v5("publisher").await.publish(publish("t/1").qos1(1)).await;
    peer.expect_silence().await;
    peer.cut();
    sleep(Duration::from_secs(1001)).await;
    let (house, _) = killed(&left).await;
    assert!(!house.open("late").connect(lasting("subscriber")).await.session_present);
}

#[tokio::test(start_paused = true)]
async fn a_will_is_published_after_a_kill_unless_its_client_returns() {
    for returns in [false, true] {
        let medium = SimulatedMedium::new();
        let house = on(&medium, |_| ()).await;
        drop(subscriber(&house).await);
        let with_will = || lasting("mortal").will(will("t/will", "gone").qos(AtLeastOnce).delay_s(60));
        let _connected = house.connect(with_will()).await;
        let (house, _) = killed(&medium).await;
        sleep(Duration::from_secs(59)).await;
        let _back = if returns { Some(house.connect(with_will()).await) } else { None };
        sleep(Duration::from_secs(2)).await;
        let expected: &[&str] = if returns { &[] } else { &["gone"] };
        assert_eq!(returned(&house).await.1, expected);
    }
}

/// Section 3.1.2.5: a server that fails may publish wills after its restart. The session is over by then.
#[tokio::test(start_paused = true)]
async fn a_will_outlives_the_broker_also_where_the_session_does_not() {
    for version in [Version::V5, Version::V3_1_1] {
        let medium = SimulatedMedium::new();
        let house = on(&medium, |_| ()).await;
        drop(subscriber(&house).await);
        let mortal = || connect("mortal").will(will("t/will", "gone").qos(AtLeastOnce).retained());
        let mut connected = house.connect(mortal().version(version)).await;
        connected.subscribe("t/#", AtLeastOnce).await;
        let (house, left) = killed(&medium).await;
        let mut back = house.open("mortal");
        assert!(!back.connect(mortal().clean(false)).await.session_present);
        house.connect(lasting("subscriber")).await.receive_text("gone").await;
        let mut reader = house.v5("reader").await;
        reader.subscribe("t/will", AtMostOnce).await;
        assert!(reader.receive_text("gone").await.retain);
        // It went out once: what is published after the next kill is the will of the next connection.
        back.send(disconnect(ReasonCode::Success)).await;
        back.expect_closed().await;
        settle().await;
        let (house, _) = killed(&left).await;
        assert_eq!(returned(&house).await.1, [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_will_that_was_published_is_not_published_again_after_a_kill() {
    for (expiry_s, delay_s) in [(0, 0), (1000, 0), (1000, 60), (30, 60)] {
        let medium = SimulatedMedium::new();
        let house = on(&medium, |_| ()).await;
        drop(subscriber(&house).await);
        let wills = will("t/will", "gone").qos(AtLeastOnce).delay_s(delay_s);
        let mortal =
            house.connect(connect("mortal").clean(false).session_expiry_s(expiry_s).will(wills)).await;
        drop(mortal);
        sleep(Duration::from_secs(61)).await;
        let (house, _) = killed(&medium).await;
        sleep(Duration::from_secs(100)).await;
        assert_eq!(returned(&house).await.1, ["gone"], "{expiry_s} {delay_s}");
    }
}

/// A status page shows for good who was there when the broker died.
#[tokio::test(start_paused = true)]
async fn a_retained_will_stands_before_anybody_can_ask_for_it() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    let status = || will("status", "offline").retained();
    let mut device = house.connect(connect("device").will(status())).await;
    device.publish(publish("status").payload("online").qos1(1).retained()).await;
    let (house, _) = killed(&medium).await;
    let mut page = house.v5("page").await;
    page.subscribe("status", AtMostOnce).await;
    page.receive_text("offline").await;
    let mut device = house.connect(connect("device").will(status())).await;
    device.publish(publish("status").payload("online").qos1(1).retained()).await;
    page.receive_text("online").await;
    page.expect_silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_will_on_a_topic_in_memory_ends_with_the_process() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    drop(subscriber(&house).await);
    settle().await;
    let rule = mqtt_topic::TopicFilter::parse("t/volatile").expect("a filter").to_boxed();
    let left = medium.after_kill();
    let house = on(&left, |settings| settings.durability.rules.push((rule, Durability::Memory))).await;
    let _mortal = house.connect(connect("mortal").will(will("t/volatile", "gone").qos(AtLeastOnce))).await;
    let (house, _) = killed(&left).await;
    assert_eq!(returned(&house).await.1, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_local_publication_returns_when_it_is_stored() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    drop(subscriber(&house).await);
    settle().await;
    let local = house.broker.local();
    local.publish(Publication::new("t", "kept").qos(AtLeastOnce)).await.expect("the medium is good");
    local.publish(Publication::new("r", "stands").qos(ExactlyOnce).retain()).await.expect("it is");
    let (house, _) = killed(&medium).await;
    assert_eq!(returned(&house).await.1, ["kept"]);
    let mut reader = house.v5("reader").await;
    reader.subscribe("r", AtMostOnce).await;
    reader.receive_text("stands").await;
}

#[tokio::test(start_paused = true)]
async fn a_local_publication_on_a_topic_that_is_acked_is_on_the_disk_when_it_returns() {
    for (durability, survives) in [(Durability::Acked, true), (Durability::Periodic, false)] {
        let medium = SimulatedMedium::new();
        let house = on(&medium, |settings| settings.durability.default = durability).await;
        drop(subscriber(&house).await);
        settle().await;
        let first = on(&medium.after_kill(), |_| ()).await; // all before is synced by a start
        drop(first);
        let left = medium.after_kill();
        let house = on(&left, |settings| settings.durability.default = durability).await;
        let local = house.broker.local();
        local.publish(Publication::new("t", "kept").qos(AtLeastOnce)).await.expect("the medium is good");
        let house = on(&left.after_power_failure(0, false), |_| ()).await;
        assert_eq!(returned(&house).await.1 == ["kept"], survives, "{durability:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_local_publication_waits_for_room_on_the_disk_and_later_ones_are_refused() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    drop(subscriber(&house).await);
    settle().await;
    medium.set_faults(Faults { room_bytes: Some(0), ..Faults::default() });
    let local = house.broker.local();
    let publication = || Publication::new("t", "waits").qos(AtLeastOnce);
    let waiting = tokio::spawn(async move { local.publish(publication()).await });
    sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    let local = house.broker.local();
    let refused = Err(LocalError::Refused(ReasonCode::QuotaExceeded));
    assert_eq!(local.publish(publication()).await, refused);
    assert_eq!(local.publish_now(publication()), refused);
    assert!(local.publish(Publication::new("elsewhere", "x").qos(AtLeastOnce)).await.is_ok());
    assert!(local.publish(Publication::new("t", "x")).await.is_ok());
    medium.set_faults(Faults::default());
    drop(house.connect(lasting("subscriber")).await); // whatever is written next brings the rest along
    waiting.await.expect("no panic").expect("there is room");
}

#[tokio::test(start_paused = true)]
async fn a_local_publication_tells_that_the_disk_has_failed() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |settings| settings.durability.default = Durability::Acked).await;
    drop(subscriber(&house).await);
    settle().await;
    medium.set_faults(Faults { sync_fails: true, ..Faults::default() });
    let local = house.broker.local();
    let publication = || Publication::new("t", "lost").qos(AtLeastOnce);
    assert_eq!(local.publish(publication()).await, Err(LocalError::NotStored));
    assert_eq!(local.publish(publication()).await, Err(LocalError::Refused(ReasonCode::QuotaExceeded)));
}

/// CONNACK promises nothing that will not be there after the next start.
#[tokio::test(start_paused = true)]
async fn a_session_that_begins_while_nothing_can_be_stored_is_not_promised_to_last() {
    let full = Faults { room_bytes: Some(0), ..Faults::default() };
    for faults in [full, Faults { write_fails: true, ..Faults::default() }] {
        let medium = SimulatedMedium::new();
        let house = on(&medium, |_| ()).await;
        drop(subscriber(&house).await);
        settle().await;
        medium.set_faults(faults);
        house.open("first").send(lasting("first")).await; // whom the disk fails
        settle().await;
        let mut peer = house.open("new");
        let connack = peer.connect(lasting("new")).await;
        let granted_s = connack.properties().session_expiry_interval_s();
        assert_eq!((connack.session_present, granted_s), (false, Some(0)));
        peer.subscribe("t/new", AtLeastOnce).await;
        let mut publisher = house.v5("publisher").await;
        publisher.publish(publish("t/new").payload("in memory")).await;
        peer.receive_text("in memory").await;
        // Who asks for more in the end has not broken a rule, and gets none.
        peer.send(disconnect(ReasonCode::Success).session_expiry_s(100)).await;
        peer.expect_closed().await;
        assert!(!house.open("again").connect(lasting("new")).await.session_present);
        let mut old = house.open("old");
        old.send(connect("old").version(Version::V3_1_1).clean(false)).await;
        assert_eq!(old.expect_connack().await.reason, ReasonCode::ServerUnavailable);
        old.expect_closed().await;
        house.connect(connect("old").version(Version::V3_1_1)).await.ping().await;
        // One that was stored before is there, and stays.
        assert!(house.open("back").connect(lasting("subscriber")).await.session_present);
        let (house, _) = killed(&medium).await;
        assert!(house.open("back").connect(lasting("subscriber")).await.session_present);
        assert!(!house.open("new").connect(lasting("new")).await.session_present);
    }
}

/// Section 4.1: what was sent and not acknowledged belongs to the session, whyever it was sent.
#[tokio::test(start_paused = true)]
async fn a_retained_message_under_way_comes_again_under_its_identifier() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        let medium = SimulatedMedium::new();
        let house = on(&medium, |_| ()).await;
        let mut publisher = house.v5("publisher").await;
        publisher.publish(publish("r/1").payload("one").qos2(1).retained()).await;
        publisher.publish(publish("r/2").payload("two").qos2(2).retained()).await;
        let mut peer = house.connect(lasting("subscriber")).await;
        peer.send(subscribe(9).filter("r/+", qos)).await;
        peer.expect_suback().await;
        let sent = [peer.expect_publish().await, peer.expect_publish().await];
        let (house, left) = killed(&medium).await;
        let mut peer = house.connect(lasting("subscriber")).await;
        let again = [peer.expect_publish().await, peer.expect_publish().await];
        for (first, again) in sent.into_iter().zip(again) {
            assert_eq!(
                (again.packet_id, again.dup, again.retain, again.text()),
                (first.packet_id, true, true, first.text())
            );
            if qos == AtLeastOnce {
                peer.send(puback(again.packet_id)).await;
            } else {
                peer.send(pubrec(again.packet_id)).await;
                peer.expect_pubrel(again.packet_id).await;
                peer.send(pubcomp(again.packet_id)).await;
            }
        }
        settle().await;
        let (house, _) = killed(&left).await;
        house.connect(lasting("subscriber")).await.expect_silence().await;
        assert_eq!(house.broker.metrics().storage.expect("it is durable").messages, 0);
    }
}

/// A SHOULD of section 4.8.2, also for what waited before the kill.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_member_whose_session_ends_goes_to_another_one_also_after_a_kill() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    let member = |name: &str, expiry_s| connect(name).clean(false).session_expiry_s(expiry_s);
    let mut early = house.connect(member("early", 100)).await;
    early.subscribe("$share/g/t/#", AtLeastOnce).await;
    early.subscribe("own", AtLeastOnce).await;
    let mut publisher = house.v5("publisher").await;
    publisher.publish(publish("t/0").payload("under way").qos1(1)).await;
    early.expect_publish().await;
    early.cut();
    settle().await;
    for number in 2..=4 {
        publisher.publish(publish("t/1").payload(number.to_string()).qos1(number)).await;
    }
    publisher.publish(publish("own").payload("for nobody else").qos1(5)).await;
    let (house, _) = killed(&medium).await;
    let mut late = house.connect(member("late", 1000)).await;
    late.subscribe("$share/g/t/#", AtLeastOnce).await;
    late.expect_silence().await;
    sleep(Duration::from_secs(101)).await;
    assert_eq!(texts(&late.drain().await), ["under way", "2", "3", "4"]);
    assert_eq!(house.broker.metrics().dropped_for(DropReason::SessionEnded), 1);
}

#[tokio::test(start_paused = true)]
async fn topics_in_memory_are_not_kept() {
    let medium = SimulatedMedium::new();
    let rule = mqtt_topic::TopicFilter::parse("t/volatile/#").expect("a filter").to_boxed();
    let house = on(&medium, |settings| settings.durability.rules.push((rule, Durability::Memory))).await;
    let _connected = subscriber(&house).await;
    let mut publisher = house.v5("publisher").await;
    publisher.publish(publish("t/volatile/x").payload("lost").qos1(1).retained()).await;
    publisher.publish(publish("t/x").payload("kept").qos1(2)).await;
    let (house, _) = killed(&medium).await;
    assert_eq!(returned(&house).await.1, ["kept"]);
}

#[tokio::test(start_paused = true)]
async fn acked_messages_survive_a_power_failure() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |settings| settings.durability.default = Durability::Acked).await;
    let _connected = subscriber(&house).await;
    house.v5("publisher").await.publish(publish("t").payload("safe").qos1(1)).await;
    let house = on(&medium.after_power_failure(0, false), |_| ()).await;
    assert_eq!(returned(&house).await.1, ["safe"]);
}

/// What a client released is forgotten for good before it hears of it: otherwise the next message under the same
/// identifier would be taken for a repetition.
#[tokio::test(start_paused = true)]
async fn an_identifier_that_was_released_names_a_new_message_after_a_power_failure() {
    let medium = SimulatedMedium::new();
    let acked = |settings: &mut Settings| settings.durability.default = Durability::Acked;
    let house = on(&medium, acked).await;
    let _connected = subscriber(&house).await;
    let mut publisher = house.connect(lasting("publisher")).await;
    publisher.publish(publish("t").payload("first").qos2(1)).await;
    let left = medium.after_power_failure(0, false);
    let house = on(&left, acked).await;
    let mut publisher = house.open("back");
    assert!(publisher.connect(lasting("publisher")).await.session_present);
    publisher.publish(publish("t").payload("second").qos2(1)).await;
    assert_eq!(returned(&house).await.1, ["first", "second"]);
}

/// The same the other way round: the receiver remembers an identifier that the broker must not give to another message.
#[tokio::test(start_paused = true)]
async fn an_identifier_that_was_sent_names_the_same_message_after_a_power_failure() {
    let medium = SimulatedMedium::new();
    let acked = |settings: &mut Settings| settings.durability.default = Durability::Acked;
    let house = on(&medium, acked).await;
    let mut peer = subscriber(&house).await;
    let mut publisher = house.v5("publisher").await;
    for number in 1..=2 {
        publisher.publish(publish("t").payload(number.to_string()).qos2(number)).await;
    }
    let first = peer.expect_publish().await.packet_id;
    let second = peer.expect_publish().await.packet_id;
    peer.send(pubrec(second)).await;
    peer.expect_pubrel(second).await;
    peer.send(pubcomp(second)).await;
    settle().await;
    let house = on(&medium.after_power_failure(0, false), acked).await;
    let mut peer = house.open("back");
    assert!(peer.connect(lasting("subscriber")).await.session_present);
    // The end of the second may have been forgotten, but not that the client has it.
    peer.expect_pubrel(second).await;
    let again = peer.expect_publish().await;
    assert_eq!((again.packet_id, again.text()), (first, "1"));
    peer.expect_silence().await;
}

/// The next process would send it under another identifier, and the client would take it for another message.
#[tokio::test(start_paused = true)]
async fn a_qos_2_message_is_not_repeated_while_its_identifier_cannot_be_stored() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    let mut peer = subscriber(&house).await;
    let mut publisher = house.v5("publisher").await;
    publisher.publish(publish("t").payload("one").qos1(1)).await;
    peer.receive_text("one").await;
    peer.cut();
    settle().await;
    publisher.publish(publish("t").payload("two").qos2(2)).await;
    medium.set_faults(Faults { write_fails: true, ..Faults::default() });
    for number in 0..2 {
        let mut peer = house.open(&format!("back {number}"));
        peer.send(lasting("subscriber")).await;
        while let Some(packet) = peer.expect_packet_or_closed().await {
            assert!(!matches!(packet.packet(), Packet::Publish(_)), "{packet:?}");
        }
    }
    let (house, _) = killed(&medium).await;
    assert_eq!(returned(&house).await.1, ["two"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_on_a_full_medium_and_the_rest_is_served() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    drop(subscriber(&house).await);
    let mut publisher = house.v5("publisher").await;
    let mut old = house.client(Version::V3_1_1, "old").await;
    settle().await;
    medium.set_faults(Faults { room_bytes: Some(0), ..Faults::default() });
    publisher.send(publish("t").payload("waits").qos1(1)).await;
    publisher.expect_silence().await;
    // Now it is known.
    let mut second = house.v5("second").await;
    second.send(publish("t").payload("refused").qos1(1)).await;
    assert_eq!(second.expect_puback(1).await.reason, ReasonCode::QuotaExceeded);
    old.send(publish("t").payload("refused").qos1(1)).await;
    old.expect_closed().await;
    let mut online = house.v5("online").await;
    online.subscribe("live", AtLeastOnce).await;
    second.publish(publish("live").payload("served").qos1(2)).await;
    online.receive_text("served").await;
    medium.set_faults(Faults::default());
    drop(house.connect(lasting("subscriber")).await); // whatever is written next brings the rest along
    second.publish(publish("t").payload("again").qos1(3)).await;
    publisher.expect_puback(1).await;
    assert_eq!(returned(&house).await.1, ["waits", "again"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_medium_ends_those_who_wait_for_it() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |settings| settings.durability.default = Durability::Acked).await;
    drop(subscriber(&house).await);
    let mut publisher = house.v5("publisher").await;
    settle().await;
    medium.set_faults(Faults { sync_fails: true, ..Faults::default() });
    publisher.send(publish("t").payload("not kept").qos1(1)).await;
    publisher.expect_disconnect(ReasonCode::QuotaExceeded).await;
    let mut second = house.v5("second").await;
    second.send(publish("t").payload("refused").qos1(1)).await;
    assert_eq!(second.expect_puback(1).await.reason, ReasonCode::QuotaExceeded);
    second.ping().await;
}

#[tokio::test(start_paused = true)]
async fn an_acknowledged_identifier_can_be_used_again_after_a_kill() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    let mut peer = subscriber(&house).await;
    let mut publisher = house.v5("publisher").await;
    publisher.publish(publish("t").payload("one").qos1(1)).await;
    let id = peer.expect_publish().await.packet_id;
    peer.send(puback(id)).await;
    publisher.publish(publish("t").payload("two").qos1(2)).await;
    let packets = peer.drain().await;
    assert!(matches!(packets[0].packet(), Packet::Publish(_)));
    let (house, _) = killed(&medium).await;
    assert_eq!(returned(&house).await.1, ["two"]);
}

/// A group's key may be another group's in the next process: what waits must not move there.
#[tokio::test(start_paused = true)]
async fn what_waited_for_a_member_of_a_group_goes_to_no_other_group_after_a_kill() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    for number in 0..6 {
        house.v5(&format!("earlier {number}")).await; // so that keys are not the same as after the kill
    }
    let member = || connect("member").clean(false).session_expiry_s(10);
    let mut peer = house.connect(member()).await;
    for group in ["$share/first/t", "$share/second/t"] {
        peer.subscribe(group, AtLeastOnce).await;
    }
    peer.cut();
    settle().await;
    house.v5("publisher").await.publish(publish("t").payload("waits").qos1(1)).await;
    let left = medium.after_kill();
    let (house, _) = killed(&medium).await;
    let mut others = Vec::new();
    for number in 0..20 {
        let mut other = house.v5(&format!("other {number}")).await;
        other.subscribe(&format!("$share/group {number}/t"), AtLeastOnce).await;
        others.push(other);
    }
    sleep(Duration::from_secs(11)).await;
    for other in &mut others {
        other.expect_silence().await;
    }
    assert_eq!(house.broker.metrics().dropped_for(DropReason::SessionEnded), 2);
    // While the session is there, nothing is lost.
    let house = on(&left, |_| ()).await;
    assert_eq!(texts(&house.connect(member()).await.drain().await), ["waits", "waits"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_belongs_to_the_same_user_after_a_kill() {
    for (owner, others) in [(Some("ann"), [Some("bob"), None]), (None, [Some("ann"), Some("")])] {
        let medium = SimulatedMedium::new();
        let as_user = |name: Option<&str>| match name {
            Some(name) => lasting("subscriber").username(name).password(name),
            None => lasting("subscriber"),
        };
        let rules = Rules::default();
        let house = ruled(&medium, &rules).await;
        house.connect(as_user(owner)).await.subscribe("t", AtLeastOnce).await;
        settle().await;
        let (again, once_more) = (medium.after_kill(), medium.after_kill());
        let house = ruled(&again, &rules).await;
        for other in others {
            let mut thief = house.open("thief");
            thief.send(as_user(other)).await;
            let refused = thief.expect_connack().await;
            assert_eq!(refused.reason, ReasonCode::ClientIdentifierNotValid, "{other:?}");
        }
        assert!(house.open("back").connect(as_user(owner)).await.session_present);
        // It stays so over kills while nobody came.
        let house = ruled(&ruled_and_killed(&once_more, &rules).await, &rules).await;
        assert!(house.open("back").connect(as_user(owner)).await.session_present);
    }
}

async fn ruled_and_killed(medium: &SimulatedMedium, rules: &Rules) -> SimulatedMedium {
    ruled(medium, rules).await;
    medium.after_kill()
}

#[tokio::test(start_paused = true)]
async fn rules_hold_after_a_kill_for_clients_that_are_away() {
    let medium = SimulatedMedium::new();
    let rules = Rules::default();
    let house = ruled(&medium, &rules).await;
    let guest = || user("guest", "guest").clean(false).session_expiry_s(1000);
    house.connect(guest()).await.subscribe("#", AtLeastOnce).await;
    settle().await;
    let house = ruled(&medium.after_kill(), &rules).await;
    close(&house, &rules);
    let mut root = house.connect(user("root", "root")).await;
    root.publish(publish("secret").payload("x").qos1(1)).await;
    root.publish(publish("open").payload("y").qos1(2)).await;
    assert_eq!(house.broker.metrics().dropped_for(DropReason::ReceiveNotAuthorized), 1);
    house.connect(guest()).await.receive_text("y").await;
}

#[tokio::test(start_paused = true)]
async fn a_retained_message_is_still_its_publishers_after_a_kill() {
    let medium = SimulatedMedium::new();
    let rules = Rules::default();
    let house = ruled(&medium, &rules).await;
    for (number, name) in [(1, "gone"), (2, "root")] {
        let mut publisher = house.connect(user(name, name)).await;
        publisher.publish(publish(name).payload(name).qos1(number).retained()).await;
    }
    let house = ruled(&medium.after_kill(), &rules).await;
    close(&house, &rules);
    let mut root = house.connect(user("reader", "root")).await;
    root.subscribe("#", AtLeastOnce).await;
    assert_eq!(texts(&root.drain().await), ["root"]);
}

#[tokio::test(start_paused = true)]
async fn no_local_holds_for_the_same_session_after_a_kill() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    let mortal = || lasting("mortal").will(will("t", "own will").qos(AtLeastOnce).delay_s(60));
    let mut peer = house.connect(mortal()).await;
    peer.subscribe_with(subscribe(1).filter("t", AtLeastOnce).no_local()).await;
    let (house, _) = killed(&medium).await;
    sleep(Duration::from_secs(61)).await;
    house.v5("other").await.publish(publish("t").payload("other").qos1(1)).await;
    let mut peer = house.connect(lasting("mortal")).await;
    peer.receive_text("other").await;
    peer.expect_silence().await;
}

/// Before MQTT 5 an acknowledgement carries no reason. What is refused by a limit is acknowledged and counted.
#[tokio::test(start_paused = true)]
async fn limits_end_no_connection_before_mqtt_5() {
    let medium = SimulatedMedium::new();
    let limited = |settings: &mut Settings| {
        settings.limits.payload_bytes_max = 10;
        settings.retained.messages_max = 1;
    };
    let memory = start(Broker::builder().settings(quiet(limited))).await;
    for house in [on(&medium, limited).await, memory] {
        drop(subscriber(&house).await);
        let mut old = house.client(Version::V3_1_1, "old").await;
        old.send(publish("t").payload("x".repeat(11)).qos1(1)).await;
        old.expect_puback(1).await;
        for number in 2..=3 {
            old.send(publish(&format!("r/{number}")).payload("x").qos1(number).retained()).await;
            old.expect_puback(number).await;
        }
        old.ping().await;
        assert_eq!(house.broker.metrics().dropped_for(DropReason::PayloadTooLarge), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_figures_tell_how_the_store_is() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    drop(subscriber(&house).await);
    let mut publisher = house.v5("publisher").await;
    publisher.publish(publish("t").payload("one").qos1(1)).await;
    publisher.publish(publish("t").payload("two").qos2(2)).await;
    let storage = |house: &Harness| house.broker.metrics().storage.expect("there is a store");
    let before = storage(&house);
    assert_eq!((before.condition, before.messages, before.bytes_waiting), (Condition::Good, 2, 0));
    assert!(before.bytes_held > before.bytes_needed && before.bytes_needed > 0);
    medium.set_faults(Faults { room_bytes: Some(0), ..Faults::default() });
    publisher.send(publish("t").payload("waits").qos1(3)).await;
    publisher.expect_silence().await;
    assert_eq!(storage(&house).condition, Condition::Full);
    medium.set_faults(Faults::default());
    let left = medium.after_kill();
    let house = on(&left, |settings| settings.sys.interval = Some(Duration::from_secs(1))).await;
    let after = storage(&house);
    assert_eq!((after.condition, after.messages), (Condition::Good, 2));
    sleep(Duration::from_secs(2)).await;
    let mut reader = house.v5("reader").await;
    reader.subscribe("$SYS/broker/storage/#", AtLeastOnce).await;
    let told = texts(&reader.drain().await);
    assert!(told.contains(&"good".to_owned()) && told.contains(&"2".to_owned()), "{told:?}");
    let mut peer = house.connect(lasting("subscriber")).await;
    peer.receive_text("one").await;
    peer.receive_text("two").await;
    settle().await;
    assert_eq!(storage(&house).messages, 0);
    let memory = start(Broker::builder().settings(quiet(|_| ()))).await;
    assert_eq!(memory.broker.metrics().storage, None);
}

fn long_text(number: usize) -> String {
    format!("{number:05} {}", "x".repeat(number % 3000))
}

/// Bodies that are on the disk only come in their order, mixed with those in memory, before and after a kill.
#[tokio::test(start_paused = true)]
async fn messages_that_do_not_fit_into_memory_come_from_the_disk_in_their_order() {
    let medium = SimulatedMedium::new();
    let within = |medium: &SimulatedMedium| {
        start(Broker::builder().settings(quiet(|_| ())).store(stored_within(medium, 10_000)))
    };
    let mut house = within(&medium).await;
    drop(subscriber(&house).await);
    let mut sent = Vec::new();
    let mut left = medium.clone();
    for part in 0..3_usize {
        let mut publisher = house.v5("publisher").await;
        for number in part * 200..(part + 1) * 200 {
            let packet_id = u16::try_from(number + 1).expect("it is small");
            let text = long_text(number);
            let message = publish("t/1").payload(&text);
            publisher
                .publish(if number % 2 == 0 { message.qos1(packet_id) } else { message.qos2(packet_id) })
                .await;
            sent.push(text);
        }
        left = left.after_kill();
        house = within(&left).await;
    }
    let health = house.broker.metrics().storage.expect("it is durable");
    assert!(health.bytes_in_memory <= 10_000, "{health:?}");
    let mut peer = house.open("back");
    assert!(peer.connect(lasting("subscriber")).await.session_present);
    let mut got = Vec::new();
    while got.len() < sent.len() {
        let packets = peer.drain().await;
        assert!(!packets.is_empty(), "{} of {}", got.len(), sent.len());
        got.extend(texts(&packets));
    }
    assert!(got == sent, "the order or a text is wrong");
}

/// Retained messages likewise; what is cleared or replaced is not sent.
#[tokio::test(start_paused = true)]
async fn retained_messages_that_do_not_fit_into_memory_come_from_the_disk() {
    let medium = SimulatedMedium::new();
    let house = start(Broker::builder().settings(quiet(|_| ())).store(stored_within(&medium, 5_000))).await;
    let mut publisher = house.v5("publisher").await;
    for number in 0..400 {
        let text = long_text(number);
        let packet_id = u16::try_from(number + 1).expect("it is small");
        let message = publish(&format!("r/{number:05}")).payload(&text).qos1(packet_id);
        publisher.publish(message.retained()).await;
    }
    publisher.publish(publish("r/00399").payload("").qos1(500).retained()).await;
    publisher.publish(publish("r/00398").payload("new").qos1(501).retained()).await;
    let mut expected: Vec<String> = (0..398).map(long_text).collect();
    expected.push("new".to_owned());
    for house in [
        house,
        start(Broker::builder().settings(quiet(|_| ())).store(stored_within(&medium.after_kill(), 5_000)))
            .await,
    ] {
        let mut reader = house.v5("reader").await;
        reader.subscribe("r/+", AtMostOnce).await;
        let mut got = texts(&reader.drain().await);
        got.sort_by_key(|text| (text == "new", text.clone()));
        assert!(got == expected, "{} messages", got.len());
        let storage = house.broker.metrics().storage.expect("it is durable");
        assert!(storage.bytes_in_memory <= 5_000 + 4096, "{storage:?}");
    }
}

/// What is stored of a message is all of it, also where the client cannot be told all of it now.
#[tokio::test(start_paused = true)]
async fn properties_last_for_a_client_that_comes_back_with_mqtt_5() {
    let medium = SimulatedMedium::new();
    let house = on(&medium, |_| ()).await;
    let mut old = house.connect(connect("c").version(Version::V3_1_1).clean(false)).await;
    old.subscribe("t", AtLeastOnce).await;
    let mut publisher = house.client(Version::V5, "publisher").await;
    let typed = |id| publish("t").qos1(id).payload("x").property(mqtt_codec::Property::ContentType("text"));
    publisher.send([typed(1).to_wire(Version::V5), typed(2).to_wire(Version::V5)].concat()).await;
    for id in [1, 2] {
        publisher.expect_puback(id).await;
        old.expect_publish().await;
    }
    old.cut();
    settle().await;
    let (house, _left) = killed(&medium).await;
    let mut new = house.connect(connect("c").clean(false).session_expiry_s(100)).await;
    for _ in 0..2 {
        assert_eq!(new.expect_publish().await.properties().content_type(), Some("text"));
    }
}
