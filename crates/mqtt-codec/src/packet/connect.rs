use nom::Parser;
use nom::combinator::cond;
use nom::number::complete::{be_u16, u8 as byte};

use super::{Body, check_properties, fixed_first_byte, properties, write_properties};
use crate::error::{DecodeErrorKind, EncodeError};
use crate::wire::{self, Parsed, Sink};
use crate::{PacketType, Properties, PropertyPlace, QoS, Version};

/// CONNECT: the first packet of a connection (MQTT 5 section 3.1). It names its own version, whatever version is given to
/// [`decode`](crate::decode) or [`encode`](crate::encode).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connect<'a> {
    /// From protocol name and level.
    pub version: Version,
    /// Whether a stored session is to be discarded; before MQTT 5 called clean session.
    pub clean_start: bool,
    /// Seconds within which the client promises a packet; 0 turns that off.
    pub keep_alive_s: u16,
    /// Empty before MQTT 5.
    pub properties: Properties<'a>,
    /// Any text, possibly empty: what is acceptable is the server's business.
    pub client_id: &'a str,
    /// What the server publishes when the connection ends without a proper DISCONNECT.
    pub will: Option<Will<'a>>,
    /// Absent or possibly empty.
    pub username: Option<&'a str>,
    /// Absent or possibly empty; before MQTT 5 only together with a user name.
    pub password: Option<&'a [u8]>,
}

/// The will message of a CONNECT (MQTT 5 section 3.1.3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Will<'a> {
    /// Level of its publication.
    pub qos: QoS,
    /// Whether it is published as a retained message.
    pub retain: bool,
    /// Empty before MQTT 5.
    pub properties: Properties<'a>,
    /// Topic name, not yet checked for wildcards.
    pub topic: &'a str,
    /// The application's bytes, at most 65,535.
    pub payload: &'a [u8],
}

/// The version that a CONNECT announces, found without reading the rest, so that a server can refuse even a malformed
/// CONNECT in terms the client knows. `None` when this is no CONNECT or of no version known here.
#[must_use]
pub fn connect_version(frame_start: &[u8]) -> Option<Version> {
    if PacketType::from_first_byte(*frame_start.first()?) != Some(PacketType::Connect) {
        return None;
    }
    let (body, _) = wire::variable_integer(&frame_start[1..]).ok()?;
    Some(protocol(body).ok()?.1)
}

const RESERVED: u8 = 1 << 0;
const CLEAN_START: u8 = 1 << 1;
const WILL: u8 = 1 << 2;
const WILL_QOS_SHIFT: u8 = 3;
const WILL_RETAIN: u8 = 1 << 5;
const PASSWORD: u8 = 1 << 6;
const USER_NAME: u8 = 1 << 7;

/// The connect flags after their rules have been checked (MQTT 5 section 3.1.2.3).
#[derive(Clone, Copy)]
struct ConnectFlags {
    bits: u8,
    will_qos: QoS,
}

impl ConnectFlags {
    fn parse(bits: u8, version: Version) -> Result<Self, DecodeErrorKind> {
        let will_qos = QoS::from_bits(bits >> WILL_QOS_SHIFT & 0b11).ok_or(DecodeErrorKind::WillQoS3)?; // [MQTT-3.1.2-12]
        let flags = Self { bits, will_qos };
        if version.checks_reserved_bits() {
            flags.check_reserved()?;
        }
        if flags.has(PASSWORD) && !flags.has(USER_NAME) && !version.allows_password_alone() {
            return Err(DecodeErrorKind::PasswordWithoutUserName); // [MQTT3-3.1.2-22]
        }
        Ok(flags)
    }

    fn check_reserved(self) -> Result<(), DecodeErrorKind> {
        if self.has(RESERVED) {
            return Err(DecodeErrorKind::ConnectReservedFlag); // [MQTT-3.1.2-3]
        }
        if !self.has(WILL) && self.will_qos != QoS::AtMostOnce {
            return Err(DecodeErrorKind::WillQoSWithoutWill); // [MQTT-3.1.2-11]
        }
        if !self.has(WILL) && self.has(WILL_RETAIN) {
            return Err(DecodeErrorKind::WillRetainWithoutWill); // [MQTT-3.1.2-13]
        }
        Ok(())
    }

