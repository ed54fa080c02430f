//! Keep Alive, expiry, packet sizes: what ends or holds back a message or a connection.

mod support;

use core::num::NonZeroU32;
use std::time::{Duration, Instant};

use mqtt_codec::{
    Connack, Disconnect, Packet, Properties, Property, PropertyPlace, QoS, ReasonCode, ReasonCodesBuf,
    Version,
};
use mqtt_session::{
    Delivery, DropReason, Hop, KeepAlive, OurLimits, PACKET_BYTES_MAX, Policy, Received, TheirLimits,
};
use support::{
    Link, Setup, Towards, answer_to, block, broker, client, connect, delivery, id, message, only, publish,
};

fn maximum_packet_size(bytes: u32) -> Property<'static> {
    Property::MaximumPacketSize(NonZeroU32::new(bytes).expect("not zero"))
}

fn expiring(after_s: u64, now: Instant, qos: QoS) -> Delivery {
    let message = message("t", b"0000", Some(now + Duration::from_secs(after_s)));
    Delivery { hop: Hop::new(qos), message }
}

// [MQTT3-3.1.2-24]
#[test]
fn mqtt_3_1_2_22_the_deadline_is_one_and_a_half_keep_alives() {
    let start = Instant::now();
    for (interval_s, silence_ms) in [(0, None), (1, Some(1_500)), (65_535, Some(98_302_500))] {
        let mut keep_alive = KeepAlive::new(interval_s, start);
        let silence = silence_ms.map(Duration::from_millis);
        assert_eq!(keep_alive.interval_s(), interval_s);
        assert_eq!(keep_alive.deadline(), silence.map(|silence| start + silence));
        let later = start + Duration::from_secs(7);
        keep_alive.heard(later);
        assert_eq!(keep_alive.deadline(), silence.map(|silence| later + silence));
    }
}

// Any packet counts, not PINGREQ alone; [MQTT-3.12.4-1] answers that one.
#[test]
fn mqtt_3_1_2_22_every_packet_moves_the_deadline() {
    let mut protocol = broker(Version::V5, &[], &Policy::default());
    let packets =
        [(Packet::Pingreq, vec![0xD0, 0]), (publish(QoS::AtMostOnce, 0, "t", Properties::EMPTY), vec![])];
    for (packet, answer) in packets {
        let later = protocol.keep_alive().deadline().expect("60 s") + Duration::from_secs(5);
        let mut out = Vec::new();
        protocol.receive(packet, later, &mut out).expect("allowed");
        assert_eq!(out, answer);
        assert_eq!(protocol.keep_alive().deadline(), Some(later + Duration::from_secs(90)));
        protocol.excuse_silence(later + Duration::from_secs(10));
        assert_eq!(protocol.keep_alive().deadline(), Some(later + Duration::from_secs(100)));
    }
}

// [MQTT-3.3.2-5]: what expired in the queue is never sent.
#[test]
fn mqtt_3_3_2_5_a_message_that_expired_while_it_waited_is_dropped() {
    for version in Version::ALL {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let now = Instant::now();
            let mut protocol = broker(version, &[], &Policy::default());
            let mut out = Vec::new();
            let deliver = expiring(3, now, qos);
            let late = protocol.deliver(deliver.clone(), now + Duration::from_secs(3), &mut out);
            assert_eq!((late, out.len()), (Err(DropReason::Expired), 0));
            assert_eq!(protocol.session().unacknowledged_len(), 0);
            protocol.deliver(deliver, now + Duration::from_millis(2_999), &mut out).expect("in time");
        }
    }
}

// [MQTT-3.3.2-6]: what is left, rounded up to whole seconds, after the time that the message waited.
#[test]
fn mqtt_3_3_2_6_the_interval_that_is_left_is_sent_on() {
    let now = Instant::now();
    for (waited_ms, left_s) in [(0, 10), (1, 10), (1_000, 9), (9_999, 1)] {
        let mut protocol = broker(Version::V5, &[], &Policy::default());
        let mut out = Vec::new();
        let sent = protocol.deliver(
            expiring(10, now, QoS::AtMostOnce),
            now + Duration::from_millis(waited_ms),
            &mut out,
        );
        assert_eq!(sent, Ok(None));
        let Packet::Publish(sent) = only(&out, Version::V5) else { panic!("no PUBLISH") };
        assert_eq!(sent.properties.message_expiry_interval_s(), Some(left_s));
    }
}

