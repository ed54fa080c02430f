use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Where to listen or to connect.
///
/// Written as `SCHEME://HOST:PORT`, with a path behind it for WebSocket, or as `unix:///PATH`. The port is always given, 0
/// lets the system choose one when listening. An IPv6 address stands in brackets. A WebSocket address without a path means `/`.
///
/// ```
/// use mqtt_transport::{Scheme, Url};
///
/// let url = Url::parse("wss://example.org:443/mqtt")?;
/// assert_eq!((url.scheme(), url.host(), url.port(), url.path()), (Scheme::Wss, "example.org", 443, "/mqtt"));
/// let error = Url::parse("http://example.org").unwrap_err();
/// println!("{error}"); // says what to write instead
/// # Ok::<(), mqtt_transport::UrlError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Url {
    scheme: Scheme,
    host: String,
    port: u16,
    path: String,
}

/// How bytes travel between the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// `tcp://` or `mqtt://`: MQTT directly over TCP.
    Tcp,
    /// `mqtts://`, `tls://` or `ssl://`: over TLS.
    Tls,
    /// `ws://`: inside WebSocket, section 6 of the standard.
    Ws,
    /// `wss://`: inside WebSocket over TLS.
    Wss,
    /// `unix://`: over a Unix domain socket.
    Unix,
    /// `quic://`: in one stream of a QUIC connection.
    Quic,
}

impl Scheme {
    /// All schemes, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Tcp, Self::Tls, Self::Ws, Self::Wss, Self::Unix, Self::Quic];

    /// The word before `://`; where there are several, the one that addresses are written with.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Unix => "unix",
            Self::Quic => "quic",
        }
    }

    /// Whether bytes are encrypted and the server shows a certificate.
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Wss | Self::Quic)
    }

    /// Whether MQTT travels inside WebSocket.
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// Whether the address is that of a TCP port.
    pub const fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls | Self::Ws | Self::Wss)
    }

    fn of_word(word: &str) -> Option<Self> {
        let scheme = match word.to_ascii_lowercase().as_str() {
            "tcp" | "mqtt" => Self::Tcp,
            "mqtts" | "tls" | "ssl" => Self::Tls,
            "ws" => Self::Ws,
            "wss" => Self::Wss,
            "unix" => Self::Unix,
            "quic" => Self::Quic,
            _ => return None,
        };
        Some(scheme)
    }
}

impl Url {
    /// Reads an address as described at [`Url`].
    ///
    /// # Errors
    /// Says what is wrong with `text` and what to write instead.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        parse(text).map_err(|problem| UrlError { text: text.to_owned(), problem })
    }

    /// A TCP address; an IPv6 address as host stands without its brackets.
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self { scheme: Scheme::Tcp, host: host.into(), port, path: String::new() }
    }

    /// How to connect.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The name or address to resolve; an IPv6 address without its brackets. Empty for a Unix socket.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port of TCP, or of UDP for QUIC; 0 for a Unix socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Of a WebSocket address the path of the HTTP request, starting with a slash; of a Unix socket the path of its file;
    /// else empty.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same scheme and path somewhere else.
    pub(crate) fn at(mut self, address: std::net::SocketAddr) -> Self {
        self.host = address.ip().to_string();
        self.with_port(address.port())
    }

    /// The same address with another port, for example the one the system chose.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The same address with another scheme; only to be used between schemes with the same parts.
    #[must_use]
    pub fn with_scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        self
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port, path } = self;
        let scheme = scheme.name();
        match self.scheme {
            Scheme::Unix => write!(f, "{scheme}://{path}"),
            _ if host.contains(':') => write!(f, "{scheme}://[{host}]:{port}{path}"),
            _ => write!(f, "{scheme}://{host}:{port}{path}"),
        }
    }
}

/// A text that is no [`Url`], together with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlError {
    text: String,
    problem: UrlProblem,
}

impl UrlError {
    /// What is wrong with it.
    pub fn problem(&self) -> UrlProblem {
        self.problem
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "address {:?}: {}", self.text, self.problem)
    }
}

impl std::error::Error for UrlError {}

