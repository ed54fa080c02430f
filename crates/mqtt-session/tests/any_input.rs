//! Whatever a peer sends, and whenever: no panic, and the bounds hold.

mod support;

use std::time::{Duration, Instant};

use mqtt_codec::{
    Ack, Auth, Disconnect, Packet, PacketId, Properties, PropertiesBuf, Property, Publish, QoS, ReasonCode,
    ReasonCodes, ReasonCodesBuf, Suback, Subscribe, SubscribeFiltersBuf, SubscriptionOptions, Unsuback,
    Unsubscribe, UnsubscribeFiltersBuf, Version, decode, encode,
};
use mqtt_session::{OurLimits, Policy, Protocol, Received};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_oneof, proptest};
use proptest::sample::select;
use support::{broker, client, connect, delivery};

/// Numbers that pick one of few values in every field, so that packets often speak of the same thing.
#[derive(Clone, Debug)]
struct Parts {
    kind: u8,
    number: u16,
    qos: QoS,
    flags: [bool; 3],
    reason: ReasonCode,
    topic: &'static str,
    alias: u16,
    seconds: Option<u32>,
    /// Replaces one byte of the encoded packet.
    damage: Option<(usize, u8)>,
}

#[derive(Clone, Debug)]
enum Step {
    Receive(Parts),
    Frame(Vec<u8>),
    Deliver(QoS, &'static str),
    Subscribe,
    Unsubscribe,
    /// Time passes, and a new connection takes over the session.
    Resume(u32),
}

const TOPICS: [&str; 8] = ["", "a", "a/b", "+", "a/#", "$share/g/a", "$share//a", "$SYS/x"];

fn parts() -> impl Strategy<Value = Parts> {
    let qos = select(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][..]);
    let damage = proptest::option::weighted(0.25, (any::<usize>(), any::<u8>()));
    let numbers = (0_u8..15, 0_u16..6, qos, any::<[bool; 3]>());
    let rest = (select(ReasonCode::ALL), select(&TOPICS[..]), 0_u16..5, proptest::option::of(0_u32..5));
    (numbers, rest, damage).prop_map(
        |((kind, number, qos, flags), (reason, topic, alias, seconds), damage)| Parts {
            kind,
            number,
            qos,
            flags,
            reason,
            topic,
            alias,
            seconds,
            damage,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let qos = select(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][..]);
    let step = prop_oneof![
        12 => parts().prop_map(Step::Receive),
        1 => vec(any::<u8>(), 2..20).prop_map(Step::Frame),
        4 => (qos, select(&["a", "a/b", "c"][..])).prop_map(|(qos, topic)| Step::Deliver(qos, topic)),
        1 => any::<bool>().prop_map(|add| if add { Step::Subscribe } else { Step::Unsubscribe }),
        1 => (0_u32..5).prop_map(Step::Resume),
    ];
    vec(step, 0..80)
}

impl Parts {
    fn properties(&self) -> PropertiesBuf {
        let mut properties = PropertiesBuf::new();
        let mut push = |property: Property<'_>| properties.push(&property).expect("in range");
        match self.kind {
            2..=4 => {
                if let Some(alias) = core::num::NonZeroU16::new(self.alias) {
                    push(Property::TopicAlias(alias));
                }
                self.seconds.into_iter().for_each(|seconds| push(Property::MessageExpiryInterval(seconds)));
                if self.flags[2] {
                    push(Property::ResponseTopic(self.topic));
                }
            }
            8 if self.flags[2] => push(Property::SubscriptionIdentifier(1)),
            13 => {
                self.seconds.into_iter().for_each(|seconds| push(Property::SessionExpiryInterval(seconds)));
            }
            14 if self.flags[2] => {
                push(Property::AuthenticationMethod(if self.flags[0] { "m" } else { "n" }))
            }
            _ => {}
        }
        properties
    }

    /// The packet on the wire, where it can be put there.
    fn encoded(&self, version: Version) -> Option<Vec<u8>> {
        let buffer = if version == Version::V5 { self.properties() } else { PropertiesBuf::new() };
        let properties = buffer.as_properties();
        let packet_id = PacketId::new(self.number).unwrap_or(PacketId::MAX);
        let reason = self.reason;
        let ack = Ack { packet_id, reason, properties };
        let mut filters = SubscribeFiltersBuf::new();
        let no_local = self.flags[0] && version == Version::V5;
        let options = SubscriptionOptions { qos: self.qos, no_local, ..SubscriptionOptions::default() };
        filters.push(self.topic, options).ok()?;
        let mut names = UnsubscribeFiltersBuf::new();
        names.push(self.topic).ok()?;
        let mut reasons = ReasonCodesBuf::new();
        reasons.push(ReasonCode::Success);
        let none = if version == Version::V5 { reasons.as_reasons() } else { ReasonCodes::EMPTY };
        let packet = match self.kind {
            0 => Packet::Pingreq,
            1 => Packet::Pingresp,
            2..=4 => Packet::Publish(self.publish(packet_id, properties)),
            5 => Packet::Puback(ack),
            6 => Packet::Pubrec(ack),
            7 => Packet::Pubrel(ack),
            8 => Packet::Subscribe(Subscribe { packet_id, properties, filters: filters.as_filters() }),
            9 => Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters: names.as_filters() }),
            10 => Packet::Suback(Suback { packet_id, properties, reasons: reasons.as_reasons() }),
            11 => Packet::Unsuback(Unsuback { packet_id, properties, reasons: none }),
            12 => Packet::Pubcomp(ack),
            13 => Packet::Disconnect(Disconnect { reason, properties }),
            _ if self.flags[1] => Packet::Connect(connect(version, Properties::EMPTY)),
            _ => Packet::Auth(Auth { reason, properties }),
        };
        let mut bytes = Vec::new();
        encode(&packet, version, &mut bytes).ok()?;
        if let Some((at, byte)) = self.damage {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        Some(bytes)
    }

