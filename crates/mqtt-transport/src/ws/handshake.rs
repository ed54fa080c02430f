use std::fmt;
use std::future::poll_fn;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::{SUBPROTOCOLS, WsOptions};
use crate::arrival::{Cause, HandshakeError};
use crate::close::close_gracefully;
use crate::scratch::poll_read_slice;

/// Largest HTTP request head a WebSocket client may send, in bytes.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long a refused client may take to read its answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a WebSocket request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Not an HTTP/1.1 request, or one with unreadable headers.
    NotHttp,
    /// The head is longer than [`HEAD_BYTES_MAX`].
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
    /// Neither `mqtt` nor `mqttv3.1` is among the subprotocols offered.
    NoSubprotocol,
}

impl Refusal {
    /// The HTTP status it was answered with.
    pub fn status(self) -> u16 {
        match self {
            Self::NotHttp | Self::BadKey | Self::NoSubprotocol => 400,
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
            Self::NoUpgrade | Self::WrongVersion => Cause::NoUpgrade,
            Self::NoSubprotocol => Cause::NoSubprotocol,
        }
    }

    fn phrase(self) -> &'static str {
        match self.status() {
            404 => "Not Found",
            405 => "Method Not Allowed",
            426 => "Upgrade Required",
            431 => "Request Header Fields Too Large",
            _ => "Bad Request",
        }
    }

    /// Header lines that the status asks for.
    fn headers(self) -> &'static str {
        match self {
            Self::WrongMethod => "Allow: GET\r\n",
            Self::NoUpgrade => "Upgrade: websocket\r\n",
            Self::WrongVersion => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            _ => "",
        }
    }

    fn response(self) -> String {
        let (status, phrase, headers) = (self.status(), self.phrase(), self.headers());
        let body = format!("{self}\n");
        let length = body.len();
        format!(
            "HTTP/1.1 {status} {phrase}\r\nConnection: close\r\nContent-Type: text/plain\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        )
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
            Self::NoSubprotocol => "the WebSocket subprotocol mqtt must be offered",
        })
    }
}

/// Reads the request and answers it. Returns the bytes that came after it.
pub(super) async fn accept<S>(stream: &mut S, options: &WsOptions) -> Result<Vec<u8>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    let agreed = match read_head(stream, &mut head).await? {
        Some(head_len) => agree(&head[..head_len], options).map(|answer| (answer, head_len)),
        None => Err(Refusal::HeadTooLarge),
    };
    match agreed {
        Ok((answer, head_len)) => {
            stream.write_all(&answer).await?;
            stream.flush().await?;
            Ok(head.split_off(head_len))
        }
        Err(refusal) => {
            stream.write_all(refusal.response().as_bytes()).await?;
            close_gracefully(stream, REFUSAL_TIMEOUT).await;
            Err(HandshakeError::Refused(refusal))
        }
    }
}

/// Reads until the empty line; returns the length of the head, or `None` when it is too long.
async fn read_head<S>(stream: &mut S, head: &mut Vec<u8>) -> io::Result<Option<usize>>
where
    S: AsyncRead + Unpin,
{
    const END: &[u8] = b"\r\n\r\n";
    while head.len() < HEAD_BYTES_MAX {
        let searched = head.len().saturating_sub(END.len() - 1);
        let room = HEAD_BYTES_MAX - head.len();
        let mut append = |bytes: &[u8]| {
            head.extend_from_slice(bytes);
            bytes.len()
        };
        let read = poll_fn(|cx| poll_read_slice(cx, stream, room, &mut append)).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(at) = head[searched..].windows(END.len()).position(|window| window == END) {
            return Ok(Some(searched + at + END.len()));
        }
    }
    Ok(None)
}

/// The response that completes the upgrade.
fn agree(head: &[u8], options: &WsOptions) -> Result<Vec<u8>, Refusal> {
    let (_, request) = Request::try_parse(head).map_err(refusal_of)?.ok_or(Refusal::NotHttp)?;
    if request.uri().path() != options.path {
        return Err(Refusal::WrongPath);
    }
    let mut response = create_response(&request).map_err(refusal_of)?;
    let subprotocol = choose_subprotocol(&request).ok_or(Refusal::NoSubprotocol)?;
    response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(subprotocol)); // [MQTT-6.0.0-4]
    let mut answer = Vec::new();
    write_response(&mut answer, &response).map_err(refusal_of)?;
    Ok(answer)
}

/// The first of ours that the client offers `[MQTT-6.0.0-3]`.
fn choose_subprotocol(request: &Request) -> Option<&'static str> {
    let offered = |ours: &str| {
        let lines = request.headers().get_all("Sec-WebSocket-Protocol");
        let mut names = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        names.any(|name| name.trim() == ours)
    };
    SUBPROTOCOLS.into_iter().find(|ours| offered(ours))
}

fn refusal_of(error: WsError) -> Refusal {
    match error {
        WsError::Protocol(ProtocolError::WrongHttpMethod) => Refusal::WrongMethod,
        WsError::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader | ProtocolError::MissingUpgradeWebSocketHeader,
        ) => Refusal::NoUpgrade,
        WsError::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => Refusal::WrongVersion,
        WsError::Protocol(ProtocolError::MissingSecWebSocketKey | ProtocolError::InvalidSecWebSocketKey) => {
            Refusal::BadKey
        }
        WsError::Capacity(_) => Refusal::HeadTooLarge,
        _ => Refusal::NotHttp,
    }
}
