//! Why there is no answer.

use core::fmt;
use std::io;

/// Why a request was not answered. Says nothing of what was in it.
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpError {
    /// No connection, or its TLS failed.
    Connect(io::Error),
    /// The other side broke off, or does not speak HTTP/1.1.
    Broken(hyper::Error),
    /// It took too long.
    TimedOut,
    /// The answer is longer than allowed.
    TooLong,
    /// The request could not be written down: a header with a forbidden character.
    BadRequest,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Broken(error) => write!(f, "no complete answer: {error}"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::TooLong => f.write_str("the answer is too long"),
            Self::BadRequest => f.write_str("a header of the request is not valid"),
        }
    }
}

impl std::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Broken(error) => Some(error),
            _ => None,
        }
    }
}
