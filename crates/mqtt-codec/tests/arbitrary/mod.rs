//! Packets of all types and versions for the property tests: owned parts that proptest makes and shrinks, and the packet that
//! is put together from them.

use mqtt_codec::{
    Ack, Auth, Connack, Connect, Disconnect, Packet, PacketId, PacketType, Properties, PropertiesBuf,
    PropertyId, PropertyPlace, PropertyRow, PropertyType, Publish, QoS, ReasonCode, ReasonCodes,
    ReasonCodesBuf, RetainHandling, Suback, Subscribe, SubscribeFiltersBuf, SubscriptionOptions, Unsuback,
    Unsubscribe, UnsubscribeFiltersBuf, Version, Will,
};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::select;

/// Values for every field that some packet has.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    packet_id: PacketId,
    qos: QoS,
    flags: [bool; 5],
    keep_alive_s: u16,
    reason: usize,
    texts: [String; 3],
    payload: Vec<u8>,
    list: Vec<(String, SubscriptionOptions, usize)>,
    properties: Vec<PropertyParts>,
    will_properties: Vec<PropertyParts>,
}

#[derive(Clone, Debug)]
struct PropertyParts {
    row: PropertyRow,
    number: u32,
    texts: [String; 2],
}

pub(crate) fn versions() -> impl Strategy<Value = Version> {
    select(&Version::ALL[..])
}

pub(crate) fn packet_types() -> impl Strategy<Value = PacketType> {
    select(&PacketType::ALL[..])
}

/// Texts of any characters but U+0000, of one to four bytes each.
fn text() -> impl Strategy<Value = String> {
    "[^\0]{0,20}"
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![
        proptest::strategy::Just(QoS::AtMostOnce),
        proptest::strategy::Just(QoS::AtLeastOnce),
        proptest::strategy::Just(QoS::ExactlyOnce),
    ]
}

fn options() -> impl Strategy<Value = SubscriptionOptions> {
    let handling =
        select(&[RetainHandling::SendAtSubscribe, RetainHandling::SendIfNew, RetainHandling::DoNotSend][..]);
    (qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        |(qos, no_local, retain_as_published, retain_handling)| SubscriptionOptions {
            qos,
            no_local,
            retain_as_published,
            retain_handling,
        },
    )
}

fn property() -> impl Strategy<Value = PropertyParts> {
    (select(PropertyId::TABLE), any::<u32>(), [text(), text()])
        .prop_map(|(row, number, texts)| PropertyParts { row, number, texts })
}

pub(crate) fn parts() -> impl Strategy<Value = Parts> {
    let simple = (any::<PacketId>(), qos(), any::<[bool; 5]>(), any::<u16>(), any::<usize>());
    let payload = prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 100..300)];
    let list = vec((text(), options(), any::<usize>()), 1..5);
    let properties = || vec(property(), 0..12);
    (simple, [text(), text(), text()], payload, list, properties(), properties()).prop_map(
        |(
            (packet_id, qos, flags, keep_alive_s, reason),
            texts,
            payload,
            list,
            properties,
            will_properties,
        )| {
            Parts {
                packet_id,
                qos,
                flags,
                keep_alive_s,
                reason,
                texts,
                payload,
                list,
                properties,
                will_properties,
            }
        },
    )
}

