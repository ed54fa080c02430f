//! One message in one format.

use jiff::Zoned;
use mqtt_codec::{Properties, QoS};

use super::format::{Field, Format, Layout, Piece, strftime};
use super::json;

/// A message that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// 0 at QoS 0.
    pub(crate) packet_id: u16,
    pub(crate) properties: Properties<'a>,
    /// When it arrived, in the local time zone.
    pub(crate) at: Zoned,
}

/// Appends the message to `out`.
///
/// # Errors
/// The format wants the payload as JSON, and it is none.
pub(crate) fn render(
    format: &Format,
    message: &Received<'_>,
    pretty: bool,
    out: &mut Vec<u8>,
) -> Result<(), json::NoJson> {
    for piece in &format.pieces {
        match piece {
            Piece::Literal(bytes) => out.extend_from_slice(bytes),
            Piece::Time(format) => out.extend(time(format, &message.at).bytes()),
            Piece::Nanoseconds => out.extend(format!("{:09}", message.at.subsec_nanosecond()).bytes()),
            Piece::Field(Field::Json, _) => json::write(message, json::Payload::Text, pretty, out)?,
            Piece::Field(Field::JsonPayload, _) => json::write(message, json::Payload::Json, pretty, out)?,
            Piece::Field(field, layout) => fit(&value(*field, message), *field, *layout, out),
        }
    }
    Ok(())
}

/// The bytes of a field; none where the message has no such property.
fn value(field: Field, message: &Received<'_>) -> Vec<u8> {
    let properties = &message.properties;
    let text = match field {
        Field::Payload => return message.payload.to_vec(),
        Field::CorrelationData => return properties.correlation_data().unwrap_or_default().to_vec(),
        Field::LowerHex => hex(message.payload),
        Field::UpperHex => hex(message.payload).to_uppercase(),
        Field::Topic => message.topic.to_owned(),
        Field::ContentType => properties.content_type().unwrap_or_default().to_owned(),
        Field::ResponseTopic => properties.response_topic().unwrap_or_default().to_owned(),
        Field::TopicAlias => optional(properties.topic_alias()),
        Field::MessageExpiryInterval => optional(properties.message_expiry_interval_s()),
        Field::PayloadFormatIndicator => optional(properties.payload_format_is_utf8().map(u8::from)),
        Field::PayloadLength => message.payload.len().to_string(),
        Field::PacketId => message.packet_id.to_string(),
        Field::QoS => (message.qos as u8).to_string(),
        Field::Retain => u8::from(message.retain).to_string(),
        Field::UserProperties => {
            joined(properties.user_properties().map(|(key, value)| format!("{key}:{value}")), " ")
        }
        Field::SubscriptionIdentifiers => {
            joined(properties.subscription_identifiers().map(|id| id.to_string()), ",")
        }
        Field::IsoTime => time("%Y-%m-%dT%H:%M:%S%z", &message.at),
        Field::UnixTime => {
            let at = message.at.timestamp();
            format!("{}.{:09}", at.as_second(), at.subsec_nanosecond())
        }
        Field::Json | Field::JsonPayload => unreachable!("written by another module"),
    };
    text.into_bytes()
}

fn optional<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn joined(texts: impl Iterator<Item = String>, separator: &str) -> String {
    texts.collect::<Vec<_>>().join(separator)
}

fn time(format: &str, at: &Zoned) -> String {
    strftime(format, at).expect("the format was tried when it was read")
}

/// The bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Cuts text off at its maximum width, and fills every field up to its minimum width.
fn fit(value: &[u8], field: Field, layout: Layout, out: &mut Vec<u8>) {
    let cut = match field {
        Field::ContentType | Field::ResponseTopic | Field::Topic => layout.width_max,
        _ => None,
    };
    let value = &value[..value.len().min(cut.unwrap_or(usize::MAX))];
    let filling = match field {
        Field::QoS | Field::Retain | Field::UnixTime | Field::CorrelationData | Field::UserProperties => 0,
        _ => layout.width_min.saturating_sub(value.len()),
    };
    let filler = if layout.zeros && !layout.left && takes_zeros(field) { b'0' } else { b' ' };
    if !layout.left {
        out.resize(out.len() + filling, filler);
    }
    out.extend_from_slice(value);
    if layout.left {
        out.resize(out.len() + filling, b' ');
    }
}

