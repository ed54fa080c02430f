//! CONNECT and CONNACK as a server judges and writes them (sections 3.1 and 3.2).

mod support;

use core::num::{NonZeroU16, NonZeroU32};

use mqtt_codec::{Connect, Packet, Properties, Property, QoS, ReasonCode, Version, Will};
use mqtt_session::{Opening, OurLimits, Policy, Refusal, write_refusal};
use support::{block, connect, only};

fn accept(connect: &Connect<'_>, policy: &Policy) -> Result<Opening, ReasonCode> {
    Opening::accept(connect, policy, || "assigned".into()).map_err(|violation| violation.reason)
}

/// Which identifier is used, or why none is.
fn client_id(
    version: Version,
    client_id: &str,
    clean_start: bool,
    policy: &Policy,
) -> Result<Box<str>, ReasonCode> {
    let connect = Connect { client_id, clean_start, ..connect(version, Properties::EMPTY) };
    accept(&connect, policy).map(|opening| opening.client_id)
}

// [MQTT3-3.1.2-2]
#[test]
fn mqtt_3_1_2_2_versions_outside_the_policy_are_refused() {
    for (at, min) in Version::ALL.into_iter().enumerate() {
        for max in Version::ALL.into_iter().skip(at) {
            let policy = Policy { version_min: min, version_max: max, ..Policy::default() };
            for version in Version::ALL {
                let accepted = accept(&connect(version, Properties::EMPTY), &policy);
                let expected = if (min..=max).contains(&version) {
                    None
                } else {
                    Some(ReasonCode::UnsupportedProtocolVersion)
                };
                assert_eq!(accepted.err(), expected);
            }
        }
    }
}

// [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.1.3-8], [MQTT3-3.1.3-7], [MQTT3-3.1.3-8], [MQTT3-3.1.3-9]
#[test]
fn mqtt_3_1_3_6_empty_client_identifiers_by_version() {
    let assigning = Policy::default();
    let strict = Policy { empty_client_id_allowed: false, ..Policy::default() };
    let refused = Err(ReasonCode::ClientIdentifierNotValid);
    let assigned: Result<Box<str>, _> = Ok("assigned".into());
    let table = [
        (Version::V3_1, true, &refused),
        (Version::V3_1, false, &refused),
        (Version::V3_1_1, true, &assigned),
        (Version::V3_1_1, false, &refused),
        (Version::V5, true, &assigned),
        (Version::V5, false, &assigned),
    ];
    for (version, clean_start, expected) in table {
        assert_eq!(&client_id(version, "", clean_start, &assigning), expected, "{version} {clean_start}");
        assert_eq!(client_id(version, "", clean_start, &strict), refused);
        assert_eq!(client_id(version, "own", clean_start, &strict), Ok("own".into()));
    }
}

// [MQTT3-3.1.3-5]
#[test]
fn mqtt_3_1_3_5_the_longest_client_identifier() {
    let policy = Policy { client_id_bytes_max: 23, ..Policy::default() };
    for version in Version::ALL {
        let longest = "0123456789abcdefABCDEFz";
        assert_eq!(client_id(version, longest, true, &policy), Ok(longest.into()));
        let longer = format!("{longest}y");
        let refused = Err(ReasonCode::ClientIdentifierNotValid);
        assert_eq!(client_id(version, &longer, true, &policy), refused);
    }
}

fn session_expiry_s(version: Version, clean_start: bool, asked_s: Option<u32>, max_s: u32) -> (u32, bool) {
    let properties: Vec<_> = asked_s.map(Property::SessionExpiryInterval).into_iter().collect();
    let properties = block(&properties);
    let connect = Connect { clean_start, ..connect(version, properties.as_properties()) };
    let policy = Policy { session_expiry_max_s: max_s, session_expiry_v3_s: 100, ..Policy::default() };
    let opening = accept(&connect, &policy).expect("admitted");
    (opening.session_expiry_s, opening.session_expiry_changed)
}

// [MQTT3-3.1.2-4], [MQTT3-3.1.2-5], [MQTT3-3.1.2-6]; section 3.1.2.11.2.
#[test]
fn mqtt_3_1_2_23_how_long_a_session_is_kept_by_version() {
    const FOREVER: u32 = u32::MAX;
    for version in [Version::V3_1, Version::V3_1_1] {
        assert_eq!(session_expiry_s(version, true, None, FOREVER).0, 0);
        assert_eq!(session_expiry_s(version, false, None, FOREVER).0, 100);
        assert_eq!(session_expiry_s(version, false, None, 50).0, 50);
    }
    for clean_start in [true, false] {
        let v5 = |asked_s, max_s| session_expiry_s(Version::V5, clean_start, asked_s, max_s);
        assert_eq!(v5(None, FOREVER), (0, false));
        assert_eq!(v5(Some(0), FOREVER), (0, false));
        assert_eq!(v5(Some(10), FOREVER), (10, false));
        assert_eq!(v5(Some(FOREVER), FOREVER), (FOREVER, false));
        assert_eq!(v5(Some(FOREVER), 50), (50, true));
    }
}