impl Parts {
    /// Hands a packet of this type, as the version allows it, to `check`; not called for AUTH before MQTT 5.
    pub(crate) fn with_packet(&self, packet: PacketType, version: Version, check: impl FnOnce(&Packet<'_>)) {
        let place = PropertyPlace::of_packet(packet);
        let properties =
            place.map_or_else(PropertiesBuf::new, |place| block(&self.properties, place, version));
        let will_properties = block(&self.will_properties, PropertyPlace::Will, version);
        let (blocks, id) = ((properties.as_properties(), will_properties.as_properties()), self.packet_id);
        let ack = || Ack { packet_id: id, reason: self.reason(packet, version), properties: blocks.0 };
        let (properties, reason) = (blocks.0, self.reason(packet, version));
        match packet {
            PacketType::Connect => check(&Packet::Connect(self.connect(version, blocks))),
            PacketType::Connack => check(&Packet::Connack(self.connack(version, properties))),
            PacketType::Publish => check(&Packet::Publish(self.publish(properties))),
            PacketType::Puback => check(&Packet::Puback(ack())),
            PacketType::Pubrec => check(&Packet::Pubrec(ack())),
            PacketType::Pubrel => check(&Packet::Pubrel(ack())),
            PacketType::Pubcomp => check(&Packet::Pubcomp(ack())),
            PacketType::Subscribe => self.with_subscribe(version, properties, check),
            PacketType::Suback => self.with_suback(version, properties, check),
            PacketType::Unsubscribe => self.with_unsubscribe(properties, check),
            PacketType::Unsuback => self.with_unsuback(version, properties, check),
            PacketType::Pingreq => check(&Packet::Pingreq),
            PacketType::Pingresp => check(&Packet::Pingresp),
            PacketType::Disconnect => check(&Packet::Disconnect(Disconnect { reason, properties })),
            PacketType::Auth => self.with_auth(version, properties, check),
        }
    }

    fn connect<'a>(&'a self, version: Version, blocks: (Properties<'a>, Properties<'a>)) -> Connect<'a> {
        let [clean_start, has_will, has_username, has_password, retain] = self.flags;
        let will = Will {
            qos: self.qos,
            retain,
            properties: blocks.1,
            topic: &self.texts[1],
            payload: &self.payload,
        };
        let username = has_username.then_some(&*self.texts[2]);
        let may_have_password = username.is_some() || version == Version::V5;
        Connect {
            version,
            clean_start,
            keep_alive_s: self.keep_alive_s,
            properties: blocks.0,
            client_id: &self.texts[0],
            will: has_will.then_some(will),
            username,
            password: (has_password && may_have_password).then_some(&self.payload),
        }
    }

    fn connack<'a>(&self, version: Version, properties: Properties<'a>) -> Connack<'a> {
        let refusals = [
            ReasonCode::Success,
            ReasonCode::UnsupportedProtocolVersion,
            ReasonCode::ClientIdentifierNotValid,
            ReasonCode::ServerUnavailable,
            ReasonCode::BadUserNameOrPassword,
            ReasonCode::NotAuthorized,
        ];
        let reason = match version {
            Version::V5 => self.reason(PacketType::Connack, version),
            _ => refusals[self.reason % refusals.len()],
        };
        let session_present = self.flags[0] && !reason.is_error() && version != Version::V3_1;
        Connack { session_present, reason, properties }
    }

    fn publish<'a>(&'a self, properties: Properties<'a>) -> Publish<'a> {
        let has_id = self.qos != QoS::AtMostOnce;
        let topic = &*self.texts[0];
        Publish {
            dup: self.flags[0] && has_id,
            qos: self.qos,
            retain: self.flags[1],
            topic: if topic.is_empty() && properties.topic_alias().is_none() { "t" } else { topic },
            packet_id: has_id.then_some(self.packet_id),
            properties,
            payload: &self.payload,
        }
    }

    fn with_subscribe(&self, version: Version, properties: Properties<'_>, check: impl FnOnce(&Packet<'_>)) {
        let mut filters = SubscribeFiltersBuf::new();
        for (filter, options, _) in &self.list {
            let options =
                if version == Version::V5 { *options } else { SubscriptionOptions::at(options.qos) };
            filters.push(filter, options).expect("short");
        }
        let filters = filters.as_filters();
        check(&Packet::Subscribe(Subscribe { packet_id: self.packet_id, properties, filters }));
    }

    fn with_suback(&self, version: Version, properties: Properties<'_>, check: impl FnOnce(&Packet<'_>)) {
        let reasons: ReasonCodesBuf =
            self.list.iter().map(|(_, _, at)| reason(*at, PacketType::Suback, version)).collect();
        let reasons = reasons.as_reasons();
        check(&Packet::Suback(Suback { packet_id: self.packet_id, properties, reasons }));
    }

    fn with_unsubscribe(&self, properties: Properties<'_>, check: impl FnOnce(&Packet<'_>)) {
        let mut filters = UnsubscribeFiltersBuf::new();
        self.list.iter().for_each(|(filter, _, _)| filters.push(filter).expect("short"));
        let filters = filters.as_filters();
        check(&Packet::Unsubscribe(Unsubscribe { packet_id: self.packet_id, properties, filters }));
    }

    fn with_unsuback(&self, version: Version, properties: Properties<'_>, check: impl FnOnce(&Packet<'_>)) {
        let reasons: ReasonCodesBuf =
            self.list.iter().map(|(_, _, at)| reason(*at, PacketType::Unsuback, version)).collect();
        let reasons = if version == Version::V5 { reasons.as_reasons() } else { ReasonCodes::EMPTY };
        check(&Packet::Unsuback(Unsuback { packet_id: self.packet_id, properties, reasons }));
    }

    fn with_auth(&self, version: Version, properties: Properties<'_>, check: impl FnOnce(&Packet<'_>)) {
        let reason = match (version, properties.authentication_method()) {
            (Version::V5, Some(_)) => self.reason(PacketType::Auth, version),
            (Version::V5, None) => return check(&Packet::Auth(BARE_AUTH)),
            _ => return,
        };
        check(&Packet::Auth(Auth { reason, properties }));
    }

    fn reason(&self, packet: PacketType, version: Version) -> ReasonCode {
        reason(self.reason, packet, version)
    }
}