/// What is wrong with the text of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlProblem {
    /// There is no `://`.
    NoScheme,
    /// The part before `://` is no scheme of [`Scheme`].
    UnknownScheme,
    /// Nothing stands before the port.
    NoHost,
    /// The host holds a character that neither a name nor an address can have.
    BadHost,
    /// Colons in the host without brackets, or brackets around something else.
    BadIpv6,
    /// The port is missing.
    NoPort,
    /// The port is not a number from 0 to 65535.
    BadPort,
    /// User name or password in the address.
    Credentials,
    /// A path where the scheme has none.
    PathNotAllowed,
    /// A path with a query, a fragment, a space or a character outside ASCII.
    BadPath,
    /// The path of a Unix socket does not begin at the root.
    RelativePath,
}

impl fmt::Display for UrlProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoScheme => "it needs a scheme: write tcp://host:port, for example",
            Self::UnknownScheme => "unknown scheme: there are tcp, mqtts, ws, wss, quic and unix",
            Self::NoHost => "the host is missing: 0.0.0.0 or [::] stand for all interfaces",
            Self::BadHost => "the host may only hold letters, digits, `.`, `-` and `_`",
            Self::BadIpv6 => "an IPv6 address stands in brackets, as in tcp://[::1]:1883",
            Self::NoPort => "the port is missing, as in tcp://127.0.0.1:1883",
            Self::BadPort => "the port must be a number from 0 to 65535",
            Self::Credentials => "user name and password do not belong into the address",
            Self::PathNotAllowed => "only ws, wss and unix addresses have a path",
            Self::BadPath => "the path may only hold visible ASCII characters, without `?` and `#`",
            Self::RelativePath => "write unix:///PATH, with a path from the root",
        })
    }
}

fn parse(text: &str) -> Result<Url, UrlProblem> {
    let (word, rest) = text.split_once("://").ok_or(UrlProblem::NoScheme)?;
    let scheme = Scheme::of_word(word).ok_or(UrlProblem::UnknownScheme)?;
    if scheme == Scheme::Unix {
        return parse_unix(rest);
    }
    let split = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(split);
    let (host, port) = parse_authority(authority)?;
    let path = if scheme.is_websocket() {
        parse_path(path)?
    } else if matches!(path, "" | "/") {
        String::new()
    } else {
        return Err(UrlProblem::PathNotAllowed);
    };
    Ok(Url { scheme, host, port, path })
}

fn parse_unix(path: &str) -> Result<Url, UrlProblem> {
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(UrlProblem::RelativePath);
    }
    if path.contains('\0') {
        return Err(UrlProblem::BadPath);
    }
    Ok(Url { scheme: Scheme::Unix, host: String::new(), port: 0, path: path.to_owned() })
}

fn parse_authority(authority: &str) -> Result<(String, u16), UrlProblem> {
    if authority.contains('@') {
        return Err(UrlProblem::Credentials);
    }
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']').ok_or(UrlProblem::BadIpv6)?;
        host.parse::<Ipv6Addr>().map_err(|_| UrlProblem::BadIpv6)?;
        let port = after.strip_prefix(':').ok_or(UrlProblem::NoPort)?;
        return Ok((host.to_owned(), parse_port(port)?));
    }
    if authority.is_empty() {
        return Err(UrlProblem::NoHost);
    }
    let (host, port) = authority.rsplit_once(':').ok_or(UrlProblem::NoPort)?;
    check_host(host)?;
    Ok((host.to_owned(), parse_port(port)?))
}

fn check_host(host: &str) -> Result<(), UrlProblem> {
    if host.is_empty() {
        Err(UrlProblem::NoHost)
    } else if host.contains(':') {
        Err(UrlProblem::BadIpv6)
    } else if host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) {
        Ok(())
    } else {
        Err(UrlProblem::BadHost)
    }
}

fn parse_port(port: &str) -> Result<u16, UrlProblem> {
    if port.is_empty() {
        return Err(UrlProblem::NoPort);
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UrlProblem::BadPort);
    }
    port.parse().map_err(|_| UrlProblem::BadPort)
}

