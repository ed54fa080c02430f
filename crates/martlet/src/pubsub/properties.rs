//! `-D PACKET NAME VALUE`: MQTT 5 properties from the command line, checked against the codec's own table.

use std::ffi::{OsStr, OsString};

use mqtt_codec::{Properties, PropertiesBuf, PropertyId, PropertyPlace, PropertyRow, PropertyType};

/// One `-D`, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PropertyArgument {
    pub(crate) place: PropertyPlace,
    /// The property in its encoding, which [`Properties::parse`] accepted for the place.
    block: Vec<u8>,
}

impl PropertyArgument {
    fn properties(&self) -> Properties<'_> {
        Properties::parse(&self.block, self.place).expect("it was parsed before")
    }
}

/// The properties that were given for one packet, in their order.
///
/// # Errors
/// One is given twice that may be there only once.
pub(crate) fn of_place(
    arguments: &[PropertyArgument],
    place: PropertyPlace,
) -> Result<PropertiesBuf, String> {
    let mut all = PropertiesBuf::new();
    for argument in arguments.iter().filter(|argument| argument.place == place) {
        all.extend_from(argument.properties());
    }
    match Properties::parse(all.as_properties().as_bytes(), place) {
        Ok(_) => Ok(all),
        Err(error) => Err(format!("-D {}: {error}", word(place))),
    }
}

/// Packets by their word on the command line.
const PLACES: &[(&str, PropertyPlace)] = &[
    ("connect", PropertyPlace::Connect),
    ("publish", PropertyPlace::Publish),
    ("subscribe", PropertyPlace::Subscribe),
    ("unsubscribe", PropertyPlace::Unsubscribe),
    ("disconnect", PropertyPlace::Disconnect),
    ("will", PropertyPlace::Will),
];

fn word(place: PropertyPlace) -> &'static str {
    PLACES.iter().find(|(_, known)| *known == place).map_or("", |(word, _)| word)
}

/// Stands between the parts of one `-D`: a control character that no property has a use for.
const SEPARATOR: char = '\u{1f}';

/// Joins what follows each `-D`, so that it is one argument: three parts, or four for a user property. As in
/// mosquitto's tools the parts may start with a `-`, which no general rule for arguments could allow.
pub(crate) fn join_parts(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined = Vec::new();
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        let takes_any_text = ANY_TEXT.iter().any(|option| argument == *option);
        let is_property = argument == "-D" || argument == "--property";
        joined.push(argument);
        if takes_any_text {
            joined.extend(rest.next());
        }
        if !is_property {
            continue;
        }
        let mut parts: Vec<OsString> = rest.by_ref().take(2).collect();
        let is_pair = parts.get(1).is_some_and(|name| name.eq_ignore_ascii_case("user-property"));
        parts.extend(rest.by_ref().take(if is_pair { 2 } else { 1 }));
        joined.push(parts.join(OsStr::new(&SEPARATOR.to_string())));
    }
    joined
}

/// Options whose value may look like an option itself, even like `-D`.
const ANY_TEXT: &[&str] = &["-m", "--message", "-P", "--pw", "--will-payload", "-F", "--format"];