    fn has(self, flag: u8) -> bool {
        self.bits & flag != 0
    }
}

/// Reads the body.
pub(crate) fn connect(input: &[u8]) -> Parsed<'_, Connect<'_>> {
    let (input, version) = protocol(input)?;
    let (input, bits) = byte(input)?;
    let flags = ConnectFlags::parse(bits, version)?;
    let (input, keep_alive_s) = be_u16(input)?;
    let (input, properties) = properties(PropertyPlace::Connect, version, input)?;
    let (input, client_id) = wire::string(input)?;
    let (input, will) = cond(flags.has(WILL), |input| will(flags, version, input)).parse(input)?;
    let announced =
        |flag, rest: &[u8]| flags.has(flag) && !(rest.is_empty() && version.allows_missing_credentials());
    let (input, username) = cond(announced(USER_NAME, input), wire::string).parse(input)?;
    let (input, password) = cond(announced(PASSWORD, input), wire::binary).parse(input)?;
    let clean_start = flags.has(CLEAN_START);
    Ok((
        input,
        Connect { version, clean_start, keep_alive_s, properties, client_id, will, username, password },
    ))
}

/// Protocol name and level, which together are the version.
fn protocol(input: &[u8]) -> Parsed<'_, Version> {
    let (input, name) = wire::binary(input)?;
    if !Version::ALL.iter().any(|version| version.protocol_name().as_bytes() == name) {
        return wire::fail(DecodeErrorKind::UnsupportedProtocolName); // [MQTT-3.1.2-1]
    }
    let (input, level) = byte(input)?;
    match Version::from_level(level) {
        Some(version) if version.protocol_name().as_bytes() == name => Ok((input, version)),
        _ => wire::fail(DecodeErrorKind::UnsupportedProtocolVersion), // [MQTT-3.1.2-2]
    }
}

fn will(flags: ConnectFlags, version: Version, input: &[u8]) -> Parsed<'_, Will<'_>> {
    let (input, properties) = properties(PropertyPlace::Will, version, input)?;
    let (input, (topic, payload)) = (wire::string, wire::binary).parse(input)?;
    Ok((input, Will { qos: flags.will_qos, retain: flags.has(WILL_RETAIN), properties, topic, payload }))
}

impl Connect<'_> {
    fn flag_bits(&self) -> u8 {
        let flag = |bit, set| if set { bit } else { 0 };
        let will = self
            .will
            .map_or(0, |will| WILL | (will.qos as u8) << WILL_QOS_SHIFT | flag(WILL_RETAIN, will.retain));
        flag(CLEAN_START, self.clean_start)
            | will
            | flag(PASSWORD, self.password.is_some())
            | flag(USER_NAME, self.username.is_some())
    }
}

impl Body for Connect<'_> {
    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::Connect)
    }

    fn check(&self, _: Version) -> Result<(), EncodeError> {
        if self.password.is_some() && self.username.is_none() && !self.version.allows_password_alone() {
            return Err(EncodeError::PasswordWithoutUserName); // [MQTT3-3.1.2-22]
        }
        if let Some(will) = &self.will {
            check_properties(&will.properties, PropertyPlace::Will, self.version)?;
        }
        check_properties(&self.properties, PropertyPlace::Connect, self.version)
    }

    fn write<S: Sink>(&self, _: Version, sink: &mut S) {
        sink.string(self.version.protocol_name());
        sink.u8(self.version.level());
        sink.u8(self.flag_bits());
        sink.u16(self.keep_alive_s);
        write_properties(&self.properties, self.version, sink);
        sink.string(self.client_id);
        if let Some(will) = &self.will {
            write_properties(&will.properties, self.version, sink);
            sink.string(will.topic);
            sink.binary(will.payload);
        }
        if let Some(username) = self.username {
            sink.string(username);
        }
        if let Some(password) = self.password {
            sink.binary(password);
        }
    }
}
