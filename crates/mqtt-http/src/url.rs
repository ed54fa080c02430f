//! Addresses of services.

use core::fmt;

use hyper::Uri;
use mqtt_transport::{Scheme, Url};

/// `http://HOST[:PORT]/PATH[?QUERY]` or `https://...`. Shown without its query, which may hold a secret.
///
/// ```
/// use mqtt_http::HttpUrl;
///
/// let url = HttpUrl::parse("https://users.example.org/login")?;
/// assert!(url.is_encrypted());
/// assert!(HttpUrl::parse("ftp://users.example.org").is_err());
/// # Ok::<(), mqtt_http::HttpUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    uri: Uri,
}

/// Why a text is no address of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpUrlError {
    /// It does not begin with `http://` or `https://`.
    Scheme,
    /// It has no host, or a character that may not be there.
    Malformed,
    /// It holds a user name or password, which would stand in every log.
    Credentials,
}

impl HttpUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, HttpUrlError> {
        let uri: Uri = text.parse().map_err(|_| HttpUrlError::Malformed)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(HttpUrlError::Scheme);
        }
        let authority = uri.authority().ok_or(HttpUrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(HttpUrlError::Credentials);
        }
        let url = Self { uri };
        Url::parse(&url.transport()).map_err(|_| HttpUrlError::Malformed)?;
        Ok(url)
    }

    /// Whether it is `https://`.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Host and port as they stand in the address, for the header `Host`.
    pub(crate) fn host(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        self.uri.path_and_query().map_or("/", |target| target.as_str())
    }

    /// Where to connect.
    pub(crate) fn connection(&self) -> Url {
        Url::parse(&self.transport()).expect("it was read before")
    }

    fn transport(&self) -> String {
        let (scheme, port) = if self.is_encrypted() { (Scheme::Tls, 443) } else { (Scheme::Tcp, 80) };
        let port = self.uri.port_u16().unwrap_or(port);
        format!("{}://{}:{port}", scheme.name(), self.uri.host().unwrap_or_default())
    }

    /// The whole address, its query included.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.uri.to_string()
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted() { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.host(), self.uri.path())
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({self})")
    }
}

impl fmt::Display for HttpUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "an address begins with http:// or https://",
            Self::Malformed => "this is no address",
            Self::Credentials => "an address holds no user name or password; use a header",
        })
    }
}

impl std::error::Error for HttpUrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_to_connect_and_what_to_ask_for() {
        for (text, connection, host, target) in [
            ("http://a.example/login?k=1", "tcp://a.example:80", "a.example", "/login?k=1"),
            ("https://a.example:8443", "mqtts://a.example:8443", "a.example:8443", "/"),
            ("http://[::1]:81/x", "tcp://[::1]:81", "[::1]:81", "/x"),
        ] {
            let url = HttpUrl::parse(text).expect(text);
            assert_eq!(url.connection().to_string(), connection);
            assert_eq!((url.host(), url.target()), (host, target));
        }
        let shown = format!("{0} {0:?}", HttpUrl::parse("http://a/b?token=hunter2").expect("an address"));
        assert!(shown.contains("http://a/b") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (text, error) in [
            ("a.example/login", HttpUrlError::Malformed),
            ("/login", HttpUrlError::Scheme),
            ("ftp://a/", HttpUrlError::Scheme),
            ("http://user:hunter2@a/", HttpUrlError::Credentials),
            ("http://a b/", HttpUrlError::Malformed),
            ("http://a/\u{e4}\n", HttpUrlError::Malformed),
            ("", HttpUrlError::Malformed),
        ] {
            assert_eq!(HttpUrl::parse(text), Err(error), "{text:?}");
        }
    }
}
