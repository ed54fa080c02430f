//! From the arguments of a tool to the values of its connection, with the rules between them.

use mqtt_codec::{PropertiesBuf, Property, PropertyPlace, QoS, Version};
use mqtt_transport::{ConnectOptions, Url};

use super::args::{ConnectionArguments, WillArguments};
use super::properties::of_place;
use super::target::Target;

/// Everything that a tool's connection needs to know.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionOptions {
    pub(crate) url: Url,
    pub(crate) connect: ConnectOptions,
    pub(crate) version: Version,
    /// Empty if the broker may choose.
    pub(crate) client_id: String,
    pub(crate) clean_start: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) will: Option<WillOptions>,
    pub(crate) connect_properties: PropertiesBuf,
    pub(crate) disconnect_properties: PropertiesBuf,
}

/// The will of the connection.
#[derive(Clone, Debug)]
pub(crate) struct WillOptions {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) properties: PropertiesBuf,
}

impl ConnectionOptions {
    /// Resolves the arguments; `unique` makes a client identifier that nobody else has.
    ///
    /// # Errors
    /// Arguments that do not go together.
    pub(crate) fn new(arguments: &ConnectionArguments, unique: impl Fn() -> String) -> Result<Self, String> {
        let version = Version::from(arguments.protocol_version);
        check_version(arguments, version)?;
        let tls = &arguments.tls;
        let of_host = || Target::of_host(&arguments.host, arguments.port, tls.ask_for_tls());
        let target = arguments.url.clone().unwrap_or_else(of_host);
        if tls.ask_for_tls() && !target.url.scheme().is_encrypted() {
            return Err(format!(
                "--cafile and --cert need an encrypted address, which {} is not",
                target.url
            ));
        }
        let username = arguments.username.clone().or(target.username);
        let password = arguments.password.clone().or(target.password);
        if version != Version::V5 && password.is_some() && username.is_none() {
            return Err("a password needs a user name before MQTT 5".to_owned());
        }
        Ok(Self {
            url: target.url,
            connect: tls.options(),
            version,
            client_id: client_id(arguments, version, unique)?,
            clean_start: !arguments.disable_clean_session,
            keep_alive_s: arguments.keepalive,
            username,
            password: password.map(String::into_bytes),
            will: will(arguments)?,
            connect_properties: connect_properties(arguments, version)?,
            disconnect_properties: of_place(&arguments.properties, PropertyPlace::Disconnect)?,
        })
    }
}

fn check_version(arguments: &ConnectionArguments, version: Version) -> Result<(), String> {
    let of_version_5 = [
        ("--property", !arguments.properties.is_empty()),
        ("--session-expiry-interval", arguments.session_expiry_interval.is_some()),
    ];
    match of_version_5.iter().find(|(_, given)| *given && version != Version::V5) {
        Some((option, _)) => Err(format!("{option} exists in MQTT 5 only")),
        None => Ok(()),
    }
}

fn client_id(
    arguments: &ConnectionArguments,
    version: Version,
    unique: impl Fn() -> String,
) -> Result<String, String> {
    let given = arguments.id.clone();
    let prefixed = arguments.id_prefix.as_ref().map(|prefix| format!("{prefix}{}", std::process::id()));
    match given.or(prefixed) {
        Some(id) if version == Version::V3_1 && !(1..=ID_V3_1_MAX).contains(&id.chars().count()) => {
            Err(format!("a client identifier has 1 to {ID_V3_1_MAX} characters in MQTT 3.1"))
        }
        Some(id) => Ok(id),
        None if version == Version::V5 => Ok(String::new()),
        None => Ok(unique()),
    }
}

/// Characters of a client identifier in MQTT 3.1 (section 3.1 there).
const ID_V3_1_MAX: usize = 23;

fn connect_properties(arguments: &ConnectionArguments, version: Version) -> Result<PropertiesBuf, String> {
    let mut properties = of_place(&arguments.properties, PropertyPlace::Connect)?;
    let with_session = (version == Version::V5 && arguments.disable_clean_session).then_some(u32::MAX);
    let given_as_property = properties.as_properties().session_expiry_interval_s().is_some();
    match (arguments.session_expiry_interval, with_session) {
        (Some(_), _) if given_as_property => Err("the session expiry interval is given twice".to_owned()),
        (None, Some(_)) if given_as_property => Ok(properties),
        (given, default) => {
            if let Some(seconds) = given.or(default) {
                properties.push(&Property::SessionExpiryInterval(seconds)).expect("a number is short");
            }
            Ok(properties)
        }
    }
}

fn will(arguments: &ConnectionArguments) -> Result<Option<WillOptions>, String> {
    let WillArguments { will_topic, will_payload, will_qos, will_retain } = &arguments.will;
    let properties = of_place(&arguments.properties, PropertyPlace::Will)?;
    let Some(topic) = will_topic.clone() else {
        let message = "a property of the will needs --will-topic".to_owned();
        return if properties.is_empty() { Ok(None) } else { Err(message) };
    };
    let payload = will_payload.clone().unwrap_or_default().into_bytes();
    Ok(Some(WillOptions { topic, payload, qos: *will_qos, retain: *will_retain, properties }))
}
