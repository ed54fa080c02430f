//! CONNECT and CONNACK, as a server sees them (sections 3.1 and 3.2).

use bytes::BufMut;
use mqtt_codec::{
    Connack, Connect, EncodeError, Packet, PropertiesBuf, Property, QoS, ReasonCode, Version, encode,
    encoded_len,
};

use mqtt_topic::TopicName;

use crate::send::write;
use crate::{Policy, TheirLimits, Violation, WillMessage};

/// What a CONNECT asked for and what the policy grants.
///
/// ```
/// use mqtt_codec::{Connect, Properties, Version};
/// use mqtt_session::{Opening, Policy};
///
/// let connect = Connect {
///     version: Version::V5,
///     clean_start: true,
///     keep_alive_s: 60,
///     properties: Properties::EMPTY,
///     client_id: "thermometer",
///     will: None,
///     username: None,
///     password: None,
/// };
/// let policy = Policy { keep_alive_max_s: 30, ..Policy::default() };
/// let mut opening = Opening::accept(&connect, &policy, || "chosen by us".into())?;
/// assert_eq!((opening.keep_alive_s, opening.keep_alive_changed), (30, true));
/// assert_eq!(&*opening.client_id, "thermometer");
/// # Ok::<(), mqtt_session::Violation>(())
/// ```
#[derive(Clone, Debug)]
pub struct Opening {
    /// The client's protocol version.
    pub version: Version,
    /// Clean Start (5.0) or Clean Session (3.x).
    pub clean_start: bool,
    /// Client identifier, as sent or as assigned.
    pub client_id: Box<str>,
    /// Whether the server chose the identifier, so that the client must be told ([MQTT-3.1.3-7]).
    pub client_id_assigned: bool,
    /// Seconds of the Keep Alive that is enforced; 0 for none.
    pub keep_alive_s: u16,
    /// Whether it differs from what the client asked, so that it must be told ([MQTT-3.2.2-22]).
    pub keep_alive_changed: bool,
    /// Seconds that the session may live without a connection; `u32::MAX` for no end.
    pub session_expiry_s: u32,
    /// Whether it differs from what the client asked.
    pub session_expiry_changed: bool,
    /// What the client accepts.
    pub theirs: TheirLimits,
    /// What is published when the connection is lost.
    pub will: Option<WillMessage>,
    /// User name.
    pub username: Option<Box<str>>,
    /// Password: any bytes.
    pub password: Option<Box<[u8]>>,
    /// Authentication method of an enhanced authentication (section 4.12).
    pub authentication_method: Option<Box<str>>,
    /// The method's first data.
    pub authentication_data: Option<Box<[u8]>>,
    /// Whether the client asks for response information (section 3.1.2.11.6).
    pub wants_response_information: bool,
}

impl Opening {
    /// Judges a CONNECT. `assign` is called for an identifier if the client leaves it to the server.
    ///
    /// # Errors
    /// What the CONNACK must say; for 3.x a return code stands for it, or nothing.
    pub fn accept(
        connect: &Connect<'_>,
        policy: &Policy,
        assign: impl FnOnce() -> Box<str>,
    ) -> Result<Self, Violation> {
        let version = connect.version;
        if version < policy.version_min || version > policy.version_max {
            return Err(Violation::new(ReasonCode::UnsupportedProtocolVersion, "MQTT-3.1.2-2"));
        }
        let properties = connect.properties;
        let client_id_assigned = connect.client_id.is_empty();
        check_client_id(connect, policy)?;
        let will = connect.will.as_ref().map(|will| WillMessage::accept(will, policy)).transpose()?;
        let asked_expiry_s = match version {
            Version::V5 => properties.session_expiry_interval_s().unwrap_or(0),
            _ if connect.clean_start => 0, // [MQTT3-3.1.2-6]
            _ => policy.session_expiry_v3_s,
        };
        let session_expiry_s = asked_expiry_s.min(policy.session_expiry_max_s);
        let keep_alive_s = granted_keep_alive_s(connect, policy);
        Ok(Self {
            version,
            clean_start: connect.clean_start,
            client_id: if client_id_assigned { assign() } else { connect.client_id.into() },
            client_id_assigned,
            keep_alive_s,
            keep_alive_changed: keep_alive_s != connect.keep_alive_s,
            session_expiry_s,
            session_expiry_changed: session_expiry_s != asked_expiry_s,
            theirs: TheirLimits::of_client(connect),
            will,
            username: connect.username.map(Into::into),
            password: connect.password.map(Into::into),
            authentication_method: properties.authentication_method().map(Into::into),
            authentication_data: properties.authentication_data().map(Into::into),
            wants_response_information: properties.request_response_information().unwrap_or(false),
        })
    }

    /// Writes the CONNACK that admits the client.
    ///
    /// # Errors
    /// It is larger than the client accepts ([MQTT-3.1.2-24]) or than can be encoded; nothing was written.
    /// All that it says the client must be told, so the client cannot be admitted.
    pub fn write_connack<B: BufMut>(
        &self,
        policy: &Policy,
        session_present: bool,
        authentication_data: Option<&[u8]>,
        out: &mut B,
    ) -> Result<(), EncodeError> {
        let mut properties = PropertiesBuf::new();
        if self.version == Version::V5 {
            self.announce(policy, &mut properties)?;
            if let Some(method) = &self.authentication_method {
                properties.push(&Property::AuthenticationMethod(method))?;
                if let Some(data) = authentication_data {
                    properties.push(&Property::AuthenticationData(data))?;
                }
            }
        }
        let connack =
            Connack { session_present, reason: ReasonCode::Success, properties: properties.as_properties() };
        let packet = Packet::Connack(connack);
        if encoded_len(&packet, self.version)? > self.theirs.maximum_packet_size_bytes as usize {
            return Err(EncodeError::PacketTooLarge);
        }
        encode(&packet, self.version, out).map(drop)
    }