fn parse_path(path: &str) -> Result<String, UrlProblem> {
    if path.is_empty() {
        return Ok("/".to_owned());
    }
    let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
    if path.bytes().all(visible) { Ok(path.to_owned()) } else { Err(UrlProblem::BadPath) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Url {
        Url::tcp(host, port)
    }

    fn ws(host: &str, port: u16, path: &str) -> Url {
        Url { scheme: Scheme::Ws, host: host.to_owned(), port, path: path.to_owned() }
    }

    fn check(text: &str, expected: Url) {
        let parsed = Url::parse(text).expect(text);
        assert_eq!(parsed, expected);
        assert_eq!(Url::parse(&parsed.to_string()).expect("what is displayed"), expected);
    }

    fn check_refused(text: &str, problem: UrlProblem) {
        let error = Url::parse(text).expect_err(text);
        assert_eq!(error.problem(), problem, "{text}");
        assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
    }

    #[test]
    fn addresses_are_read_and_written_alike() {
        check("tcp://127.0.0.1:1883", tcp("127.0.0.1", 1883));
        check("TCP://localhost:0", tcp("localhost", 0));
        check("tcp://[::1]:1883", tcp("::1", 1883));
        check("tcp://a_b-c.example:65535/", tcp("a_b-c.example", 65535));
        check("ws://127.0.0.1:8083/mqtt", ws("127.0.0.1", 8083, "/mqtt"));
        check("ws://[::]:8083/a/b%20c", ws("::", 8083, "/a/b%20c"));
        check("ws://host:80", ws("host", 80, "/"));
        check("WSS://host:443/m", ws("host", 443, "/m").with_scheme(Scheme::Wss));
        check("mqtt://host:1", tcp("host", 1));
        for word in ["mqtts", "tls", "ssl"] {
            check(&format!("{word}://host:8883"), tcp("host", 8883).with_scheme(Scheme::Tls));
        }
        check("quic://[::1]:14567", tcp("::1", 14567).with_scheme(Scheme::Quic));
        let socket =
            Url { scheme: Scheme::Unix, host: String::new(), port: 0, path: "/run/a b.sock".to_owned() };
        check("unix:///run/a b.sock", socket);
    }

    #[test]
    fn a_bad_address_says_what_is_wrong() {
        check_refused("", UrlProblem::NoScheme);
        check_refused("127.0.0.1:1883", UrlProblem::NoScheme);
        check_refused("http://host:1883", UrlProblem::UnknownScheme);
        check_refused("mqtts://host:1883/path", UrlProblem::PathNotAllowed);
        check_refused("quic://host:14567/path", UrlProblem::PathNotAllowed);
        check_refused("unix://run/mqtt.sock", UrlProblem::RelativePath);
        check_refused("unix:///run/", UrlProblem::RelativePath);
        check_refused("tcp://", UrlProblem::NoHost);
        check_refused("tcp://:1883", UrlProblem::NoHost);
        check_refused("tcp://host", UrlProblem::NoPort);
        check_refused("tcp://host:", UrlProblem::NoPort);
        check_refused("tcp://[::1]", UrlProblem::NoPort);
        check_refused("tcp://host:65536", UrlProblem::BadPort);
        check_refused("tcp://host:+1", UrlProblem::BadPort);
        check_refused("tcp://host:1883x", UrlProblem::BadPort);
        check_refused("tcp://::1:1883", UrlProblem::BadIpv6);
        check_refused("tcp://[::1:1883", UrlProblem::BadIpv6);
        check_refused("tcp://[host]:1883", UrlProblem::BadIpv6);
        check_refused("tcp://ho st:1883", UrlProblem::BadHost);
        check_refused("tcp://user:word@host:1883", UrlProblem::Credentials);
        check_refused("tcp://host:1883/path", UrlProblem::PathNotAllowed);
        check_refused("ws://host:80/a?b", UrlProblem::BadPath);
        check_refused("ws://host:80/a#b", UrlProblem::BadPath);
        check_refused("ws://host:80/a b", UrlProblem::BadPath);
        check_refused("ws://host:80/\u{e4}", UrlProblem::BadPath);
    }

    #[test]
    fn the_error_tells_what_to_write() {
        let error = Url::parse("localhost").expect_err("no scheme");
        assert_eq!(
            error.to_string(),
            "address \"localhost\": it needs a scheme: write tcp://host:port, for example"
        );
    }

    #[test]
    fn only_the_port_is_replaced() {
        assert_eq!(ws("host", 0, "/mqtt").with_port(99), ws("host", 99, "/mqtt"));
        assert_eq!(tcp("host", 0).with_port(99).port(), 99);
    }
}
