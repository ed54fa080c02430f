//! What each side may send, and that nothing it sends upsets the other.

mod support;

use std::time::Instant;

use mqtt_codec::{
    Ack, Auth, Connack, Connect, Disconnect, Packet, Properties, Property, QoS, ReasonCode, ReasonCodes,
    Subscribe, SubscribeFiltersBuf, SubscriptionOptions, Unsuback, Unsubscribe, UnsubscribeFiltersBuf,
    Version, Will,
};
use mqtt_session::{Opening, OurLimits, Policy, Protocol, Received, Session};
use mqtt_topic::TopicFilter;
use support::{answer_to, block, broker, client, connect, id, publish, refusal};

fn a_broker() -> Protocol {
    broker(Version::V5, &[], &Policy::default())
}

fn a_client() -> Protocol {
    client(&[], &[], OurLimits::default())
}

const CONNACK: Packet<'static> = Packet::Connack(Connack {
    session_present: false,
    reason: ReasonCode::Success,
    properties: Properties::EMPTY,
});

fn subscribe(protocol: &mut Protocol, filter: &str, options: SubscriptionOptions) -> Option<ReasonCode> {
    let mut filters = SubscribeFiltersBuf::new();
    filters.push(filter, options).expect("short");
    let (properties, filters) = (Properties::EMPTY, filters.as_filters());
    let packet = Packet::Subscribe(Subscribe { packet_id: id(1), properties, filters });
    answer_to(protocol, packet).err().map(|violation| violation.reason)
}

fn unsubscribe(protocol: &mut Protocol, filter: &str) -> Option<ReasonCode> {
    let mut filters = UnsubscribeFiltersBuf::new();
    filters.push(filter).expect("short");
    let (properties, filters) = (Properties::EMPTY, filters.as_filters());
    let packet = Packet::Unsubscribe(Unsubscribe { packet_id: id(1), properties, filters });
    answer_to(protocol, packet).err().map(|violation| violation.reason)
}

// [MQTT3-3.1.0-2]: and what only a server sends.
#[test]
fn mqtt_3_1_0_2_a_broker_refuses_a_second_connect_and_a_brokers_packets() {
    let unsuback = Unsuback { packet_id: id(1), properties: Properties::EMPTY, reasons: ReasonCodes::EMPTY };
    let packets = [
        Packet::Connect(connect(Version::V5, Properties::EMPTY)),
        CONNACK,
        Packet::Unsuback(unsuback),
        Packet::Pingresp,
    ];
    for packet in packets {
        assert_eq!(refusal(&mut a_broker(), packet), ReasonCode::ProtocolError);
    }
}

#[test]
fn a_client_refuses_a_clients_packets() {
    for packet in [Packet::Connect(connect(Version::V5, Properties::EMPTY)), CONNACK, Packet::Pingreq] {
        assert_eq!(refusal(&mut a_client(), packet), ReasonCode::ProtocolError);
    }
    let protocol_error = Some(ReasonCode::ProtocolError);
    assert_eq!(subscribe(&mut a_client(), "t", SubscriptionOptions::default()), protocol_error);
    assert_eq!(unsubscribe(&mut a_client(), "t"), protocol_error);
    assert_eq!(answer_to(&mut a_client(), Packet::Pingresp), Ok(Vec::new()));
}

// [MQTT-3.2.2-4]
#[test]
fn mqtt_3_2_2_4_a_client_without_a_session_refuses_session_present() {
    for clean_start in [true, false] {
        let connect = Connect { clean_start, ..connect(Version::V5, Properties::EMPTY) };
        let connack =
            Connack { session_present: true, reason: ReasonCode::Success, properties: Properties::EMPTY };
        let (session, now) = (Session::new(), Instant::now());
        let protocol = Protocol::client(
            &connect,
            &connack,
            OurLimits::default(),
            1.try_into().expect("1"),
            session,
            now,
        );
        assert_eq!(protocol.is_err(), clean_start);
    }
}

