//! The few MQTT 5.0 packets that the torture needs, written and read by hand: the judge shares no code with the judged.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const IO_LIMIT: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);
const SESSION_EXPIRY_SECONDS: u32 = 3600;

pub(super) const PUBACK: u8 = 0x40;
pub(super) const PUBREC: u8 = 0x50;
pub(super) const PUBREL: u8 = 0x62;
pub(super) const PUBCOMP: u8 = 0x70;

/// What a broker sends to these clients.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Connack {
        session_present: bool,
        reason: u8,
    },
    Publish {
        topic: String,
        id: u16,
        qos: u8,
        retain: bool,
        payload: String,
    },
    /// PUBACK, PUBREC, PUBREL or PUBCOMP by the first byte.
    Ack {
        kind: u8,
        id: u16,
        reason: u8,
    },
    Other(u8),
}

/// One connection; whatever fails on it means that it is gone.
pub(super) struct Link {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Link {
    /// Connects and says what CONNACK said of the session.
    pub(super) fn open(address: SocketAddr, client: &str, clean: bool) -> io::Result<(Self, bool)> {
        Self::admitted(address, &connect(client, clean, None))
    }

    /// The same with a will at QoS 1, in a session that lasts or not.
    pub(super) fn open_with_will(
        address: SocketAddr,
        client: &str,
        lasts: bool,
        will: &(&str, String),
    ) -> io::Result<Self> {
        Self::admitted(address, &connect(client, !lasts, Some(will))).map(|(link, _)| link)
    }

    fn admitted(address: SocketAddr, connect: &[u8]) -> io::Result<(Self, bool)> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)?;
        stream.set_read_timeout(Some(POLL))?;
        stream.set_write_timeout(Some(IO_LIMIT))?;
        stream.set_nodelay(true)?;
        let mut link = Self { stream, unread: Vec::new() };
        link.send(connect)?;
        match link.expect()? {
            Packet::Connack { session_present, reason: 0 } => Ok((link, session_present)),
            other => Err(io::Error::other(format!("no CONNACK but {other:?}"))),
        }
    }

    pub(super) fn subscribe(&mut self, filter: &str) -> io::Result<()> {
        let mut body = vec![0, 1, 0];
        text(&mut body, filter);
        body.push(2);
        self.send(&packet(0x82, &body))?;
        self.expect().map(drop)
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    fn expect(&mut self) -> io::Result<Packet> {
        let end = Instant::now() + IO_LIMIT;
        while Instant::now() < end {
            if let Some(packet) = self.poll()? {
                return Ok(packet);
            }
        }
        Err(ErrorKind::TimedOut.into())
    }

    /// The next packet, or `None` when none is complete within a few milliseconds.
    pub(super) fn poll(&mut self) -> io::Result<Option<Packet>> {
        if let Some(packet) = take(&mut self.unread)? {
            return Ok(Some(packet));
        }
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.unread.extend_from_slice(&chunk[..count]);
                take(&mut self.unread)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn connect(client: &str, clean: bool, will: Option<&(&str, String)>) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, "MQTT");
    let flags = if clean { 2 } else { 0 } | if will.is_some() { 0b1100 } else { 0 };
    body.extend_from_slice(&[5, flags, 0, 0, 5, 0x11]);
    let expiry = if clean { 0 } else { SESSION_EXPIRY_SECONDS };
    body.extend_from_slice(&expiry.to_be_bytes());
    text(&mut body, client);
    if let Some((topic, payload)) = will {
        body.push(0);
        text(&mut body, topic);
        text(&mut body, payload);
    }
    packet(0x10, &body)
}

pub(super) fn publish(topic: &str, id: u16, qos: u8, retain: bool, dup: bool, payload: &str) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, topic);
    body.extend_from_slice(&id.to_be_bytes());
    body.push(0);
    body.extend_from_slice(payload.as_bytes());
    packet(0x30 | (u8::from(dup) << 3) | (qos << 1) | u8::from(retain), &body)
}

pub(super) fn ack(kind: u8, id: u16) -> Vec<u8> {
    packet(kind, &id.to_be_bytes())
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut rest = body.len();
    loop {
        let low = (rest % 128) as u8;
        rest /= 128;
        bytes.push(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(&(text.len() as u16).to_be_bytes());
    body.extend_from_slice(text.as_bytes());
}

/// Takes one whole packet from the front.
fn take(unread: &mut Vec<u8>) -> io::Result<Option<Packet>> {
    let Some((&first, rest)) = unread.split_first() else { return Ok(None) };
    let Some((length, width)) = number(rest) else { return Ok(None) };
    let end = 1 + width + length;
    if unread.len() < end {
        return Ok(None);
    }
    let parsed = parse(first, &unread[1 + width..end]);
    unread.drain(..end);
    parsed.map(Some).ok_or_else(|| io::Error::other("the broker sent a packet that does not parse"))
}

/// A variable byte integer and its width.
fn number(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

fn parse(first: u8, body: &[u8]) -> Option<Packet> {
    let word = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    match first & 0xf0 {
        0x20 => Some(Packet::Connack { session_present: body.first()? & 1 == 1, reason: *body.get(1)? }),
        0x30 => {
            let qos = (first >> 1) & 3;
            let topic_end = 2 + usize::from(word(0)?);
            let topic = String::from_utf8(body.get(2..topic_end)?.to_vec()).ok()?;
            let (id, at) = if qos > 0 { (word(topic_end)?, topic_end + 2) } else { (0, topic_end) };
            let (properties, width) = number(body.get(at..)?)?;
            let payload = body.get(at + width + properties..)?;
            Some(Packet::Publish {
                topic,
                id,
                qos,
                retain: first & 1 == 1,
                payload: String::from_utf8(payload.to_vec()).ok()?,
            })
        }
        0x40..=0x70 => {
            Some(Packet::Ack { kind: first, id: word(0)?, reason: body.get(2).copied().unwrap_or_default() })
        }
        _ => Some(Packet::Other(first)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Packet, publish, take};

    #[test]
    fn a_publish_is_read_back_only_once_it_is_complete() {
        let payload = "7".repeat(200);
        let bytes = publish("a/b", 9, 2, true, true, &payload);
        assert_eq!(take(&mut bytes[..bytes.len() - 1].to_vec()).unwrap(), None);
        let expected = Packet::Publish { topic: "a/b".to_owned(), id: 9, qos: 2, retain: true, payload };
        let mut unread = bytes;
        assert_eq!(take(&mut unread).unwrap(), Some(expected));
        assert!(unread.is_empty());
    }
}
