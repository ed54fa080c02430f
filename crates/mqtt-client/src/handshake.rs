//! From a stream to a CONNACK.

use mqtt_codec::{
    Auth, Connack, Connect, EncodeError, Packet, PacketType, PropertiesBuf, Property, ReasonCode, Version,
    Will as WireWill, decode, encode,
};
use mqtt_session::{OurLimits, PACKET_BYTES_MAX, Protocol, Session, Violation};
use mqtt_transport::{Connection, FrameReader, FrameWriter, ReadError};

use crate::{ConnectError, Exchange, Options};

/// What the server said when it admitted the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Welcome {
    /// Whether the server still had the session ([MQTT-3.2.2-2]).
    pub session_present: bool,
    /// The client identifier in use: as given, or as assigned by the server.
    pub client_id: String,
    /// All properties of the CONNACK.
    pub properties: PropertiesBuf,
}

/// An admitted connection.
pub(crate) struct Admitted {
    pub(crate) stream: Connection,
    pub(crate) reader: FrameReader,
    pub(crate) writer: FrameWriter,
    pub(crate) protocol: Protocol,
    pub(crate) welcome: Welcome,
    /// Whether the session of the connection before goes on.
    pub(crate) session_kept: bool,
}

/// QoS 1 and QoS 2 messages under way at most, whatever the server allows.
const INFLIGHT_MAX: core::num::NonZeroU16 = core::num::NonZeroU16::new(1024).expect("not zero");

/// Opens a stream and connects on it. The session comes back if that fails.
pub(crate) async fn admit(
    options: &Options,
    client_id: &str,
    clean_start: bool,
    session: Session,
) -> Result<Admitted, Box<(ConnectError, Session)>> {
    let opened = tokio::time::timeout(options.connect_timeout, open(options, client_id, clean_start)).await;
    match opened.unwrap_or(Err(ConnectError::TimedOut)) {
        Ok(opened) => join(options, opened, client_id, clean_start, session),
        Err(error) => Err(Box::new((error, session))),
    }
}

/// A stream on which a CONNACK has arrived.
struct Opened {
    stream: Connection,
    reader: FrameReader,
    connack: Vec<u8>,
    exchange: Option<Box<dyn Exchange>>,
}

async fn open(options: &Options, client_id: &str, clean_start: bool) -> Result<Opened, ConnectError> {
    let mut stream = options.dialer.dial().await?;
    let mut writer = FrameWriter::new();
    let mut exchange = options.authenticator().map(|authenticator| authenticator.start());
    let data = exchange.as_mut().and_then(|exchange| exchange.first());
    let properties = connect_properties(options, data.as_deref())?;
    let connect = connect(options, client_id, clean_start, &properties);
    encode(&Packet::Connect(connect), options.version, writer.buffer())?;
    writer.flush(&mut stream).await?;
    let mut reader = FrameReader::new(options.limits.maximum_packet_size_bytes.min(PACKET_BYTES_MAX));
    let mut frame = Vec::new();
    loop {
        reader.next_frame(&mut stream, &mut frame).await.map_err(|error| match error {
            ReadError::Io(error) => ConnectError::Io(error),
            ReadError::Malformed(error) => ConnectError::Violation(error.into()),
            ReadError::Closed | ReadError::ClosedMidFrame => ConnectError::Closed,
        })?;
        let is_auth = frame.first().is_some_and(|first| first >> 4 == PacketType::Auth as u8);
        let (true, Some(exchange)) = (is_auth, &mut exchange) else { break };
        answer_challenge(options, &frame, &mut **exchange, writer.buffer())?;
        writer.flush(&mut stream).await?;
    }
    Ok(Opened { stream, reader, connack: frame, exchange })
}

/// Answers an AUTH of the server ([MQTT-4.12.0-3]).
fn answer_challenge(
    options: &Options,
    frame: &[u8],
    exchange: &mut dyn Exchange,
    out: &mut Vec<u8>,
) -> Result<(), ConnectError> {
    let method = options.authenticator().map_or("", |authenticator| authenticator.method());
    let challenge = match decode(frame, options.version).map_err(Violation::from)? {
        Packet::Auth(auth)
            if auth.reason == ReasonCode::ContinueAuthentication
                && auth.properties.authentication_method() == Some(method) =>
        {
            auth.properties.authentication_data().unwrap_or_default()
        }
        _ => return Err(Violation::protocol_error("MQTT-4.12.0-5").into()),
    };
    let answer = exchange.answer(challenge).ok_or(ConnectError::NotAuthenticated)?;
    let mut properties = PropertiesBuf::new();
    properties.push(&Property::AuthenticationMethod(method))?;
    properties.push(&Property::AuthenticationData(&answer))?;
    let reason = ReasonCode::ContinueAuthentication;
    encode(&Packet::Auth(Auth { reason, properties: properties.as_properties() }), options.version, out)?;
    Ok(())
}

