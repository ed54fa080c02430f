//! Arguments that the three tools share, with the letters of mosquitto's tools.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use mqtt_codec::{QoS, Version};

use super::format::Format;
use super::properties::{self, PropertyArgument};
use super::target::Target;
use crate::tls_arguments::TlsArguments;

/// To which broker, and as whom.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArguments {
    /// Name or address of the broker
    #[arg(short = 'h', long, default_value = "localhost", conflicts_with = "url")]
    pub(crate) host: String,
    /// TCP port of the broker [default: 1883, or 8883 with --cafile or --cert]; 8883 means TLS
    #[arg(short = 'p', long, conflicts_with = "url")]
    pub(crate) port: Option<u16>,
    /// Broker, login and topic at once.
    #[arg(short = 'L', long, help = URL_HELP, value_parser = Target::parse)]
    pub(crate) url: Option<Target>,
    /// Version of MQTT
    #[arg(short = 'V', long, value_enum, default_value = "5")]
    pub(crate) protocol_version: ProtocolVersion,
    /// Client identifier; without it the broker chooses one (MQTT 5), or a random one is taken
    #[arg(short = 'i', long, group = "client_name")]
    pub(crate) id: Option<String>,
    /// Client identifier that starts with this and ends with the number of the process
    #[arg(short = 'I', long, value_name = "PREFIX", group = "client_name")]
    pub(crate) id_prefix: Option<String>,
    /// User name
    #[arg(short = 'u', long)]
    pub(crate) username: Option<String>,
    /// Password
    #[arg(short = 'P', long = "pw", value_name = "PASSWORD", allow_hyphen_values = true)]
    pub(crate) password: Option<String>,
    /// Keep Alive in seconds; 0 for none
    #[arg(short = 'k', long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) keepalive: u16,
    /// Continue an earlier session and leave one behind; needs --id
    #[arg(short = 'c', long, requires = "client_name")]
    pub(crate) disable_clean_session: bool,
    /// Seconds that the session outlives its connection, -1 for ever [default: -1 with -c, else 0]; MQTT 5
    #[arg(short = 'x', long, value_name = "SECONDS", value_parser = parse_expiry, allow_hyphen_values = true)]
    pub(crate) session_expiry_interval: Option<u32>,
    /// An MQTT 5 property for a packet: connect, publish, subscribe, unsubscribe, disconnect or will; may be repeated
    #[arg(
        short = 'D',
        long = "property",
        value_name = "PACKET PROPERTY VALUE",
        value_parser = properties::parse_argument,
    )]
    pub(crate) properties: Vec<PropertyArgument>,
    #[command(flatten)]
    pub(crate) tls: TlsArguments,
    #[command(flatten)]
    pub(crate) will: WillArguments,
    /// Tell on standard error what happens
    #[arg(short = 'd', long)]
    pub(crate) debug: bool,
    /// Print no errors while running
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help, help_heading = "Options")]
    help: Option<bool>,
}

/// Apart from the doc comment, where the brackets would be links.
const URL_HELP: &str = "Broker, login and topic at once: mqtt://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC], mqtts:// \
                        for TLS, quic://, or ws:// or wss://[USER[:PASSWORD]@]HOST:PORT/PATH";

/// The will: what the broker publishes when the connection breaks.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Will")]
pub(crate) struct WillArguments {
    /// Topic of a message that the broker publishes when the connection breaks
    #[arg(long, value_name = "TOPIC")]
    pub(crate) will_topic: Option<String>,
    /// Its payload, empty by default
    #[arg(long, value_name = "PAYLOAD", requires = "will_topic", allow_hyphen_values = true)]
    pub(crate) will_payload: Option<String>,
    /// Its quality of service
    #[arg(long, value_name = "QOS", requires = "will_topic", value_parser = parse_qos, default_value = "0")]
    pub(crate) will_qos: QoS,
    /// Retain it
    #[arg(long, requires = "will_topic")]
    pub(crate) will_retain: bool,
}

/// `-V`, in the words of mosquitto's tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtocolVersion {
    #[value(name = "31", aliases = ["mqttv31", "3.1"])]
    V31,
    #[value(name = "311", aliases = ["mqttv311", "3.1.1"])]
    V311,
    #[value(name = "5", aliases = ["mqttv5", "5.0"])]
    V5,
}

impl From<ProtocolVersion> for Version {
    fn from(version: ProtocolVersion) -> Self {
        match version {
            ProtocolVersion::V31 => Self::V3_1,
            ProtocolVersion::V311 => Self::V3_1_1,
            ProtocolVersion::V5 => Self::V5,
        }
    }
}

/// Where a payload comes from; exactly one is given.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("payload").required(true))]
pub(crate) struct PayloadArguments {
    /// Send this text
    #[arg(short = 'm', long, group = "payload", allow_hyphen_values = true)]
    pub(crate) message: Option<String>,
    /// Send the content of this file
    #[arg(short = 'f', long, group = "payload")]
    pub(crate) file: Option<PathBuf>,
    /// Send all of standard input as one message
    #[arg(short = 's', long, group = "payload")]
    pub(crate) stdin_file: bool,
    /// Send an empty message
    #[arg(short = 'n', long, group = "payload")]
    pub(crate) null_message: bool,
}

/// How received messages are printed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArguments {
    /// Print the topic before the payload
    #[arg(short = 'v', long)]
    pub(crate) verbose: bool,
    /// Print what this format says; see below
    #[arg(short = 'F', long, value_parser = Format::parse, conflicts_with = "json", allow_hyphen_values = true)]
    pub(crate) format: Option<Format>,
    /// Print each message as a JSON object in one line; the same as -F %j
    #[arg(long)]
    pub(crate) json: bool,
    /// Spread JSON objects over several lines
    #[arg(long)]
    pub(crate) pretty: bool,
    /// Do not end messages with a line feed
    #[arg(short = 'N', long = "no-newline")]
    pub(crate) no_newline: bool,
}

impl OutputArguments {
    /// The format that is asked for.
    pub(crate) fn format(&self) -> Format {
        match &self.format {
            Some(format) => format.clone(),
            None if self.json => Format::json(),
            None if self.verbose => Format::verbose(),
            None => Format::payload(),
        }
    }
}

/// The formats of `-F`, for the help of those who print messages.
pub(crate) const FORMAT_HELP: &str = r"Formats for -F:
  %t topic            %p payload          %l payload length     %x %X payload in hexadecimal
  %q QoS              %r retain flag      %m packet identifier  %P user properties, as name:value
  %C content type     %R response topic   %D correlation data   %E message expiry interval
  %F payload format   %A topic alias      %S subscription identifiers
  %j JSON object      %J the same, with a payload that is JSON itself
  %I ISO 8601 time    %U Unix time        @X strftime's %X      @N nanoseconds    %% @@ \n \t \e \0 \\
  Between % and the letter: - to align left, 0 to fill up with zeros, WIDTH, and .MAXIMUM for text.";

/// A quality of service as a number.
pub(crate) fn parse_qos(text: &str) -> Result<QoS, String> {
    let level = text.parse::<u8>().ok().and_then(|level| QoS::try_from(level).ok());
    level.ok_or_else(|| "a quality of service is 0, 1 or 2".to_owned())
}

fn parse_expiry(text: &str) -> Result<u32, String> {
    match text {
        "-1" | "\u{221e}" => Ok(u32::MAX),
        _ => text.parse().map_err(|_| "write seconds from 0 to 4294967295, or -1 for no end".to_owned()),
    }
}

/// Seconds, perhaps with a fraction.
pub(crate) fn parse_seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write seconds, such as 2 or 0.5".to_owned())?;
    std::time::Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