// [MQTT-3.2.2-21], section 3.2.2.3.2: the server's word on Keep Alive and session expiry replaces the client's.
#[test]
fn mqtt_3_2_2_21_a_client_follows_the_server() {
    let asked = [Property::SessionExpiryInterval(100)];
    let silent = client(&asked, &[], OurLimits::default());
    assert_eq!((silent.keep_alive().interval_s(), silent.session_expiry_s()), (60, 100));
    let told = [Property::ServerKeepAlive(5), Property::SessionExpiryInterval(7)];
    let told = client(&asked, &told, OurLimits::default());
    assert_eq!((told.keep_alive().interval_s(), told.session_expiry_s()), (5, 7));
}

// [MQTT3-3.1.2-4], [MQTT3-3.1.2-6]: before MQTT 5 Clean Session alone decides.
#[test]
fn mqtt3_3_1_2_6_a_client_before_mqtt_5_keeps_its_session_unless_it_is_clean() {
    for (clean_start, kept_s) in [(true, 0), (false, u32::MAX)] {
        let connect = Connect { clean_start, ..connect(Version::V3_1_1, Properties::EMPTY) };
        let connack =
            Connack { session_present: false, reason: ReasonCode::Success, properties: Properties::EMPTY };
        let (session, now) = (Session::new(), Instant::now());
        let protocol = Protocol::client(
            &connect,
            &connack,
            OurLimits::default(),
            1.try_into().expect("1"),
            session,
            now,
        );
        assert_eq!(protocol.expect("no contradiction").finish().session_expiry_s, kept_s);
    }
}

// [MQTT-3.14.2-2]: a server's DISCONNECT has no session expiry; before MQTT 5 a server has no DISCONNECT.
#[test]
fn mqtt_3_14_2_2_a_client_refuses_a_disconnect_that_is_not_a_servers() {
    let expiry = block(&[Property::SessionExpiryInterval(1)]);
    let leave = |properties| Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties });
    assert_eq!(refusal(&mut a_client(), leave(expiry.as_properties())), ReasonCode::ProtocolError);
    assert_eq!(answer_to(&mut a_client(), leave(Properties::EMPTY)), Ok(Vec::new()));
}

// [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT3-3.14.4-3]
#[test]
fn mqtt_3_14_4_3_the_will_goes_with_a_normal_disconnect_and_stays_else() {
    let left = |reason: Option<ReasonCode>| {
        let will = Will {
            qos: QoS::AtMostOnce,
            retain: false,
            properties: Properties::EMPTY,
            topic: "w",
            payload: b"gone",
        };
        let connect = Connect { will: Some(will), ..connect(Version::V5, Properties::EMPTY) };
        let policy = Policy::default();
        let mut opening = Opening::accept(&connect, &policy, || "x".into()).expect("admitted");
        let mut protocol = Protocol::broker(&mut opening, &policy, Session::new(), Instant::now());
        if let Some(reason) = reason {
            let leave = Disconnect { reason, properties: Properties::EMPTY };
            answer_to(&mut protocol, Packet::Disconnect(leave)).expect("allowed");
        }
        protocol.finish().will.is_some()
    };
    assert!(left(None));
    assert!(!left(Some(ReasonCode::NORMAL_DISCONNECTION)));
    assert!(left(Some(ReasonCode::DisconnectWithWillMessage)));
    assert!(left(Some(ReasonCode::UnspecifiedError)));
}