fn takes_zeros(field: Field) -> bool {
    !matches!(
        field,
        Field::ContentType | Field::ResponseTopic | Field::Topic | Field::Payload | Field::IsoTime
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use mqtt_codec::{PropertiesBuf, Property};

    use super::*;

    /// Some properties of every kind that a message can have.
    pub(crate) fn properties() -> PropertiesBuf {
        let mut properties = PropertiesBuf::new();
        for property in [
            Property::PayloadFormatIndicator(true),
            Property::MessageExpiryInterval(266),
            Property::ContentType("text"),
            Property::ResponseTopic("r/t"),
            Property::CorrelationData(b"abc"),
            Property::SubscriptionIdentifier(5),
            Property::SubscriptionIdentifier(7),
            Property::UserProperty("k", "v"),
            Property::UserProperty("k", "w"),
        ] {
            properties.push(&property).expect("short enough");
        }
        properties
    }

    pub(crate) fn message<'a>(payload: &'a [u8], properties: &'a PropertiesBuf) -> Received<'a> {
        Received {
            topic: "a/b",
            payload,
            qos: QoS::AtLeastOnce,
            retain: true,
            packet_id: 9,
            properties: properties.as_properties(),
            at: "2026-11-23T03:41:05.858201421+01:00[+01:00]".parse().expect("a time"),
        }
    }

    fn check(format: &str, payload: &[u8], properties: &PropertiesBuf, expected: &str) {
        let mut out = Vec::new();
        let parsed = Format::parse(format).expect(format);
        render(&parsed, &message(payload, properties), false, &mut out).expect(format);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{format}");
    }

    #[test]
    fn every_field_is_printed() {
        let properties = properties();
        let check = |format, expected| check(format, b"{\"x\":1}", &properties, expected);
        check("|%A|%C|%D|%E|%F|%l|%m|%P|", "||text|abc|266|1|7|9|k:v k:w|");
        check("%p|%q|%R|%r|%S|%t", "{\"x\":1}|1|r/t|1|5,7|a/b");
        check("%x|%X", "7b2278223a317d|7B2278223A317D");
        check("%I|%U", "2026-11-23T03:41:05+0100|1795401665.858201421");
        check("@Y-@m-@d @H:@M:@S.@N @z @@", "2026-11-23 03:41:05.858201421 +0100 @");
        check("@a @A @b @B @c", "Mon Monday Nov November Mon Nov 23 03:41:05 2026");
    }

    /// The expected texts are what mosquitto_sub 2.0.11 prints, but for hexadecimal: there it loses what the width has no
    /// room for.
    #[test]
    fn fields_are_fitted_as_mosquitto_fits_them() {
        let properties = properties();
        let fitted = |format, expected| check(format, b"{\"x\":1}", &properties, expected);
        fitted("|%10t|%-10t|%3.3t|%.1t|", "|       a/b|a/b       |a/b|a|");
        fitted("|%05l|%-05l|%.2l|%5q|%-5r|", "|00007|7    |7|1|1|");
        fitted(
            "|%020x|%20X|%-20x|%.2p|%10p|%010p|",
            "|0000007b2278223a317d|      7B2278223A317D|7b2278223a317d      |{\"x\":1}|   {\"x\":1}|   {\"x\":1}|",
        );
        fitted("|%10.3C|%05C|%05E|%-8E|", "|       tex| text|00266|266     |");
        check("|%E|%05S|%5A|%-5F|", b"", &PropertiesBuf::new(), "||00000|     |     |");
    }
}
