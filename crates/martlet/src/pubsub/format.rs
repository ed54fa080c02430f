//! `-F FORMAT`: which parts of a message are printed, in the notation of mosquitto's tools.

use jiff::Zoned;
use jiff::fmt::strtime::{BrokenDownTime, Config, PosixCustom};

/// A format that was read once and is applied to every message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Format {
    pub(crate) pieces: Vec<Piece>,
}

/// One part of a format.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Literal(Vec<u8>),
    Field(Field, Layout),
    /// The time of arrival as `strftime` prints it: this format has one conversion.
    Time(String),
    /// Nanoseconds within the second of arrival.
    Nanoseconds,
}

/// A part of a message; the character is the one behind `%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    TopicAlias,
    ContentType,
    CorrelationData,
    MessageExpiryInterval,
    PayloadFormatIndicator,
    PayloadLength,
    PacketId,
    UserProperties,
    Payload,
    QoS,
    ResponseTopic,
    Retain,
    SubscriptionIdentifiers,
    Topic,
    LowerHex,
    UpperHex,
    IsoTime,
    UnixTime,
    /// With the payload as a string.
    Json,
    /// With the payload as JSON itself.
    JsonPayload,
}

const FIELDS: &[(u8, Field)] = &[
    (b'A', Field::TopicAlias),
    (b'C', Field::ContentType),
    (b'D', Field::CorrelationData),
    (b'E', Field::MessageExpiryInterval),
    (b'F', Field::PayloadFormatIndicator),
    (b'l', Field::PayloadLength),
    (b'm', Field::PacketId),
    (b'P', Field::UserProperties),
    (b'p', Field::Payload),
    (b'q', Field::QoS),
    (b'R', Field::ResponseTopic),
    (b'r', Field::Retain),
    (b'S', Field::SubscriptionIdentifiers),
    (b't', Field::Topic),
    (b'x', Field::LowerHex),
    (b'X', Field::UpperHex),
    (b'I', Field::IsoTime),
    (b'U', Field::UnixTime),
    (b'j', Field::Json),
    (b'J', Field::JsonPayload),
];

/// How a field is fitted into its place: what stands between `%` and the character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) left: bool,
    pub(crate) zeros: bool,
    /// Filled up to this many bytes.
    pub(crate) width_min: usize,
    /// Cut off after this many bytes, for fields that hold text.
    pub(crate) width_max: Option<usize>,
}

impl Format {
    /// Reads a format as its author wrote it.
    ///
    /// # Errors
    /// Says which sequence is unknown or unfinished.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text.as_bytes(), pieces: Vec::new() };
        while let [first, rest @ ..] = reader.rest {
            reader.rest = rest;
            match first {
                b'%' => reader.field()?,
                b'@' => reader.time()?,
                b'\\' => reader.escape()?,
                literal => reader.literal(*literal),
            }
        }
        Ok(Self { pieces: reader.pieces })
    }

    /// The payload alone.
    pub(crate) fn payload() -> Self {
        Self { pieces: vec![Piece::Field(Field::Payload, Layout::default())] }
    }

    /// Topic and payload.
    pub(crate) fn verbose() -> Self {
        let topic = Piece::Field(Field::Topic, Layout::default());
        let mut pieces = vec![topic, Piece::Literal(b" ".to_vec())];
        pieces.extend(Self::payload().pieces);
        Self { pieces }
    }

    /// One JSON object.
    pub(crate) fn json() -> Self {
        Self { pieces: vec![Piece::Field(Field::Json, Layout::default())] }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    pieces: Vec<Piece>,
}

