//! What an error of QUIC means for us: why a handshake failed, and what a stream's reader is told.

use std::io;

use quinn::{ConnectionError, TransportErrorCode};

use crate::arrival::{Cause, HandshakeError, TransportViolation};

/// Whoever closes says this when everything has been said and received.
pub(super) const DONE: u32 = 0;
/// Whoever closes says this when the connection is given up in the middle.
pub(super) const ABANDONED: u32 = 1;

/// Why a handshake failed.
pub(super) fn of_handshake(error: ConnectionError) -> HandshakeError {
    match cause(&error) {
        Cause::Broken => HandshakeError::Io(io::Error::from(error)),
        cause => HandshakeError::Tls(cause, io::Error::from(error)),
    }
}

fn cause(error: &ConnectionError) -> Cause {
    match error {
        ConnectionError::VersionMismatch => Cause::TlsIncompatible,
        ConnectionError::TransportError(error) => cause_of_ours(error.code),
        ConnectionError::ConnectionClosed(close) if alert(close.error_code).is_some() => Cause::TlsAlert,
        ConnectionError::TimedOut => Cause::TimedOut,
        _ => Cause::Broken,
    }
}

/// We have ended it.
fn cause_of_ours(code: TransportErrorCode) -> Cause {
    // Alerts of TLS, RFC 8446 section 6.
    match alert(code) {
        None => Cause::QuicViolation,
        Some(45) => Cause::CertificateExpired,
        Some(44) => Cause::CertificateRevoked,
        Some(42 | 43 | 46 | 48 | 51) => Cause::CertificateUnknown,
        Some(116) => Cause::CertificateMissing,
        Some(40 | 70 | 120) => Cause::TlsIncompatible,
        Some(_) => Cause::TlsFailed,
    }
}

/// RFC 9001 section 4.8.
fn alert(code: TransportErrorCode) -> Option<u64> {
    u64::from(code).checked_sub(0x100).filter(|alert| *alert <= 0xFF)
}

/// What reading and writing find when the connection has ended; `None` stands for an end without a fault.
pub(super) fn of_stream(error: ConnectionError) -> Option<io::Error> {
    match error {
        ConnectionError::ApplicationClosed(close) if close.error_code == DONE.into() => None,
        ConnectionError::TransportError(_) => {
            let violation = TransportViolation { cause: Cause::QuicViolation, text: "against the rules" };
            Some(io::Error::new(io::ErrorKind::InvalidData, violation))
        }
        ConnectionError::TimedOut => Some(io::Error::new(io::ErrorKind::TimedOut, error)),
        error => Some(io::Error::new(io::ErrorKind::ConnectionReset, error)),
    }
}