#[test]
fn mqtt_3_3_2_5_an_arriving_interval_starts_when_it_arrives() {
    let now = Instant::now();
    for (interval_s, expires_at) in
        [(None, None), (Some(0), Some(now)), (Some(7), Some(now + Duration::from_secs(7)))]
    {
        let properties: Vec<_> = interval_s.map(Property::MessageExpiryInterval).into_iter().collect();
        let properties = block(&properties);
        let mut protocol = broker(Version::V5, &[], &Policy::default());
        let packet = publish(QoS::AtMostOnce, 0, "t", properties.as_properties());
        let received = protocol.receive(packet, now, &mut Vec::new());
        let Ok(Received::Publish(publish)) = received else { panic!("no message: {received:?}") };
        assert_eq!(publish.expires_at, expires_at);
        assert!(publish.message(1).properties().is_empty());
    }
}

// A message whose sending began is finished, however long that takes: its identifier belongs to both ends.
#[test]
fn invariant_5_expiry_applies_to_queued_messages_and_never_to_those_in_flight() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut link = Link::open(Setup::of(Version::V5).receive_maximum(1));
        let now = link.now;
        link.send(Towards::Client, [expiring(3, now, qos), expiring(3, now, qos)]);
        link.cut();
        link.pass(Duration::from_secs(100));
        link.reconnect();
        link.settle();
        assert_eq!(link.client.got.len(), 1);
        assert_eq!(link.broker.completed.len(), 1);
        let dropped: Vec<_> = link.broker.dropped.iter().map(|(_, reason)| *reason).collect();
        assert_eq!(dropped, [DropReason::Expired]);
        // Nothing is left of its interval, and that is what the receiver is told.
        let properties = link.client.got[0].properties.clone();
        let left = Properties::parse(&properties, PropertyPlace::Publish).expect("our own properties");
        assert_eq!(left.message_expiry_interval_s(), Some(0));
    }
}

// [MQTT-3.1.2-25]: as if it had been sent; the next one is not held up. [MQTT-3.2.2-15] towards a server.
#[test]
fn mqtt_3_1_2_24_no_packet_is_larger_than_the_peer_takes() {
    // A PUBLISH of QoS 1 to `t` has 8 bytes before its payload.
    for (bytes, fits) in [(12, true), (11, false)] {
        let size = [maximum_packet_size(bytes)];
        let ends = [broker(Version::V5, &size, &Policy::default()), client(&[], &size, OurLimits::default())];
        for mut protocol in ends {
            let mut out = Vec::new();
            let sent = protocol.deliver(delivery("t", b"0000", QoS::AtLeastOnce), Instant::now(), &mut out);
            assert_eq!(sent.is_ok(), fits, "{sent:?}");
            assert_eq!(out.len(), if fits { 12 } else { 0 });
            assert_eq!(protocol.session().unacknowledged_len(), usize::from(fits));
        }
    }
}

#[test]
fn invariant_8_a_message_too_large_for_the_receiver_does_not_hold_up_the_next() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut setup = Setup::of(Version::V5).receive_maximum(1);
        setup.limits.maximum_packet_size_bytes = 30;
        let mut link = Link::open(setup.clone());
        let large = delivery("t", &[0; 100], qos);
        let small = delivery("t", b"0001", qos);
        link.send(Towards::Client, [large.clone(), small.clone(), large, small]);
        link.settle();
        assert_eq!(link.client.numbers().len(), 2);
        let dropped: Vec<_> = link.broker.dropped.iter().map(|(_, reason)| *reason).collect();
        assert_eq!(dropped, [DropReason::TooLargeForReceiver; 2]);
    }
}

// The peer may come back with a smaller limit than the one under which a message was first sent.
#[test]
fn invariant_8_nor_does_one_that_has_become_too_large() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut link = Link::open(Setup::of(Version::V5));
        link.send(Towards::Client, [delivery("t", &[0; 100], qos), delivery("t", b"0001", qos)]);
        link.cut();
        link.setup.limits.maximum_packet_size_bytes = 30;
        link.reconnect();
        link.settle();
        assert_eq!(link.client.numbers().len(), 1);
        assert_eq!(link.broker.dropped[0].1, DropReason::TooLargeForReceiver);
        assert_eq!(link.broker.protocol().session().unacknowledged_len(), 0);
    }
}