// [MQTT-3.2.2-21], [MQTT-3.2.2-22]: only MQTT 5 clients can be told of another Keep Alive.
#[test]
fn mqtt_3_2_2_21_the_keep_alive_granted_by_version() {
    for (asked, maximum, granted_v5) in
        [(0, 0, 0), (65_535, 0, 65_535), (0, 30, 30), (29, 30, 29), (30, 30, 30), (31, 30, 30)]
    {
        let policy = Policy { keep_alive_max_s: maximum, ..Policy::default() };
        for version in Version::ALL {
            let connect = Connect { keep_alive_s: asked, ..connect(version, Properties::EMPTY) };
            let opening = accept(&connect, &policy).expect("admitted");
            let granted = if version == Version::V5 { granted_v5 } else { asked };
            assert_eq!(
                (opening.keep_alive_s, opening.keep_alive_changed),
                (granted, granted != asked),
                "{version}"
            );
        }
    }
}

fn with_will(topic: &str, qos: QoS, retain: bool, policy: &Policy) -> Vec<Option<ReasonCode>> {
    let accepted = Version::ALL.map(|version| {
        let will = Will { qos, retain, properties: Properties::EMPTY, topic, payload: b"gone" };
        accept(&Connect { will: Some(will), ..connect(version, Properties::EMPTY) }, policy).err()
    });
    accepted.into()
}

// [MQTT-3.2.2-13] and the topic's rules (section 4.7).
#[test]
fn mqtt_3_2_2_12_wills_that_cannot_be_published_are_refused() {
    let open = Policy::default();
    let limited = Policy { maximum_qos: QoS::AtLeastOnce, retain_available: false, ..Policy::default() };
    assert_eq!(with_will("w", QoS::ExactlyOnce, true, &open), [None; 3]);
    assert_eq!(with_will("w", QoS::AtLeastOnce, false, &limited), [None; 3]);
    let refused = |reason| [Some(reason); 3];
    assert_eq!(with_will("w", QoS::ExactlyOnce, false, &limited), refused(ReasonCode::QoSNotSupported));
    assert_eq!(with_will("w", QoS::AtMostOnce, true, &limited), refused(ReasonCode::RetainNotSupported));
    for topic in ["", "a/#", "+"] {
        assert_eq!(with_will(topic, QoS::AtMostOnce, false, &open), refused(ReasonCode::TopicNameInvalid));
    }
}

fn connack(opening: &Opening, policy: &Policy, session_present: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    opening.write_connack(policy, session_present, None, &mut bytes).expect("it fits");
    bytes
}

// [MQTT3-3.2.2-2]; MQTT 3.1 has no such flag.
#[test]
fn mqtt_3_2_2_2_session_present_is_told() {
    for version in [Version::V3_1_1, Version::V5] {
        let opening = accept(&connect(version, Properties::EMPTY), &Policy::default()).expect("admitted");
        for present in [false, true] {
            let bytes = connack(&opening, &Policy::default(), present);
            let Packet::Connack(connack) = only(&bytes, version) else { panic!("no CONNACK") };
            assert_eq!((connack.session_present, connack.reason), (present, ReasonCode::Success));
        }
    }
}