impl Reader<'_> {
    fn next(&mut self, sequence: char) -> Result<u8, String> {
        let (first, rest) = self.rest.split_first().ok_or(format!("ends within a `{sequence}` sequence"))?;
        self.rest = rest;
        Ok(*first)
    }

    fn literal(&mut self, byte: u8) {
        match self.pieces.last_mut() {
            Some(Piece::Literal(bytes)) => bytes.push(byte),
            _ => self.pieces.push(Piece::Literal(vec![byte])),
        }
    }

    fn field(&mut self) -> Result<(), String> {
        let mut layout = Layout::default();
        let mut next = self.next('%')?;
        while let b'-' | b'0' = next {
            layout.left |= next == b'-';
            layout.zeros |= next == b'0';
            next = self.next('%')?;
        }
        (layout.width_min, next) = self.number(next)?;
        if next == b'.' {
            let digit = self.next('%')?;
            let (width_max, after) = self.number(digit)?;
            (layout.width_max, next) = (Some(width_max), after);
        }
        if next == b'%' {
            self.literal(b'%');
            return Ok(());
        }
        let field = FIELDS.iter().find(|(character, _)| *character == next);
        let (_, field) = field.ok_or_else(|| format!("has an unknown sequence `%{}`", char::from(next)))?;
        self.pieces.push(Piece::Field(*field, layout));
        Ok(())
    }

    /// A number, perhaps of no digits, and the character after it.
    fn number(&mut self, mut next: u8) -> Result<(usize, u8), String> {
        let mut number = 0;
        while next.is_ascii_digit() {
            number = number * 10 + usize::from(next - b'0');
            if number > WIDTH_MAX {
                return Err(format!("has a width above {WIDTH_MAX}"));
            }
            next = self.next('%')?;
        }
        Ok((number, next))
    }

    fn time(&mut self) -> Result<(), String> {
        let conversion = char::from(self.next('@')?);
        match conversion {
            '@' => self.literal(b'@'),
            'N' => self.pieces.push(Piece::Nanoseconds),
            _ => {
                let format = format!("%{conversion}");
                strftime(&format, &Zoned::default())
                    .map_err(|_| format!("has an unknown time `@{conversion}`"))?;
                self.pieces.push(Piece::Time(format));
            }
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        let byte = match self.next('\\')? {
            b'\\' => b'\\',
            b'0' => b'\0',
            b'a' => 0x07,
            b'e' => 0x1B,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0B,
            other => return Err(format!("has an unknown escape `\\{}`", char::from(other))),
        };
        self.literal(byte);
        Ok(())
    }
}

/// The time as `strftime` prints it in the POSIX locale.
///
/// # Errors
/// The format has an unknown conversion.
pub(crate) fn strftime(format: &str, at: &Zoned) -> Result<String, jiff::Error> {
    let posix = Config::new().custom(PosixCustom::new());
    BrokenDownTime::from(at).to_string_with_config(&posix, format)
}

/// Wider fields would only be mistakes.
const WIDTH_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, pieces: &[Piece]) {
        assert_eq!(Format::parse(text).expect(text).pieces, pieces, "{text:?}");
    }

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.as_bytes().to_vec())
    }

    #[test]
    fn a_format_is_read_into_its_pieces() {
        let plain = Layout::default();
        check("", &[]);
        check(
            "%t : %p",
            &[Piece::Field(Field::Topic, plain), literal(" : "), Piece::Field(Field::Payload, plain)],
        );
        check("%010l", &[Piece::Field(Field::PayloadLength, Layout { zeros: true, width_min: 10, ..plain })]);
        check(
            "%-0.3t",
            &[Piece::Field(Field::Topic, Layout { left: true, zeros: true, width_max: Some(3), ..plain })],
        );
        check(
            "%10.20R",
            &[Piece::Field(Field::ResponseTopic, Layout { width_min: 10, width_max: Some(20), ..plain })],
        );
        check(
            "@H:@M@@@N",
            &[
                Piece::Time("%H".to_owned()),
                literal(":"),
                Piece::Time("%M".to_owned()),
                literal("@"),
                Piece::Nanoseconds,
            ],
        );
        check(r"\\\0\a\e\n\r\t\v%%", &[literal("\\\0\u{7}\u{1b}\n\r\t\u{b}%")]);
        check("gr\u{fc}\u{df}e", &[literal("gr\u{fc}\u{df}e")]);
    }

    #[test]
    fn every_field_of_the_table_is_known_once() {
        for (position, (character, field)) in FIELDS.iter().enumerate() {
            check(&format!("%{}", char::from(*character)), &[Piece::Field(*field, Layout::default())]);
            assert!(FIELDS[..position].iter().all(|(other, _)| other != character));
        }
    }

    #[test]
    fn wrong_formats_are_refused() {
        for (text, message) in [
            ("%", "ends within a `%` sequence"),
            ("%5", "ends within a `%` sequence"),
            ("%5.", "ends within a `%` sequence"),
            ("x\\", "ends within a `\\` sequence"),
            ("@", "ends within a `@` sequence"),
            ("%z", "has an unknown sequence `%z`"),
            ("%@", "has an unknown sequence `%@`"),
            ("\\1", "has an unknown escape `\\1`"),
            ("@!", "has an unknown time `@!`"),
            ("%99999t", "has a width above 10000"),
        ] {
            assert_eq!(Format::parse(text), Err(message.to_owned()), "{text:?}");
        }
    }
}