// [MQTT-4.12.0-7], [MQTT-4.12.1-1], [MQTT-3.15.2-1]
#[test]
fn mqtt_4_12_1_1_auth_needs_the_method_of_the_connect() {
    let method = [Property::AuthenticationMethod("m")];
    let (own, other) = (block(&method), block(&[Property::AuthenticationMethod("n")]));
    let auth = |reason, properties| Packet::Auth(Auth { reason, properties });
    let (again, go_on) = (ReasonCode::ReAuthenticate, ReasonCode::ContinueAuthentication);
    let without = [a_broker(), a_client()];
    for mut protocol in without {
        assert_eq!(refusal(&mut protocol, auth(go_on, own.as_properties())), ReasonCode::ProtocolError);
        assert_eq!(refusal(&mut protocol, auth(go_on, Properties::EMPTY)), ReasonCode::ProtocolError);
    }
    let with = [
        (broker(Version::V5, &method, &Policy::default()), again, ReasonCode::Success),
        (client(&method, &[], OurLimits::default()), ReasonCode::Success, again),
    ];
    for (mut protocol, theirs, not_theirs) in with {
        assert_eq!(protocol.authentication_method(), Some("m"));
        for reason in [go_on, theirs] {
            answer_to(&mut protocol, auth(reason, own.as_properties())).expect("allowed");
        }
        let wrong = [
            auth(not_theirs, own.as_properties()),
            auth(go_on, other.as_properties()),
            auth(go_on, Properties::EMPTY),
        ];
        for packet in wrong {
            assert_eq!(refusal(&mut protocol, packet), ReasonCode::ProtocolError);
        }
    }
}

// [MQTT-4.12.0-5]: every AUTH names the method.
#[test]
fn mqtt_4_12_0_5_an_auth_repeats_the_method() {
    let mut protocol = broker(Version::V5, &[Property::AuthenticationMethod("m")], &Policy::default());
    let mut out = Vec::new();
    protocol.send_auth(ReasonCode::ContinueAuthentication, Some(b"data"), &mut out);
    let Packet::Auth(auth) = support::only(&out, Version::V5) else { panic!("no AUTH") };
    assert_eq!(auth.reason, ReasonCode::ContinueAuthentication);
    assert_eq!(auth.properties.authentication_method(), Some("m"));
    assert_eq!(auth.properties.authentication_data(), Some(&b"data"[..]));
}

// [MQTT-4.7.0-1]
#[test]
fn mqtt_3_3_2_2_topics_with_wildcards_are_refused() {
    for topic in ["#", "a/+", "a/#"] {
        for mut protocol in [a_broker(), a_client()] {
            let packet = publish(QoS::AtMostOnce, 0, topic, Properties::EMPTY);
            assert_eq!(refusal(&mut protocol, packet), ReasonCode::TopicNameInvalid);
        }
    }
}

// [MQTT-3.3.2-14]; [MQTT-3.3.4-6]: subscription identifiers go from server to client only.
#[test]
fn mqtt_3_3_4_6_properties_that_a_publish_may_not_have() {
    let response = block(&[Property::ResponseTopic("a/#")]);
    let subscription = block(&[Property::SubscriptionIdentifier(1)]);
    for (protocol, refused) in [(&mut a_broker(), true), (&mut a_client(), false)] {
        let packet = publish(QoS::AtMostOnce, 0, "t", response.as_properties());
        assert_eq!(refusal(protocol, packet), ReasonCode::ProtocolError);
        let packet = publish(QoS::AtMostOnce, 0, "t", subscription.as_properties());
        assert_eq!(answer_to(protocol, packet).is_err(), refused);
    }
}

// [MQTT-3.2.2-14]
#[test]
fn mqtt_3_2_2_11_messages_beyond_what_is_offered_are_refused() {
    let policy = Policy { maximum_qos: QoS::AtMostOnce, retain_available: false, ..Policy::default() };
    let mut protocol = broker(Version::V5, &[], &policy);
    let packet = publish(QoS::AtLeastOnce, 1, "t", Properties::EMPTY);
    assert_eq!(refusal(&mut protocol, packet), ReasonCode::QoSNotSupported);
    let Packet::Publish(mut retained) = publish(QoS::AtMostOnce, 0, "t", Properties::EMPTY) else {
        panic!("no PUBLISH")
    };
    answer_to(&mut protocol, Packet::Publish(retained)).expect("offered");
    retained.retain = true;
    assert_eq!(refusal(&mut protocol, Packet::Publish(retained)), ReasonCode::RetainNotSupported);
}

