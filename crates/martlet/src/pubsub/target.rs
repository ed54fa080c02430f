//! Which broker a tool talks to: `-h` and `-p`, or one URL.

use mqtt_transport::{Scheme, Url};

/// What `-L URL` may hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    /// The path of an `mqtt://` URL.
    pub(crate) topic: Option<String>,
}

const PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;
/// What other brokers and their clients use; none is registered.
const QUIC_PORT: u16 = 14567;

impl Target {
    /// A host and a port, over TCP or TLS.
    pub(crate) fn of_host(host: &str, port: Option<u16>, tls: bool) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.unwrap_or(if tls { TLS_PORT } else { PORT });
        let scheme = if tls || port == TLS_PORT { Scheme::Tls } else { Scheme::Tcp };
        Self { url: Url::tcp(host, port).with_scheme(scheme), username: None, password: None, topic: None }
    }

    /// Reads `mqtt://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC]` or `ws://[USER[:PASSWORD]@]HOST:PORT[/PATH]`, with `mqtts`,
    /// `quic` and `wss` for encryption, or `unix:///PATH`; `tcp` is another word for `mqtt`. User name, password and topic
    /// may be percent-encoded.
    ///
    /// # Errors
    /// Says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("a URL starts with mqtt:// or ws://")?;
        let split = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(split);
        let (login, address) = authority.rsplit_once('@').map_or((None, authority), |(a, b)| (Some(a), b));
        let (username, password) = login.map(parse_login).transpose()?.unwrap_or_default();
        let (url, topic) = match scheme {
            "mqtt" | "tcp" => {
                (parse_url(&format!("tcp://{}", with_port(address, PORT)))?, parse_topic(path)?)
            }
            "mqtts" | "tls" | "ssl" => {
                (parse_url(&format!("mqtts://{}", with_port(address, TLS_PORT)))?, parse_topic(path)?)
            }
            "quic" => (parse_url(&format!("quic://{}", with_port(address, QUIC_PORT)))?, parse_topic(path)?),
            "ws" | "wss" => (parse_url(&format!("{scheme}://{address}{path}"))?, None),
            "unix" => (parse_url(text)?, None),
            _ => {
                let known = "mqtt, mqtts, quic, ws, wss and unix";
                return Err(format!("{scheme}:// is not supported; there are {known}"));
            }
        };
        Ok(Self { url, username, password, topic })
    }
}

fn with_port(address: &str, default: u16) -> String {
    let after_host = address.rsplit_once(']').map_or(address, |(_, port)| port);
    if after_host.contains(':') { address.to_owned() } else { format!("{address}:{default}") }
}

fn parse_url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| error.problem().to_string())
}

fn parse_topic(path: &str) -> Result<Option<String>, String> {
    let topic = percent_decoded(path.strip_prefix('/').unwrap_or_default())?;
    Ok(Some(topic).filter(|topic| !topic.is_empty()))
}

fn parse_login(login: &str) -> Result<(Option<String>, Option<String>), String> {
    let (username, password) = login.split_once(':').map_or((login, None), |(name, word)| (name, Some(word)));
    Ok((Some(percent_decoded(username)?), password.map(percent_decoded).transpose()?))
}

/// The text with each `%XX` replaced by the byte it stands for.
fn percent_decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(|| format!("`%` is followed by two hexadecimal digits in {text:?}"))?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} is no UTF-8 when decoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, url: &str, login: [Option<&str>; 2], topic: Option<&str>) {
        let target = Target::parse(text).expect(text);
        assert_eq!(target.url.to_string(), url, "{text}");
        assert_eq!([target.username.as_deref(), target.password.as_deref()], login, "{text}");
        assert_eq!(target.topic.as_deref(), topic, "{text}");
    }

    #[test]
    fn a_url_names_broker_login_and_topic() {
        check("mqtt://host", "tcp://host:1883", [None, None], None);
        check("mqtt://host/", "tcp://host:1883", [None, None], None);
        check("mqtt://host:99/a/b", "tcp://host:99", [None, None], Some("a/b"));
        check("mqtt://host//a", "tcp://host:1883", [None, None], Some("/a"));
        check("tcp://[::1]/a", "tcp://[::1]:1883", [None, None], Some("a"));
        check("tcp://[::1]:5", "tcp://[::1]:5", [None, None], None);
        check("mqtt://me@host/a", "tcp://host:1883", [Some("me"), None], Some("a"));
        check("mqtt://me:p%40s:s@host/%24SYS", "tcp://host:1883", [Some("me"), Some("p@s:s")], Some("$SYS"));
        check("mqtts://me@host/a", "mqtts://host:8883", [Some("me"), None], Some("a"));
        check("quic://me@host/a", "quic://host:14567", [Some("me"), None], Some("a"));
        check("wss://host:443/mqtt", "wss://host:443/mqtt", [None, None], None);
        check("unix:///run/mqtt.sock", "unix:///run/mqtt.sock", [None, None], None);
        check("ws://host:80/mqtt", "ws://host:80/mqtt", [None, None], None);
        check("ws://me:word@host:80", "ws://host:80/", [Some("me"), Some("word")], None);
    }

    #[test]
    fn a_wrong_url_says_what_is_wrong() {
        for (text, part) in [
            ("host:1883", "starts with mqtt://"),
            ("http://host", "http:// is not supported"),
            ("mqtt://", "host is missing"),
            ("mqtt://host:x", "port must be a number"),
            ("ws://host/mqtt", "port is missing"),
            ("mqtt://host/%4", "two hexadecimal digits"),
            ("mqtt://host/%ff", "no UTF-8"),
        ] {
            let message = Target::parse(text).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn brackets_around_a_host_are_optional() {
        let url = |host| Target::of_host(host, Some(5), false).url;
        assert_eq!(url("::1"), url("[::1]"));
    }

    #[test]
    fn tls_is_meant_by_its_options_and_by_its_port() {
        for (port, tls, url) in [
            (None, false, "tcp://host:1883"),
            (None, true, "mqtts://host:8883"),
            (Some(8883), false, "mqtts://host:8883"),
            (Some(1883), true, "mqtts://host:1883"),
        ] {
            assert_eq!(Target::of_host("host", port, tls).url.to_string(), url);
        }
    }
}