/// Reads what [`join_parts`] joined.
///
/// # Errors
/// An unknown packet or property, a property that the packet cannot have, a value that the property cannot have.
pub(crate) fn parse_argument(joined: &str) -> Result<PropertyArgument, String> {
    let parts: Vec<&str> = joined.split(SEPARATOR).collect();
    let [packet, name, ..] = parts[..] else { return Err(USAGE.to_owned()) };
    let place = parse_place(packet)?;
    let row = parse_name(name, place)?;
    let block = match (row.value, &parts[2..]) {
        (PropertyType::Utf8StringPair, [key, value]) => {
            [length_prefixed(key)?, length_prefixed(value)?].concat()
        }
        (PropertyType::Utf8StringPair, _) => {
            return Err("write it as PACKET user-property NAME VALUE".to_owned());
        }
        (kind, [value]) => encode(kind, value).map_err(|message| format!("{name}: {message}"))?,
        _ => return Err(USAGE.to_owned()),
    };
    let block = [vec![row.id as u8], block].concat();
    match Properties::parse(&block, place) {
        Ok(_) => Ok(PropertyArgument { place, block }),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

const USAGE: &str = "write it as PACKET PROPERTY VALUE, or PACKET user-property NAME VALUE";

fn parse_place(packet: &str) -> Result<PropertyPlace, String> {
    let found = PLACES.iter().find(|(word, _)| packet.eq_ignore_ascii_case(word));
    found.map(|(_, place)| *place).ok_or_else(|| {
        let words: Vec<&str> = PLACES.iter().map(|(word, _)| *word).collect();
        format!("{packet:?} is none of the packets {}", words.join(", "))
    })
}

fn parse_name(name: &str, place: PropertyPlace) -> Result<&'static PropertyRow, String> {
    let matches = |row: &&PropertyRow| argument_name(row).eq_ignore_ascii_case(name);
    let row = PropertyId::TABLE.iter().find(matches);
    row.filter(|row| row.allowed_in(place)).ok_or_else(|| {
        let allowed = PropertyId::TABLE.iter().filter(|row| row.allowed_in(place)).map(argument_name);
        let allowed: Vec<String> = allowed.collect();
        format!("{} has no property {name:?}, only {}", word(place), allowed.join(", "))
    })
}

/// The standard's words with hyphens.
fn argument_name(row: &PropertyRow) -> String {
    row.name.replace(' ', "-").to_lowercase()
}

/// A value in the encoding of its type (section 2.2.2.2 of the standard refers to 1.5).
fn encode(kind: PropertyType, text: &str) -> Result<Vec<u8>, String> {
    Ok(match kind {
        PropertyType::Flag => vec![number::<u8>(text)?],
        PropertyType::TwoByteInteger | PropertyType::TwoByteNonZero => {
            number::<u16>(text)?.to_be_bytes().to_vec()
        }
        PropertyType::FourByteInteger | PropertyType::FourByteNonZero => {
            number::<u32>(text)?.to_be_bytes().to_vec()
        }
        PropertyType::VariableByteNonZero => variable_byte_integer(number(text)?),
        PropertyType::Utf8String | PropertyType::BinaryData => length_prefixed(text)?,
        PropertyType::Utf8StringPair => return Err("is a pair".to_owned()),
    })
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{text:?} is no number, or too large"))
}

fn variable_byte_integer(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7F) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn length_prefixed(text: &str) -> Result<Vec<u8>, String> {
    let length = u16::try_from(text.len()).map_err(|_| "is longer than 65535 bytes".to_owned())?;
    Ok([&length.to_be_bytes(), text.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use mqtt_codec::Property;

    use super::*;

    fn parse(parts: &[&str]) -> Result<PropertyArgument, String> {
        let arguments = ["-D"].iter().chain(parts).map(OsString::from);
        let joined = join_parts(arguments);
        assert_eq!(joined.len(), 2, "{joined:?}");
        parse_argument(joined[1].to_str().expect("UTF-8"))
    }

    fn check(parts: &[&str], expected: Property<'_>) {
        let argument = parse(parts).unwrap_or_else(|message| panic!("{parts:?}: {message}"));
        let properties: Vec<Property<'_>> = argument.properties().iter().collect();
        assert_eq!(properties, [expected], "{parts:?}");
    }

    #[test]
    fn every_type_of_property_is_read() {
        let nonzero = |number| std::num::NonZeroU16::new(number).expect("not 0");
        check(&["publish", "payload-format-indicator", "1"], Property::PayloadFormatIndicator(true));
        check(&["PUBLISH", "Topic-Alias", "7"], Property::TopicAlias(nonzero(7)));
        check(&["connect", "receive-maximum", "65535"], Property::ReceiveMaximum(nonzero(65535)));
        check(&["connect", "topic-alias-maximum", "0"], Property::TopicAliasMaximum(0));
        check(&["will", "will-delay-interval", "4294967295"], Property::WillDelayInterval(u32::MAX));
        check(
            &["subscribe", "subscription-identifier", "268435455"],
            Property::SubscriptionIdentifier(268_435_455),
        );
        check(&["subscribe", "subscription-identifier", "128"], Property::SubscriptionIdentifier(128));
        check(&["publish", "content-type", "-m"], Property::ContentType("-m"));
        check(&["publish", "correlation-data", "a b"], Property::CorrelationData(b"a b"));
        check(&["disconnect", "user-property", "-k", ""], Property::UserProperty("-k", ""));
    }

    #[test]
    fn wrong_properties_are_refused_with_the_reason() {
        for (parts, part) in [
            (&["puback", "user-property", "k", "v"][..], "none of the packets connect, publish,"),
            (
                &["publish", "will-delay-interval", "1"],
                "publish has no property \"will-delay-interval\", only payload-",
            ),
            (&["unsubscribe", "nothing", "1"], "unsubscribe has no property \"nothing\", only user-property"),
            (&["publish", "topic-alias", "x"], "topic-alias: \"x\" is no number"),
            (&["publish", "topic-alias", "65536"], "too large"),
            (&["publish", "topic-alias", "0"], "topic-alias: "),
            (&["publish", "payload-format-indicator", "2"], "payload-format-indicator: "),
            (&["subscribe", "subscription-identifier", "268435456"], "subscription-identifier: "),
            (&["publish", "user-property", "k"], "user-property NAME VALUE"),
            (&["publish"], "write it as PACKET PROPERTY VALUE"),
        ] {
            let message = parse(parts).expect_err("wrong");
            assert!(message.contains(part), "{parts:?}: {message}");
        }
    }

    #[test]
    fn only_the_parts_of_a_property_are_joined() {
        let arguments = "pub -D publish user-property k v -m x --property will content-type c -r -D";
        let joined = join_parts(arguments.split(' ').map(OsString::from));
        let joined: Vec<&str> = joined.iter().map(|argument| argument.to_str().expect("UTF-8")).collect();
        let expected = [
            "pub",
            "-D",
            "publish\u{1f}user-property\u{1f}k\u{1f}v",
            "-m",
            "x",
            "--property",
            "will\u{1f}content-type\u{1f}c",
            "-r",
            "-D",
            "",
        ];
        assert_eq!(joined, expected);
    }

    #[test]
    fn properties_are_collected_by_packet_and_checked_together() {
        let argument = |parts: &[&str]| parse(parts).expect("valid");
        let mut arguments = vec![
            argument(&["publish", "user-property", "k", "1"]),
            argument(&["connect", "receive-maximum", "3"]),
            argument(&["publish", "user-property", "k", "2"]),
            argument(&["publish", "content-type", "text"]),
        ];
        let publish = of_place(&arguments, PropertyPlace::Publish).expect("valid together");
        let values: Vec<Property<'_>> = publish.as_properties().iter().collect();
        let expected = [
            Property::UserProperty("k", "1"),
            Property::UserProperty("k", "2"),
            Property::ContentType("text"),
        ];
        assert_eq!(values, expected);
        arguments.push(argument(&["publish", "content-type", "html"]));
        let message = of_place(&arguments, PropertyPlace::Publish).expect_err("twice");
        assert!(message.starts_with("-D publish: "), "{message}");
        assert!(of_place(&arguments, PropertyPlace::Connect).is_ok());
    }
}