const BARE_AUTH: Auth<'static> = Auth { reason: ReasonCode::Success, properties: Properties::EMPTY };

/// One of the reason codes that the packet can tell in this version.
fn reason(at: usize, packet: PacketType, version: Version) -> ReasonCode {
    let tellable = |reason: ReasonCode| match (version, packet) {
        (Version::V5, _) => true,
        (_, PacketType::Suback) => !reason.is_error() || reason == ReasonCode::UnspecifiedError,
        _ => reason == ReasonCode::Success,
    };
    let all = ReasonCode::ALL.iter().copied();
    let allowed: Vec<_> = all.filter(|reason| reason.allowed_in(packet) && tellable(*reason)).collect();
    if allowed.is_empty() { ReasonCode::Success } else { allowed[at % allowed.len()] }
}

/// A block of those parts that may stand in this place, each as often as it may.
fn block(parts: &[PropertyParts], place: PropertyPlace, version: Version) -> PropertiesBuf {
    let mut block = PropertiesBuf::new();
    if version != Version::V5 {
        return block;
    }
    let mut used: Vec<PropertyId> = Vec::new();
    for part in parts.iter().filter(|part| part.row.allowed_in(place)) {
        let needs_method = part.row.id == PropertyId::AuthenticationData;
        let repeated = used.contains(&part.row.id) && !part.row.repeats_in(place);
        if repeated || needs_method && !used.contains(&PropertyId::AuthenticationMethod) {
            continue;
        }
        used.push(part.row.id);
        let bytes = part.bytes();
        let property = Properties::parse(&bytes, place).ok().and_then(|block| block.iter().next());
        match property {
            Some(property) => block.push(&property).expect("decoded properties are in range"),
            None => block.extend_from(Properties::from_validated(&bytes)),
        }
    }
    block
}

impl PropertyParts {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.row.id as u8];
        match self.row.value {
            PropertyType::Flag => bytes.push((self.number & 1) as u8),
            PropertyType::TwoByteInteger => bytes.extend((self.number as u16).to_be_bytes()),
            PropertyType::TwoByteNonZero => bytes.extend((self.number as u16).max(1).to_be_bytes()),
            PropertyType::FourByteInteger => bytes.extend(self.number.to_be_bytes()),
            PropertyType::FourByteNonZero => bytes.extend(self.number.max(1).to_be_bytes()),
            PropertyType::VariableByteNonZero => {
                let mut rest = (self.number >> (4 + self.number % 28)).max(1);
                while rest >= 0x80 {
                    bytes.push(rest as u8 | 0x80);
                    rest >>= 7;
                }
                bytes.push(rest as u8);
            }
            PropertyType::Utf8String | PropertyType::BinaryData => push(&mut bytes, &self.texts[0]),
            PropertyType::Utf8StringPair => self.texts.iter().for_each(|text| push(&mut bytes, text)),
        }
        bytes
    }
}

fn push(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend(text.as_bytes());
}
