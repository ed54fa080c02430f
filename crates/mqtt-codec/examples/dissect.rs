//! Shows the packets in a capture of one direction of an MQTT connection.
//!
//! ```text
//! dissect [--version 3.1|3.1.1|5] [FILE]
//! ```
//!
//! Reads FILE or standard input, as hexadecimal text when it is nothing else, or as the bytes themselves. A CONNECT tells the
//! version; before one it is what `--version` says, or 5. Ends with exit code 1 when something was malformed or cut off.

use std::error::Error;
use std::fmt::{self, Display, Write as _};
use std::io::{self, Read, Write as _};
use std::process::ExitCode;
use std::{env, fs};

use mqtt_codec::{
    Ack, Connack, Connect, DecodeError, Framing, Packet, PacketType, Properties, Property, Publish,
    ReasonCode, Subscribe, SubscribeFilter, Version, connect_version, decode, frame,
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse(env::args().skip(1))?;
    let input = match options.file.as_deref() {
        None | Some("-") => read_stdin()?,
        Some(file) => fs::read(file).map_err(|error| format!("{file}: {error}"))?,
    };
    let bytes = hex_text(&input).unwrap_or(input);
    let mut report = String::new();
    let faults = dissect(&bytes, options.version, &mut report)?;
    io::stdout().write_all(report.as_bytes())?;
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Options {
    version: Version,
    file: Option<String>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { version: Version::V5, file: None };
        while let Some(arg) = args.next() {
            match &*arg {
                "--version" => options.version = version(&args.next().unwrap_or_default())?,
                "--help" | "-h" => return Err("usage: dissect [--version 3.1|3.1.1|5] [FILE]".into()),
                _ => options.file = Some(arg),
            }
        }
        Ok(options)
    }
}

fn version(text: &str) -> Result<Version, String> {
    match text {
        "3.1" | "3" => Ok(Version::V3_1),
        "3.1.1" | "4" => Ok(Version::V3_1_1),
        "5" | "5.0" => Ok(Version::V5),
        _ => Err(format!("--version {text:?}: 3.1, 3.1.1 and 5 are known")),
    }
}

fn read_stdin() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The bytes that hexadecimal text stands for; `None` when the input is something else.
fn hex_text(input: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(input).ok()?;
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace() && *c != ':' && *c != ',')
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Describes packet after packet and counts what is wrong. Behind a bad header the next packet cannot be found.
fn dissect(bytes: &[u8], mut version: Version, out: &mut String) -> Result<usize, fmt::Error> {
    let (mut offset, mut faults) = (0, 0);
    while offset < bytes.len() {
        let rest = &bytes[offset..];
        let frame_len = match frame(rest, u32::MAX) {
            Ok(Framing::Complete { frame_len, .. }) => frame_len,
            Ok(Framing::Incomplete { missing_bytes }) => {
                writeln!(out, "{offset:06x}  cut off, {missing_bytes} more bytes are needed")?;
                return Ok(faults + 1);
            }
            Err(error) => {
                write_error(offset, error, out)?;
                return Ok(faults + 1);
            }
        };
        let whole = &rest[..frame_len];
        version = connect_version(whole).unwrap_or(version);
        match decode(whole, version) {
            Ok(packet) => write_packet(offset, frame_len, version, &packet, out)?,
            Err(error) => {
                write_error(offset, error, out)?;
                faults += 1;
            }
        }
        offset += frame_len;
    }
    Ok(faults)
}

fn write_error(offset: usize, error: DecodeError, out: &mut String) -> fmt::Result {
    writeln!(out, "{offset:06x}  malformed: {error}, answered with {}", error.reason())
}

fn write_packet(
    offset: usize,
    len: usize,
    version: Version,
    packet: &Packet<'_>,
    out: &mut String,
) -> fmt::Result {
    writeln!(out, "{offset:06x}  {} of MQTT {version}, {len} bytes", packet.packet_type())?;
    match packet {
        Packet::Connect(connect) => write_connect(connect, out),
        Packet::Connack(connack) => write_connack(connack, out),
        Packet::Publish(publish) => write_publish(publish, out),
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
            write_ack(ack, out)
        }
        Packet::Subscribe(subscribe) => write_subscribe(subscribe, out),
        Packet::Suback(suback) => {
            field(out, "packet identifier", suback.packet_id)?;
            write_reasons(suback.reasons, PacketType::Suback, out)?;
            write_properties(suback.properties, out)
        }
        Packet::Unsubscribe(unsubscribe) => {
            field(out, "packet identifier", unsubscribe.packet_id)?;
            unsubscribe
                .filters
                .iter()
                .try_for_each(|filter| field(out, "filter", format_args!("{filter:?}")))?;
            write_properties(unsubscribe.properties, out)
        }
        Packet::Unsuback(unsuback) => {
            field(out, "packet identifier", unsuback.packet_id)?;
            write_reasons(unsuback.reasons, PacketType::Unsuback, out)?;
            write_properties(unsuback.properties, out)
        }
        Packet::Pingreq | Packet::Pingresp => Ok(()),
        Packet::Disconnect(disconnect) => {
            write_reasons([disconnect.reason], PacketType::Disconnect, out)?;
            write_properties(disconnect.properties, out)
        }
        Packet::Auth(auth) => {
            write_reasons([auth.reason], PacketType::Auth, out)?;
            write_properties(auth.properties, out)
        }
    }
}