    fn announce(&self, policy: &Policy, properties: &mut PropertiesBuf) -> Result<(), EncodeError> {
        let ours = &policy.ours;
        let mut say = |unless: bool, property: Property<'_>| {
            if unless { Ok(()) } else { properties.push(&property) }
        };
        say(!self.session_expiry_changed, Property::SessionExpiryInterval(self.session_expiry_s))?;
        say(ours.receive_maximum.get() == u16::MAX, Property::ReceiveMaximum(ours.receive_maximum))?;
        say(policy.maximum_qos == QoS::ExactlyOnce, Property::MaximumQoS(policy.maximum_qos))?; // [MQTT-3.2.2-9]
        say(policy.retain_available, Property::RetainAvailable(false))?;
        if let Some(bytes) = core::num::NonZeroU32::new(ours.maximum_packet_size_bytes) {
            say(bytes.get() >= crate::PACKET_BYTES_MAX, Property::MaximumPacketSize(bytes))?;
        }
        say(!self.client_id_assigned, Property::AssignedClientIdentifier(&self.client_id))?; // [MQTT-3.2.2-16]
        say(ours.topic_alias_maximum == 0, Property::TopicAliasMaximum(ours.topic_alias_maximum))?;
        say(policy.wildcard_subscription_available, Property::WildcardSubscriptionAvailable(false))?;
        say(policy.subscription_identifiers_available, Property::SubscriptionIdentifiersAvailable(false))?;
        say(policy.shared_subscription_available, Property::SharedSubscriptionAvailable(false))?;
        say(!self.keep_alive_changed, Property::ServerKeepAlive(self.keep_alive_s))?;
        match &policy.response_information {
            Some(start) if self.wants_response_information => {
                let start = response_start(start, &self.client_id);
                say(false, Property::ResponseInformation(&start)) // [MQTT-3.1.2-28]
            }
            _ => Ok(()),
        }
    }
}

/// Why a client is not admitted, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Reason Code of the CONNACK.
    pub reason: ReasonCode,
    /// Reason String: for people, never for programs (section 3.2.2.3.9).
    pub text: Option<Box<str>>,
    /// Where to go instead, with [`ReasonCode::UseAnotherServer`] or [`ReasonCode::ServerMoved`]
    /// (section 4.11).
    pub server_reference: Option<Box<str>>,
}

impl From<ReasonCode> for Refusal {
    fn from(reason: ReasonCode) -> Self {
        Self { reason, text: None, server_reference: None }
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        Self { reason: violation.reason, text: Some(violation.to_string().into()), server_reference: None }
    }
}

/// Writes the CONNACK that refuses a client, in at most `bytes_max` bytes: the text is left away first, then
/// the reference ([MQTT-3.2.2-19], [MQTT-3.2.2-20]). Writes nothing where the client's version has no way to
/// say it: the connection is then just closed ([MQTT3-3.1.4-1]).
pub fn write_refusal<B: BufMut>(version: Version, refusal: &Refusal, bytes_max: u32, out: &mut B) {
    let reference = refusal.server_reference.as_deref();
    let text = refusal.text.as_deref();
    for (reference, text) in [(reference, text), (reference, None), (None, None)] {
        let mut properties = PropertiesBuf::new();
        // What cannot be encoded is left away: the reason code says the main thing already.
        if let Some(reference) = reference.filter(|_| version == Version::V5) {
            properties.push(&Property::ServerReference(reference)).ok();
        }
        if let Some(text) = text.filter(|_| version == Version::V5) {
            properties.push(&Property::ReasonString(text)).ok();
        }
        let (reason, properties) = (refusal.reason, properties.as_properties());
        // [MQTT-3.2.2-6]: session present is 0 with an error.
        let connack = Packet::Connack(Connack { session_present: false, reason, properties });
        if write(&connack, version, bytes_max, out).is_ok() {
            return;
        }
    }
}

/// Where one client's response topics start: a place of its own, unless its identifier cannot be part of a
/// topic name.
fn response_start(start: &str, client_id: &str) -> String {
    let own = format!("{start}/{client_id}");
    if TopicName::parse(&*own).is_ok() { own } else { start.into() }
}

fn check_client_id(connect: &Connect<'_>, policy: &Policy) -> Result<(), Violation> {
    let refused = |clause| Err(Violation::new(ReasonCode::ClientIdentifierNotValid, clause));
    let bytes = connect.client_id.len();
    if bytes > usize::from(policy.client_id_bytes_max) {
        return refused("MQTT-3.1.3-5");
    }
    if bytes > 0 {
        return Ok(());
    }
    match connect.version {
        Version::V3_1 => refused("3.1 section 3.1"),
        // [MQTT3-3.1.3-8]: an empty identifier needs Clean Session 1.
        Version::V3_1_1 if !connect.clean_start => refused("MQTT3-3.1.3-8"),
        _ if !policy.empty_client_id_allowed => refused("MQTT-3.1.3-6"),
        _ => Ok(()),
    }
}

fn granted_keep_alive_s(connect: &Connect<'_>, policy: &Policy) -> u16 {
    let (asked, maximum) = (connect.keep_alive_s, policy.keep_alive_max_s);
    let tellable = connect.version == Version::V5;
    if tellable && maximum > 0 && (asked == 0 || asked > maximum) { maximum } else { asked }
}
