use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::encoder::Masks;
use super::refusal::Refusal;
use super::{WsOptions, forwarded};
use crate::arrival::HandshakeError;
use crate::close::close_gracefully;
use crate::scratch::poll_read_slice;
use crate::url::Url;

/// Largest HTTP request head a WebSocket client may send, in bytes.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The subprotocol of the standard, and the one clients of MQTT 3.1 ask for; in the order of preference.
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// How long a refused client may take to read its answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// What a server knows after the handshake.
#[derive(Debug)]
pub(super) struct Agreed {
    /// Bytes that came after the request.
    pub(super) early: Vec<u8>,
    /// Who is behind a proxy that is believed.
    pub(super) forwarded: Option<SocketAddr>,
}

/// Reads the request and answers it.
pub(super) async fn accept<S>(
    stream: &mut S,
    options: &WsOptions,
    peer: Option<IpAddr>,
) -> Result<Agreed, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    let agreed = match read_head(stream, &mut head).await? {
        Some(head_len) => agree(&head[..head_len], options, peer).map(|agreed| (agreed, head_len)),
        None => Err(Refusal::HeadTooLarge),
    };
    match agreed {
        Ok(((answer, forwarded), head_len)) => {
            stream.write_all(answer.as_bytes()).await?;
            stream.flush().await?;
            Ok(Agreed { early: head.split_off(head_len), forwarded })
        }
        Err(refusal) => {
            stream.write_all(response(refusal).as_bytes()).await?;
            close_gracefully(stream, REFUSAL_TIMEOUT).await;
            Err(HandshakeError::Refused(refusal))
        }
    }
}

/// What a refused client is told.
fn response(refusal: Refusal) -> String {
    let (status, headers) = (refusal.status(), headers(refusal));
    let phrase = phrase(status);
    let body = format!("{refusal}\n");
    let length = body.len();
    format!(
        "HTTP/1.1 {status} {phrase}\r\nConnection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\n{headers}\r\n{body}"
    )
}

fn phrase(status: u16) -> &'static str {
    match status {
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        _ => "Bad Request",
    }
}

/// Header lines that the status asks for.
fn headers(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::WrongMethod => "Allow: GET\r\n",
        Refusal::NoUpgrade => "Upgrade: websocket\r\n",
        Refusal::WrongVersion => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        _ => "",
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

/// Header lines of a request or a response at most.
const LINES_MAX: usize = 100;

/// The response that completes the upgrade, and who is behind a proxy.
fn agree(
    head: &[u8],
    options: &WsOptions,
    peer: Option<IpAddr>,
) -> Result<(String, Option<SocketAddr>), Refusal> {
    let mut lines = [httparse::EMPTY_HEADER; LINES_MAX];
    let mut request = httparse::Request::new(&mut lines);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        _ => return Err(Refusal::NotHttp),
    }
    let headers = Headers(request.headers);
    let target = request.path.unwrap_or_default();
    if target.split('?').next() != Some(&options.path) {
        return Err(Refusal::WrongPath);
    }
    if request.method != Some("GET") {
        return Err(Refusal::WrongMethod);
    }
    if request.version != Some(1) {
        return Err(Refusal::NotHttp);
    }
    if !headers.has_word("Connection", "upgrade") || !headers.has_word("Upgrade", "websocket") {
        return Err(Refusal::NoUpgrade);
    }
    if !headers.has_word("Sec-WebSocket-Version", "13") {
        return Err(Refusal::WrongVersion);
    }
    let key = headers.first("Sec-WebSocket-Key").filter(|key| is_key(key)).ok_or(Refusal::BadKey)?;
    if !options.origins.is_empty() && headers.values("Origin").any(|origin| !is_allowed(origin, options)) {
        return Err(Refusal::WrongOrigin);
    }
    // The first of ours that the client offers [MQTT-6.0.0-3]; names are compared with their case.
    let offered = |ours: &&str| headers.words("Sec-WebSocket-Protocol").any(|word| word == *ours);
    let subprotocol = SUBPROTOCOLS.into_iter().find(offered).ok_or(Refusal::NoSubprotocol)?;
    let forwarded = peer.and_then(|peer| forwarded::address(peer, headers.0, &options.trusted_proxies));
    let accept = websocket_accept(key);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n" // [MQTT-6.0.0-4]
    );
    Ok((answer, forwarded))
}

fn is_key(key: &str) -> bool {
    BASE64.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

fn is_allowed(origin: &str, options: &WsOptions) -> bool {
    options.origins.iter().any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

/// The `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455, section 4.2.2), for servers that answer the upgrade
/// themselves and hand the connection over with [`WsStream::upgraded`](crate::WsStream::upgraded).
pub fn websocket_accept(key: &str) -> String {
    const OF_WEBSOCKET: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    BASE64.encode(Sha1::new().chain_update(key).chain_update(OF_WEBSOCKET).finalize())
}

/// Asks a server for `url`, offering the subprotocol `mqtt` [MQTT-6.0.0-3]. Returns the bytes that came after its answer.
pub(super) async fn ask<S>(stream: &mut S, url: &Url) -> io::Result<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let key = BASE64.encode(Masks::default().nonce());
    stream.write_all(request(url, &key).as_bytes()).await?;
    stream.flush().await?;
    let mut head = Vec::new();
    let problem = match read_head(stream, &mut head).await? {
        Some(head_len) => match check_answer(&head[..head_len], &key) {
            Ok(()) => return Ok(head.split_off(head_len)),
            Err(problem) => problem,
        },
        None => "its answer is too long".to_owned(),
    };
    let message = format!("{url} does not speak MQTT: {problem}");
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, message))
}

fn request(url: &Url, key: &str) -> String {
    let (host, port, path) = (url.host(), url.port(), url.path());
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let subprotocol = SUBPROTOCOLS[0];
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    )
}

fn check_answer(head: &[u8], key: &str) -> Result<(), String> {
    let mut lines = [httparse::EMPTY_HEADER; LINES_MAX];
    let mut response = httparse::Response::new(&mut lines);
    response.parse(head).map_err(|error| format!("its answer is no HTTP ({error})"))?;
    if response.code != Some(101) {
        let (code, phrase) = (response.code.unwrap_or_default(), response.reason.unwrap_or_default());
        return Err(format!("it answered {code} {phrase}"));
    }
    let headers = Headers(response.headers);
    if !headers.has_word("Connection", "upgrade") || !headers.has_word("Upgrade", "websocket") {
        return Err("it did not upgrade to WebSocket".to_owned());
    }
    if headers.first("Sec-WebSocket-Accept") != Some(&websocket_accept(key)) {
        return Err("its answer belongs to another request".to_owned());
    }
    if headers.first("Sec-WebSocket-Protocol") != Some(SUBPROTOCOLS[0]) {
        return Err("it did not agree on the subprotocol".to_owned());
    }
    Ok(())
}

/// The header lines of a request or a response.
struct Headers<'a, 'b>(&'a [httparse::Header<'b>]);

impl Headers<'_, '_> {
    fn values<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n str> {
        let named = move |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
        self.0.iter().filter(named).filter_map(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    }

    fn first<'n>(&'n self, name: &'n str) -> Option<&'n str> {
        self.values(name).next()
    }

    /// The values as lists.
    fn words<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n str> {
        self.values(name).flat_map(|line| line.split(',')).map(str::trim)
    }

    fn has_word(&self, name: &str, word: &str) -> bool {
        self.words(name).any(|there| there.eq_ignore_ascii_case(word))
    }
}
