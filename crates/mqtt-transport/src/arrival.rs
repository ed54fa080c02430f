use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::certificate::Certificate;
use crate::connection::Connection;
use crate::ws::Refusal;

/// A connection whose transport is ready for MQTT bytes.
#[derive(Debug)]
pub struct Arrival {
    /// What to read and write.
    pub connection: Connection,
    /// Where the peer is: as the socket says, or a proxy that is believed. `None` for Unix sockets.
    pub address: Option<SocketAddr>,
    /// The certificate that the peer proved to own.
    pub certificate: Option<Arc<Certificate>>,
}

/// Why an accepted socket did not become a connection.
#[derive(Debug)]
pub enum HandshakeError {
    /// The stream failed or ended.
    Io(io::Error),
    /// The TLS handshake failed.
    Tls(Cause, io::Error),
    /// The PROXY header is missing or wrong, or comes from an address that is not believed.
    Proxy(Cause, io::Error),
    /// The peer asked for something that is not served; it was answered.
    Refused(Refusal),
}

impl HandshakeError {
    /// The reason in one word, to be counted.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Io(_) => Cause::Broken,
            Self::Tls(cause, _) | Self::Proxy(cause, _) => *cause,
            Self::Refused(refusal) => refusal.cause(),
        }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn of_tls(error: io::Error) -> Self {
        let of_rustls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        match of_rustls.map(cause_of_tls) {
            Some(cause) => Self::Tls(cause, error),
            None => Self::Io(error),
        }
    }
}

#[cfg(feature = "tls")]
pub(crate) fn cause_of_tls(error: &rustls::Error) -> Cause {
    use rustls::{CertificateError as Bad, Error};
    match error {
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => Cause::NoTls,
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Cause::TlsIncompatible,
        Error::AlertReceived(_) => Cause::TlsAlert,
        Error::NoCertificatesPresented => Cause::CertificateMissing,
        Error::InvalidCertificate(
            Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. },
        ) => Cause::CertificateExpired,
        Error::InvalidCertificate(Bad::Revoked) => Cause::CertificateRevoked,
        Error::InvalidCertificate(_) => Cause::CertificateUnknown,
        _ => Cause::TlsFailed,
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "handshake failed: {error}"),
            Self::Tls(_, error) => write!(f, "TLS handshake failed: {error}"),
            Self::Proxy(_, error) => error.fmt(f),
            Self::Refused(refusal) => write!(f, "handshake refused: {refusal}"),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) | Self::Tls(_, error) | Self::Proxy(_, error) => Some(error),
            Self::Refused(_) => None,
        }
    }
}

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a transport refused or ended a connection, to be counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Cause {
            $($(#[$doc])* $variant,)*
        }

        impl Cause {
            /// All causes, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// A name for metrics and topics.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

causes! {
    /// The stream failed or ended before it was ready.
    Broken = "broken",
    /// It was not ready in time.
    TimedOut = "timed_out",
    /// There was no place for one more connection.
    Full = "full",
    /// What came was no TLS.
    NoTls = "no_tls",
    /// No version, cipher suite or protocol is known to both.
    TlsIncompatible = "tls_incompatible",
    /// The peer ended the TLS handshake, mostly because it does not trust our certificate.
    TlsAlert = "tls_alert",
    /// The peer broke the rules of TLS in another way.
    TlsFailed = "tls_failed",
    /// The peer showed no certificate where one is required.
    CertificateMissing = "certificate_missing",
    /// Its certificate is not good any more, or not yet.
    CertificateExpired = "certificate_expired",
    /// Its authority has revoked its certificate.
    CertificateRevoked = "certificate_revoked",
    /// Its certificate does not come from an authority that is trusted, or is wrong in another way.
    CertificateUnknown = "certificate_unknown",
    /// The PROXY header was missing or malformed.
    BadProxyHeader = "bad_proxy_header",
    /// A PROXY header is expected, and the address is none that is believed.
    UntrustedProxy = "untrusted_proxy",
    /// The WebSocket request was no HTTP, malformed or too long.
    BadRequest = "bad_request",
    /// Nothing is served at the path of the request.
    WrongPath = "wrong_path",
    /// A plain HTTP request, or another WebSocket version.
    NoUpgrade = "no_upgrade",
    /// Pages of that origin are not allowed to connect.
    WrongOrigin = "wrong_origin",
    /// Neither `mqtt` nor `mqttv3.1` was offered.
    NoSubprotocol = "no_subprotocol",
    /// A WebSocket frame against the rules.
    BadFrame = "bad_frame",
    /// A client's frame without a mask.
    UnmaskedFrame = "unmasked_frame",
    /// A text frame, where MQTT needs binary ones.
    TextFrame = "text_frame",
    /// A WebSocket message above the limit.
    MessageTooLarge = "message_too_large",
    /// A QUIC packet against the rules: a second stream, mostly.
    QuicViolation = "quic_violation",
}

/// What a connection's peer did against the rules of its transport after the handshake: the source of an
/// [`io::Error`] of kind [`io::ErrorKind::InvalidData`].
///
/// ```
/// use std::io;
/// use mqtt_transport::TransportViolation;
///
/// /// Whether a peer broke the rules of its transport, and did not just go away.
/// fn is_to_blame(error: &io::Error) -> bool {
///     TransportViolation::of(error).is_some()
/// }
///
/// assert!(!is_to_blame(&io::ErrorKind::ConnectionReset.into()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportViolation {
    /// The reason in one word, to be counted.
    pub cause: Cause,
    pub(crate) text: &'static str,
}

impl TransportViolation {
    /// The violation that a read error is about, if it is about one.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl fmt::Display for TransportViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = if self.cause == Cause::QuicViolation { "QUIC" } else { "WebSocket" };
        write!(f, "{transport}: {}", self.text)
    }
}

impl std::error::Error for TransportViolation {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_numbered_in_order_and_named_apart() {
        for (number, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, number);
            assert!(Cause::ALL[..number].iter().all(|other| other.name() != cause.name()));
        }
    }
}
