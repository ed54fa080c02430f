//! Values on the command line, as clap wants them parsed.

use std::time::Duration;

use mqtt_codec::{QoS, Version};

/// A time span, in seconds with decimals.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A rate per second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "a rate is a number above 0".to_owned())
}

/// A quality of service.
pub(super) fn qos(text: &str) -> Result<QoS, String> {
    let qos = text.parse().ok().and_then(|number: u8| QoS::try_from(number).ok());
    qos.ok_or_else(|| "quality of service is 0, 1 or 2".to_owned())
}

/// A version of MQTT, with or without dots.
pub(super) fn version(text: &str) -> Result<Version, String> {
    match text {
        "3.1" | "31" => Ok(Version::V3_1),
        "3.1.1" | "311" => Ok(Version::V3_1_1),
        "5" | "5.0" => Ok(Version::V5),
        _ => Err("the versions are 3.1, 3.1.1 and 5".to_owned()),
    }
}

/// What a run puts in front of its names: it becomes a level of topics and filters, the name of a shared group and a part of client identifiers.
pub(super) fn prefix(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=64).contains(&text.len()) && text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("up to 64 letters, digits, `-` and `_`".to_owned())
    }
}
