use std::fmt;

use crate::arrival::Cause;

/// Why a WebSocket request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Not an HTTP/1.1 request, or one with unreadable headers.
    NotHttp,
    /// The head is longer than what a client may send.
    HeadTooLarge,
    /// Another path than the one served.
    WrongPath,
    /// A method other than GET.
    WrongMethod,
    /// A plain HTTP request.
    NoUpgrade,
    /// Another WebSocket version than 13.
    WrongVersion,
    /// The key is missing or not 16 bytes in base64.
    BadKey,
    /// A page of this origin may not connect.
    WrongOrigin,
    /// Neither `mqtt` nor `mqttv3.1` is among the subprotocols offered.
    NoSubprotocol,
}

impl Refusal {
    /// The HTTP status it was answered with.
    pub fn status(self) -> u16 {
        match self {
            Self::NotHttp | Self::BadKey | Self::NoSubprotocol => 400,
            Self::WrongOrigin => 403,
            Self::WrongPath => 404,
            Self::WrongMethod => 405,
            Self::NoUpgrade | Self::WrongVersion => 426,
            Self::HeadTooLarge => 431,
        }
    }

    /// The reason in one word, to be counted.
    pub fn cause(self) -> Cause {
        match self {
            Self::NotHttp | Self::HeadTooLarge | Self::WrongMethod | Self::BadKey => Cause::BadRequest,
            Self::WrongPath => Cause::WrongPath,
            Self::WrongOrigin => Cause::WrongOrigin,
            Self::NoUpgrade | Self::WrongVersion => Cause::NoUpgrade,
            Self::NoSubprotocol => Cause::NoSubprotocol,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHttp => "this is not an HTTP/1.1 request",
            Self::HeadTooLarge => "the request head is too large",
            Self::WrongPath => "nothing is served at this path",
            Self::WrongMethod => "only GET is served",
            Self::NoUpgrade => "only WebSocket is served here",
            Self::WrongVersion => "only WebSocket version 13 is served",
            Self::BadKey => "Sec-WebSocket-Key is missing or malformed",
            Self::WrongOrigin => "pages of this origin may not connect",
            Self::NoSubprotocol => "the WebSocket subprotocol mqtt must be offered",
        })
    }
}