// [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.8.2-1], [MQTT-4.8.2-2]
#[test]
fn mqtt_3_8_3_4_filters_that_are_refused_outright() {
    let plain = SubscriptionOptions::default();
    for filter in ["a#", "#/a", "a+", "$share//a", "$share/g+/a", "$share/g"] {
        assert_eq!(
            subscribe(&mut a_broker(), filter, plain),
            Some(ReasonCode::TopicFilterInvalid),
            "{filter}"
        );
        assert_eq!(unsubscribe(&mut a_broker(), filter), Some(ReasonCode::TopicFilterInvalid), "{filter}");
    }
    let no_local = SubscriptionOptions { no_local: true, ..plain };
    assert_eq!(subscribe(&mut a_broker(), "$share/g/a", no_local), Some(ReasonCode::ProtocolError));
    assert_eq!(subscribe(&mut a_broker(), "a", no_local), None);
    assert_eq!(subscribe(&mut a_broker(), "$share/g/a", plain), None);
}

// Sections 3.2.2.3.11 and 3.2.2.3.13: these are told in the SUBACK, the connection stays.
#[test]
fn mqtt_3_9_3_1_filters_of_a_kind_that_is_not_offered() {
    let policy = Policy {
        wildcard_subscription_available: false,
        shared_subscription_available: false,
        ..Policy::default()
    };
    let (open, limited) = (a_broker(), broker(Version::V5, &[], &policy));
    let table = [
        ("a", None),
        ("a/+", Some(ReasonCode::WildcardSubscriptionsNotSupported)),
        ("$share/g/a", Some(ReasonCode::SharedSubscriptionsNotSupported)),
    ];
    for (filter, refused) in table {
        let filter = TopicFilter::parse(filter).expect("well formed");
        assert_eq!(open.refuse_filter(&filter), None);
        assert_eq!(limited.refuse_filter(&filter), refused);
    }
}

// [MQTT-4.3.3-11]: a PUBREL always has its answer; [MQTT-4.3.3-4] for a PUBREC of something unknown.
#[test]
fn mqtt_4_3_3_11_acknowledgements_of_something_unknown() {
    let ack = |reason| Ack { packet_id: id(7), reason, properties: Properties::EMPTY };
    for mut protocol in [a_broker(), a_client()] {
        let success = ReasonCode::Success;
        let unknown = ReasonCode::PacketIdentifierNotFound as u8;
        let pubcomp = answer_to(&mut protocol, Packet::Pubrel(ack(success)));
        assert_eq!(pubcomp, Ok(vec![0x70, 3, 0, 7, unknown]));
        let pubrel = answer_to(&mut protocol, Packet::Pubrec(ack(success)));
        assert_eq!(pubrel, Ok(vec![0x62, 3, 0, 7, unknown]));
        let refused = answer_to(&mut protocol, Packet::Pubrec(ack(ReasonCode::QuotaExceeded)));
        assert_eq!(refused, Ok(Vec::new()));
        assert_eq!(answer_to(&mut protocol, Packet::Puback(ack(success))), Ok(Vec::new()));
        assert_eq!(answer_to(&mut protocol, Packet::Pubcomp(ack(success))), Ok(Vec::new()));
    }
}

// [MQTT-4.3.3-9]: a refused QoS 2 message is over with its PUBREC, so its identifier may be used anew.
#[test]
fn mqtt_4_3_3_9_a_refused_message_is_not_remembered() {
    let mut protocol = a_broker();
    for _ in 0..2 {
        let packet = publish(QoS::ExactlyOnce, 1, "t", Properties::EMPTY);
        let received = protocol.receive(packet, Instant::now(), &mut Vec::new());
        let Ok(Received::Publish(publish)) = received else { panic!("not handed out: {received:?}") };
        let ticket = publish.ticket();
        let mut out = Vec::new();
        protocol.answer_publish(ticket, ReasonCode::QuotaExceeded, &mut out);
        assert_eq!(out, [0x50, 3, 0, 1, ReasonCode::QuotaExceeded as u8]);
        assert_eq!(protocol.session().unreleased_len(), 0);
    }
}