fn write_connect(connect: &Connect<'_>, out: &mut String) -> fmt::Result {
    field(out, "client identifier", format_args!("{:?}", connect.client_id))?;
    field(out, "clean start", connect.clean_start)?;
    field(out, "keep alive", format_args!("{} s", connect.keep_alive_s))?;
    if let Some(username) = connect.username {
        field(out, "user name", format_args!("{username:?}"))?;
    }
    if let Some(password) = connect.password {
        field(out, "password", format_args!("{} bytes", password.len()))?;
    }
    write_properties(connect.properties, out)?;
    let Some(will) = connect.will else { return Ok(()) };
    field(out, "will", format_args!("{:?} at QoS {}, retain {}", will.topic, will.qos, will.retain))?;
    field(out, "will payload", Bytes(will.payload))?;
    write_properties(will.properties, out)
}

fn write_connack(connack: &Connack<'_>, out: &mut String) -> fmt::Result {
    field(out, "session present", connack.session_present)?;
    write_reasons([connack.reason], PacketType::Connack, out)?;
    write_properties(connack.properties, out)
}

fn write_publish(publish: &Publish<'_>, out: &mut String) -> fmt::Result {
    field(out, "topic", format_args!("{:?}", publish.topic))?;
    let Publish { qos, retain, dup, .. } = publish;
    field(out, "delivery", format_args!("QoS {qos}, retain {retain}, dup {dup}"))?;
    if let Some(id) = publish.packet_id {
        field(out, "packet identifier", id)?;
    }
    write_properties(publish.properties, out)?;
    field(out, "payload", Bytes(publish.payload))
}

fn write_ack(ack: &Ack<'_>, out: &mut String) -> fmt::Result {
    field(out, "packet identifier", ack.packet_id)?;
    field(out, "reason", ack.reason)?;
    write_properties(ack.properties, out)
}

fn write_subscribe(subscribe: &Subscribe<'_>, out: &mut String) -> fmt::Result {
    field(out, "packet identifier", subscribe.packet_id)?;
    for SubscribeFilter { filter, options } in subscribe.filters {
        let more = format_args!(
            "{filter:?} at QoS {}, no local {}, retain as published {}, retain handling {}",
            options.qos, options.no_local, options.retain_as_published, options.retain_handling as u8
        );
        field(out, "filter", more)?;
    }
    write_properties(subscribe.properties, out)
}

/// Zero has a name of its own in some packets.
fn write_reasons(
    reasons: impl IntoIterator<Item = ReasonCode>,
    packet: PacketType,
    out: &mut String,
) -> fmt::Result {
    reasons.into_iter().try_for_each(|reason| match (reason, packet) {
        (ReasonCode::GRANTED_QOS_0, PacketType::Suback) => field(out, "reason", "0x00 granted QoS 0"),
        (ReasonCode::NORMAL_DISCONNECTION, PacketType::Disconnect) => {
            field(out, "reason", "0x00 normal disconnection")
        }
        _ => field(out, "reason", reason),
    })
}

fn write_properties(properties: Properties<'_>, out: &mut String) -> fmt::Result {
    properties.iter().try_for_each(|property| field(out, property.id().name(), PropertyValue(property)))
}

fn field(out: &mut String, name: &str, value: impl Display) -> fmt::Result {
    writeln!(out, "          {name}: {value}")
}

struct PropertyValue<'a>(Property<'a>);

impl Display for PropertyValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Property::CorrelationData(bytes) | Property::AuthenticationData(bytes) => Bytes(bytes).fmt(f),
            Property::UserProperty(name, value) => write!(f, "{name:?} = {value:?}"),
            other => {
                let text = format!("{other:?}");
                let value = text.split_once('(').map_or(&*text, |(_, value)| value);
                f.write_str(value.strip_suffix(')').unwrap_or(value))
            }
        }
    }
}

/// Text where the bytes are text, else hexadecimal; long values are cut.
struct Bytes<'a>(&'a [u8]);

impl Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_BYTES_MAX: usize = 64;
        let shown = &self.0[..self.0.len().min(SHOWN_BYTES_MAX)];
        match str::from_utf8(shown) {
            Ok(text) if !text.contains(char::is_control) => write!(f, "{text:?}")?,
            _ => shown.iter().try_for_each(|byte| write!(f, "{byte:02x} "))?,
        }
        match self.0.len() - shown.len() {
            0 => Ok(()),
            left => write!(f, " and {left} bytes more"),
        }
    }
}