fn join(
    options: &Options,
    mut opened: Opened,
    client_id: &str,
    clean_start: bool,
    session: Session,
) -> Result<Admitted, Box<(ConnectError, Session)>> {
    let connack = match decode(&opened.connack, options.version) {
        Ok(Packet::Connack(connack)) => connack,
        Ok(_) => return Err(Box::new((Violation::protocol_error("MQTT-3.2.0-1").into(), session))),
        Err(error) => return Err(Box::new((Violation::from(error).into(), session))),
    };
    if connack.reason.is_error() {
        return Err(Box::new((refused(&connack), session)));
    }
    let data = connack.properties.authentication_data();
    if opened.exchange.as_mut().is_some_and(|exchange| !exchange.verify(data)) {
        return Err(Box::new((ConnectError::NotAuthenticated, session)));
    }
    let properties = match connect_properties(options, None) {
        Ok(properties) => properties,
        Err(error) => return Err(Box::new((error.into(), session))),
    };
    let now = tokio::time::Instant::now().into_std();
    // Without session present, what was kept here has no counterpart any more ([MQTT-3.2.2-5]).
    // A 3.1 server cannot say it; one that was asked for its session is taken to have it.
    let session_kept = connack.session_present || !options.version.has_session_present() && !clean_start;
    let (session, forgotten) = if session_kept { (session, None) } else { (Session::new(), Some(session)) };
    let connect = connect(options, client_id, clean_start, &properties);
    match Protocol::client(&connect, &connack, announced(options), INFLIGHT_MAX, session, now) {
        Ok(mut protocol) => {
            protocol.use_aliases(options.aliases);
            let welcome = Welcome {
                session_present: connack.session_present,
                client_id: connack.properties.assigned_client_identifier().unwrap_or(client_id).to_owned(),
                properties: owned(&connack),
            };
            let writer = FrameWriter::new();
            let Opened { stream, reader, .. } = opened;
            Ok(Admitted { stream, reader, writer, protocol, welcome, session_kept })
        }
        Err(violation) => Err(Box::new((violation.into(), forgotten.unwrap_or_default()))),
    }
}

fn owned(connack: &Connack<'_>) -> PropertiesBuf {
    let mut properties = PropertiesBuf::new();
    properties.extend_from(connack.properties);
    properties
}

fn refused(connack: &Connack<'_>) -> ConnectError {
    ConnectError::Refused {
        reason: connack.reason,
        text: connack.properties.reason_string().map(str::to_owned),
        server_reference: connack.properties.server_reference().map(str::to_owned),
    }
}

/// In 3.x nothing is announced, so nothing may be enforced but the size.
fn announced(options: &Options) -> OurLimits {
    if options.version == Version::V5 {
        options.limits
    } else {
        OurLimits {
            maximum_packet_size_bytes: options.limits.maximum_packet_size_bytes,
            ..OurLimits::default()
        }
    }
}

fn connect_properties(options: &Options, data: Option<&[u8]>) -> Result<PropertiesBuf, EncodeError> {
    let mut properties = PropertiesBuf::new();
    if options.version != Version::V5 {
        return Ok(properties);
    }
    let limits = &options.limits;
    if options.session_expiry_s > 0 {
        properties.push(&Property::SessionExpiryInterval(options.session_expiry_s))?;
    }
    if limits.receive_maximum.get() < u16::MAX {
        properties.push(&Property::ReceiveMaximum(limits.receive_maximum))?;
    }
    if limits.maximum_packet_size_bytes < PACKET_BYTES_MAX
        && let Some(bytes) = core::num::NonZeroU32::new(limits.maximum_packet_size_bytes)
    {
        properties.push(&Property::MaximumPacketSize(bytes))?;
    }
    if limits.topic_alias_maximum > 0 {
        properties.push(&Property::TopicAliasMaximum(limits.topic_alias_maximum))?;
    }
    if let Some(authenticator) = options.authenticator() {
        properties.push(&Property::AuthenticationMethod(authenticator.method()))?;
    }
    if let Some(data) = data {
        properties.push(&Property::AuthenticationData(data))?;
    }
    properties.extend_from(options.properties.as_properties());
    Ok(properties)
}

fn connect<'a>(
    options: &'a Options,
    client_id: &'a str,
    clean_start: bool,
    properties: &'a PropertiesBuf,
) -> Connect<'a> {
    Connect {
        version: options.version,
        clean_start,
        keep_alive_s: options.keep_alive_s,
        properties: properties.as_properties(),
        client_id,
        will: options.will.as_ref().map(|will| WireWill {
            qos: will.qos,
            retain: will.retain,
            properties: will.properties.as_properties(),
            topic: &will.topic,
            payload: &will.payload,
        }),
        username: options.username.as_deref(),
        password: options.password.as_deref(),
    }
}