// The limits of the two directions are two types, and neither is taken for the other.
#[test]
fn invariant_6_each_direction_keeps_its_own_limits() {
    let announced = [
        Property::ReceiveMaximum(7.try_into().expect("not zero")),
        maximum_packet_size(100),
        Property::TopicAliasMaximum(3),
    ];
    let policy = Policy::default();
    let theirs = TheirLimits {
        receive_maximum: 7.try_into().expect("not zero"),
        maximum_packet_size_bytes: 100,
        topic_alias_maximum: 3,
        problem_information: true,
    };
    let ends = [
        (broker(Version::V5, &announced, &policy), policy.ours),
        (client(&[], &announced, OurLimits::default()), OurLimits::default()),
    ];
    for (protocol, ours) in ends {
        assert_eq!((*protocol.theirs(), *protocol.ours()), (theirs, ours));
        assert_eq!(protocol.window_free(), 7);
    }
    let silent = connect(Version::V5, Properties::EMPTY);
    let connack =
        Connack { session_present: false, reason: ReasonCode::Success, properties: Properties::EMPTY };
    assert_eq!(TheirLimits::of_client(&silent), TheirLimits::default());
    assert_eq!(TheirLimits::of_broker(&connack), TheirLimits::default());
    assert_eq!(TheirLimits::default().maximum_packet_size_bytes, PACKET_BYTES_MAX);
}

// [MQTT-3.14.2-3], [MQTT-3.14.2-4]: the texts go before the limit is broken; the reason stays as long as it fits.
#[test]
fn mqtt_3_14_2_3_a_disconnect_fits_the_peer() {
    let text = "a long explanation";
    for (bytes, expected) in [(100, Some(true)), (20, Some(false)), (4, Some(false)), (2, None)] {
        let mut protocol = broker(Version::V5, &[maximum_packet_size(bytes)], &Policy::default());
        let mut out = Vec::new();
        protocol.send_disconnect(ReasonCode::ServerBusy, Some(text), Some("other:1883"), &mut out);
        let Some(with_text) = expected else {
            assert!(out.is_empty());
            continue;
        };
        let Packet::Disconnect(sent) = only(&out, Version::V5) else { panic!("no DISCONNECT") };
        assert_eq!(sent.reason, ReasonCode::ServerBusy);
        assert_eq!(sent.properties.reason_string().is_some(), with_text);
    }
}

// [MQTT-3.8.4-6], [MQTT-3.9.3-1]: one reason per filter, in their order.
#[test]
fn mqtt_3_9_3_1_a_suback_has_one_reason_per_filter() {
    let mut protocol = broker(Version::V5, &[], &Policy::default());
    let given = [ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized, ReasonCode::GRANTED_QOS_0];
    let mut reasons = ReasonCodesBuf::new();
    given.into_iter().for_each(|reason| reasons.push(reason));
    let mut out = Vec::new();
    protocol.send_suback(id(9), reasons.as_reasons(), &mut out);
    let Packet::Suback(sent) = only(&out, Version::V5) else { panic!("no SUBACK") };
    assert_eq!((sent.packet_id, sent.reasons.iter().collect::<Vec<_>>()), (id(9), given.to_vec()));
}

fn leave(asked_s: u32, granted_max_s: u32, wanted_s: Option<u32>) -> Result<u32, ReasonCode> {
    let policy = Policy { session_expiry_max_s: granted_max_s, ..Policy::default() };
    let mut protocol = broker(Version::V5, &[Property::SessionExpiryInterval(asked_s)], &policy);
    let properties: Vec<_> = wanted_s.map(Property::SessionExpiryInterval).into_iter().collect();
    let properties = block(&properties);
    let disconnect = Disconnect { reason: ReasonCode::Success, properties: properties.as_properties() };
    match answer_to(&mut protocol, Packet::Disconnect(disconnect)) {
        Ok(_) => Ok(protocol.finish().session_expiry_s),
        Err(violation) => Err(violation.reason),
    }
}

// Section 3.14.2.2.2.
#[test]
fn mqtt_3_14_2_a_disconnect_may_change_the_session_expiry_except_from_zero() {
    const FOREVER: u32 = u32::MAX;
    assert_eq!(leave(10, FOREVER, None), Ok(10));
    assert_eq!(leave(10, FOREVER, Some(0)), Ok(0));
    assert_eq!(leave(10, FOREVER, Some(20)), Ok(20));
    assert_eq!(leave(10, FOREVER, Some(FOREVER)), Ok(FOREVER));
    assert_eq!(leave(10, 15, Some(20)), Ok(15));
    assert_eq!(leave(20, 15, None), Ok(15));
    assert_eq!(leave(0, FOREVER, Some(0)), Ok(0));
    assert_eq!(leave(0, FOREVER, Some(1)), Err(ReasonCode::ProtocolError));
}