    fn publish<'a>(&self, packet_id: PacketId, properties: Properties<'a>) -> Publish<'a> {
        let has_id = self.qos > QoS::AtMostOnce;
        Publish {
            dup: self.flags[0] && has_id,
            qos: self.qos,
            retain: self.flags[1],
            topic: self.topic,
            packet_id: has_id.then_some(packet_id),
            properties,
            payload: b"payload",
        }
    }
}

/// Lets the protocol take the packet and answers it as an application would.
fn receive(protocol: &mut Protocol, bytes: &[u8], now: Instant, out: &mut Vec<u8>) {
    let version = protocol.version();
    let Ok(packet) = decode(bytes, version) else { return };
    let Ok(received) = protocol.receive(packet, now, out) else { return };
    match received {
        Received::Publish(publish) => {
            let (ticket, message) = (publish.ticket(), publish.message(1));
            assert!(!message.topic().is_empty());
            // Some applications refuse what others take.
            let refused = message.topic().len() % 2 == 0;
            let reason = if refused { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
            protocol.answer_publish(ticket, reason, out);
        }
        Received::Subscribe(subscribe) => {
            let reasons: ReasonCodesBuf = subscribe.filters.iter().map(|_| ReasonCode::Success).collect();
            protocol.send_suback(subscribe.packet_id, reasons.as_reasons(), out);
        }
        Received::Unsubscribe(unsubscribe) => {
            let reasons: ReasonCodesBuf = unsubscribe.filters.iter().map(|_| ReasonCode::Success).collect();
            protocol.send_unsuback(unsubscribe.packet_id, reasons.as_reasons(), out);
        }
        _ => {}
    }
}

fn play(protocol: &mut Protocol, steps: &[Step]) -> Vec<u8> {
    let mut now = Instant::now();
    let mut out = Vec::new();
    let mut filters = SubscribeFiltersBuf::new();
    filters.push("a", SubscriptionOptions::default()).expect("short");
    let mut names = UnsubscribeFiltersBuf::new();
    names.push("a").expect("short");
    for step in steps {
        match step {
            Step::Receive(parts) => {
                if let Some(bytes) = parts.encoded(protocol.version()) {
                    receive(protocol, &bytes, now, &mut out);
                }
            }
            Step::Frame(bytes) => {
                let mut bytes = bytes.clone();
                bytes[1] = bytes.len() as u8 - 2;
                receive(protocol, &bytes, now, &mut out);
            }
            Step::Deliver(qos, topic) => {
                if *qos == QoS::AtMostOnce || protocol.window_free() > 0 {
                    protocol.deliver(delivery(topic, b"payload", *qos), now, &mut out).ok();
                }
            }
            Step::Subscribe => {
                protocol.send_subscribe(filters.as_filters(), Properties::EMPTY, &mut out);
            }
            Step::Unsubscribe => {
                protocol.send_unsubscribe(names.as_filters(), Properties::EMPTY, &mut out);
            }
            Step::Resume(seconds) => {
                now += Duration::from_secs(u64::from(*seconds));
                protocol.resume(now, &mut out);
            }
        }
        protocol.continue_resending(now, &mut out);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn invariant_1_no_input_makes_either_role_panic(
        version in select(&Version::ALL[..]),
        with_method in any::<bool>(),
        steps in steps(),
    ) {
        let mut announced = vec![Property::ReceiveMaximum(3.try_into().expect("not zero"))];
        announced.push(Property::TopicAliasMaximum(2));
        announced.push(Property::MaximumPacketSize(30.try_into().expect("not zero")));
        let mut asked = Vec::new();
        if with_method {
            asked.push(Property::AuthenticationMethod("m"));
        }
        let mut policy = Policy { inflight_max: 3.try_into().expect("not zero"), ..Policy::default() };
        policy.ours.receive_maximum = 2.try_into().expect("not zero");
        let ours = OurLimits { topic_alias_maximum: 2, ..policy.ours };

        let both: Vec<_> = announced.iter().chain(&asked).copied().collect();
        let server = if version == Version::V5 {
            broker(version, &both, &policy)
        } else {
            broker(version, &[], &policy)
        };
        let mut ends = vec![server];
        if version == Version::V5 {
            ends.push(client(&asked, &announced, ours));
        }
        for mut protocol in ends {
            let out = play(&mut protocol, &steps);
            for frame in support::split(&out) {
                prop_assert!(decode(&frame, version).is_ok());
                prop_assert!(frame.len() <= protocol.theirs().maximum_packet_size_bytes as usize);
            }
            if version == Version::V5 {
                let connections = 1 + steps.iter().filter(|step| matches!(step, Step::Resume(_))).count();
                prop_assert!(protocol.session().unreleased_len() <= 2 * connections);
            }
            let finished = protocol.finish();
            drop(finished.session.into_unacknowledged());
        }
    }
}