// [MQTT-3.2.2-9], [MQTT-3.2.2-16], [MQTT-3.2.2-22], [MQTT-3.1.2-28]: all that differs from the standard's defaults.
#[test]
fn mqtt_3_2_2_9_everything_that_is_limited_is_announced() {
    let policy = Policy {
        ours: OurLimits {
            receive_maximum: NonZeroU16::new(9).expect("not zero"),
            maximum_packet_size_bytes: 1_000,
            topic_alias_maximum: 4,
        },
        maximum_qos: QoS::AtLeastOnce,
        retain_available: false,
        wildcard_subscription_available: false,
        subscription_identifiers_available: false,
        shared_subscription_available: false,
        keep_alive_max_s: 30,
        session_expiry_max_s: 50,
        response_information: Some("answers".into()),
        ..Policy::default()
    };
    let asked = block(&[Property::SessionExpiryInterval(60), Property::RequestResponseInformation(true)]);
    let request = Connect { client_id: "", ..connect(Version::V5, asked.as_properties()) };
    let bytes = connack(&accept(&request, &policy).expect("admitted"), &policy, false);
    let Packet::Connack(connack) = only(&bytes, Version::V5) else { panic!("no CONNACK") };
    let told: Vec<_> = connack.properties.iter().collect();
    let expected = [
        Property::SessionExpiryInterval(50),
        Property::ReceiveMaximum(policy.ours.receive_maximum),
        Property::MaximumQoS(QoS::AtLeastOnce),
        Property::RetainAvailable(false),
        Property::MaximumPacketSize(NonZeroU32::new(1_000).expect("not zero")),
        Property::AssignedClientIdentifier("assigned"),
        Property::TopicAliasMaximum(4),
        Property::WildcardSubscriptionAvailable(false),
        Property::SubscriptionIdentifiersAvailable(false),
        Property::SharedSubscriptionAvailable(false),
        Property::ServerKeepAlive(30),
        Property::ResponseInformation("answers/assigned"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn mqtt_3_2_2_9_what_is_not_limited_is_not_announced() {
    let policy = Policy { ours: OurLimits::default(), ..Policy::default() };
    let opening = accept(&connect(Version::V5, Properties::EMPTY), &policy).expect("admitted");
    assert_eq!(connack(&opening, &policy, false), [0x20, 3, 0, 0, 0]);
}

// [MQTT-3.1.2-24]: nothing in a CONNACK may be left away, so a client with too small a limit is not admitted.
#[test]
fn mqtt_3_1_2_24_a_connack_that_does_not_fit_is_not_written() {
    let policy = Policy { ours: OurLimits::default(), ..Policy::default() };
    for (bytes, fits) in [(5, true), (4, false), (1, false)] {
        let size = block(&[Property::MaximumPacketSize(NonZeroU32::new(bytes).expect("not zero"))]);
        let opening = accept(&connect(Version::V5, size.as_properties()), &policy).expect("admitted");
        let mut out = Vec::new();
        assert_eq!(opening.write_connack(&policy, false, None, &mut out).is_ok(), fits);
        assert_eq!(out.is_empty(), !fits);
    }
}

fn refuse(version: Version, bytes_max: u32) -> Vec<u8> {
    let refusal = Refusal {
        reason: ReasonCode::UseAnotherServer,
        text: Some("far too many clients are here".into()),
        server_reference: Some("other:1883".into()),
    };
    let mut out = Vec::new();
    write_refusal(version, &refusal, bytes_max, &mut out);
    assert!(out.len() <= bytes_max as usize);
    out
}

// [MQTT-3.2.2-20]; the reason alone needs five bytes.
#[test]
fn mqtt_3_2_2_19_a_refusal_fits_the_client() {
    let full = refuse(Version::V5, u32::MAX).len() as u32;
    let mut told = Vec::new();
    for bytes_max in (0..=full).rev() {
        let bytes = refuse(Version::V5, bytes_max);
        if bytes.is_empty() {
            assert!(bytes_max < 5);
            continue;
        }
        let Packet::Connack(connack) = only(&bytes, Version::V5) else { panic!("no CONNACK") };
        // [MQTT-3.2.2-6]
        assert_eq!((connack.session_present, connack.reason), (false, ReasonCode::UseAnotherServer));
        told.push((
            connack.properties.server_reference().is_some(),
            connack.properties.reason_string().is_some(),
        ));
    }
    told.dedup();
    assert_eq!(told, [(true, true), (true, false), (false, false)]);
}

// [MQTT3-3.2.2-4], [MQTT3-3.2.2-5], [MQTT3-3.2.2-6]: a return code stands for it, or there is no answer at all.
#[test]
fn mqtt3_3_2_2_6_refusals_before_mqtt_5() {
    let table = [
        (ReasonCode::UnsupportedProtocolVersion, Some(1)),
        (ReasonCode::ClientIdentifierNotValid, Some(2)),
        (ReasonCode::ServerUnavailable, Some(3)),
        (ReasonCode::BadUserNameOrPassword, Some(4)),
        (ReasonCode::NotAuthorized, Some(5)),
        (ReasonCode::MalformedPacket, None),
        (ReasonCode::ProtocolError, None),
    ];
    for version in [Version::V3_1, Version::V3_1_1] {
        for (reason, code) in table {
            let mut out = Vec::new();
            write_refusal(version, &reason.into(), u32::MAX, &mut out);
            let expected: Vec<u8> = code.map(|code| vec![0x20, 2, 0, code]).unwrap_or_default();
            assert_eq!(out, expected, "{reason}");
        }
    }
}
