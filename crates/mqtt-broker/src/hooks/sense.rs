//! What sense an answer of a hook makes: whatever would break the standard counts as a failure of the hook.

use mqtt_codec::{Packet, PacketType, ReasonCode, SubscriptionOptions, Version, encoded_len};
use mqtt_session::{Opening, Refusal};
use mqtt_topic::{TopicFilter, TopicName};

use super::chain::FAILED;

/// A reason that this packet can refuse with.
pub(super) fn error_for(packet: PacketType, reason: ReasonCode) -> ReasonCode {
    if reason.is_error() && reason.allowed_in(packet) { reason } else { FAILED }
}

/// A refusal that this packet can say.
pub(crate) fn refusal_for(packet: PacketType, refusal: Refusal) -> Refusal {
    Refusal { reason: error_for(packet, refusal.reason), ..refusal }
}

pub(super) fn is_filter(text: &str) -> bool {
    TopicFilter::parse(text).is_ok()
}

/// Whether a hook left a subscription as it was, or made something of it that a SUBSCRIBE may ask for.
pub(super) fn is_subscribable(
    changed: &(String, SubscriptionOptions),
    before: (&String, SubscriptionOptions),
) -> bool {
    let is_same = changed.0 == *before.0 && changed.1.no_local == before.1.no_local;
    is_same || may_be_asked(&changed.0, changed.1)
}

/// Whether a SUBSCRIBE may ask for it ([MQTT-3.8.3-4]).
fn may_be_asked(filter: &str, options: SubscriptionOptions) -> bool {
    let parsed = TopicFilter::parse(filter);
    parsed.is_ok_and(|filter| !(options.no_local && filter.share_name().is_some()))
}

/// What a hook made of a CONNECT, as far as it can be granted: who connects and in which version stays as it is, and the
/// client is sent no more than it takes.
pub(super) fn grants_only_less(opening: &mut Opening, asked: Opening) {
    let theirs = &mut opening.theirs;
    theirs.receive_maximum = theirs.receive_maximum.min(asked.theirs.receive_maximum);
    theirs.maximum_packet_size_bytes =
        theirs.maximum_packet_size_bytes.min(asked.theirs.maximum_packet_size_bytes);
    theirs.topic_alias_maximum = theirs.topic_alias_maximum.min(asked.theirs.topic_alias_maximum);
    theirs.problem_information &= asked.theirs.problem_information;
    // What the client is not granted as it asked it must be told ([MQTT-3.2.2-22]).
    opening.keep_alive_changed |= opening.keep_alive_s != asked.keep_alive_s;
    opening.session_expiry_changed |= opening.session_expiry_s != asked.session_expiry_s;
    opening.version = asked.version;
    opening.client_id = asked.client_id;
    opening.client_id_assigned = asked.client_id_assigned;
    opening.authentication_method = asked.authentication_method;
    let is_shorter = |now: u16, before: u16| now != 0 && (before == 0 || now < before);
    if asked.version != Version::V5 && is_shorter(opening.keep_alive_s, asked.keep_alive_s) {
        opening.keep_alive_s = asked.keep_alive_s; // it could not be told, and would be cut off
    }
}

/// Whether a client may send this packet once it was admitted, as far as the packet itself tells.
pub(super) fn is_from_a_client(packet: &Packet<'_>) -> bool {
    match packet {
        Packet::Publish(publish) => is_topic_or_alias(packet, publish.topic),
        Packet::Subscribe(subscribe) => {
            subscribe.filters.iter().all(|entry| may_be_asked(entry.filter, entry.options))
        }
        Packet::Unsubscribe(unsubscribe) => unsubscribe.filters.iter().all(is_filter),
        Packet::Connect(_)
        | Packet::Connack(_)
        | Packet::Suback(_)
        | Packet::Unsuback(_)
        | Packet::Pingresp => false,
        Packet::Puback(_)
        | Packet::Pubrec(_)
        | Packet::Pubrel(_)
        | Packet::Pubcomp(_)
        | Packet::Pingreq
        | Packet::Disconnect(_)
        | Packet::Auth(_) => true,
    }
}

fn is_topic_or_alias(packet: &Packet<'_>, topic: &str) -> bool {
    let Packet::Publish(publish) = packet else { return false };
    let by_alias = topic.is_empty() && publish.properties.topic_alias().is_some();
    by_alias || TopicName::parse(topic).is_ok()
}

/// Whether a client can be sent `with` instead of `packet`: of the same kind, in the same exchange, no larger than it takes.
pub(super) fn stands_for(packet: &Packet<'_>, with: &Packet<'_>, version: Version, bytes_max: u32) -> bool {
    let fits = encoded_len(with, version).is_ok_and(|bytes| bytes <= bytes_max as usize);
    fits && match (packet, with) {
        (Packet::Publish(one), Packet::Publish(other)) => {
            (one.qos, one.packet_id) == (other.qos, other.packet_id) && is_topic_or_alias(with, other.topic)
        }
        (Packet::Puback(one), Packet::Puback(other))
        | (Packet::Pubrec(one), Packet::Pubrec(other))
        | (Packet::Pubrel(one), Packet::Pubrel(other))
        | (Packet::Pubcomp(one), Packet::Pubcomp(other)) => one.packet_id == other.packet_id,
        (Packet::Suback(one), Packet::Suback(other)) => {
            one.packet_id == other.packet_id && one.reasons.iter().count() == other.reasons.iter().count()
        }
        (Packet::Unsuback(one), Packet::Unsuback(other)) => {
            one.packet_id == other.packet_id && one.reasons.iter().count() == other.reasons.iter().count()
        }
        _ => packet.packet_type() == with.packet_type(),
    }
}
