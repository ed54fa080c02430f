//! The PROXY protocol, versions 1 and 2: who is behind a load balancer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::certificate::Certificate;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, line end included.
const LINE_BYTES_MAX: usize = 107;
/// Bytes of addresses and further information in version 2 at most; what is more is refused.
const REST_BYTES_MAX: usize = 4096;

/// What a header says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Where the client is; `None` if the proxy speaks for itself, as in a health check, or does not know.
    pub address: Option<SocketAddr>,
    /// The client's certificate, if the proxy ended its TLS connection and found the certificate good (version 2).
    pub certificate: Option<Certificate>,
}

/// Reads a header, and not one byte beyond it.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] if there is none or it is malformed, else those of the stream.
pub(crate) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<ProxyHeader> {
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == *SIGNATURE {
        let mut fixed = [0; 4];
        stream.read_exact(&mut fixed).await?;
        let [_, _, length @ ..] = fixed;
        let length = usize::from(u16::from_be_bytes(length));
        if length > REST_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let mut rest = vec![0; length];
        stream.read_exact(&mut rest).await?;
        return parse_binary(fixed, &rest);
    }
    if !start.starts_with(b"PROXY ") {
        return Err(malformed("there is none"));
    }
    let mut line = start.to_vec();
    // Byte by byte, since what comes behind the line belongs to somebody else.
    while !line.ends_with(b"\r\n") {
        if line.len() == LINE_BYTES_MAX {
            return Err(malformed("its line has no end"));
        }
        line.push(stream.read_u8().await?);
    }
    parse_line(&line)
}

/// Parses a whole header; returns it with its length. For tests of the parser.
#[doc(hidden)]
pub fn parse_proxy_header(bytes: &[u8]) -> io::Result<(ProxyHeader, usize)> {
    if let Some(rest) = bytes.strip_prefix(SIGNATURE) {
        let (fixed, rest) = rest.split_first_chunk::<4>().ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if length > REST_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let rest = rest.get(..length).ok_or(io::ErrorKind::UnexpectedEof)?;
        return Ok((parse_binary(*fixed, rest)?, SIGNATURE.len() + 4 + length));
    }
    let line = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let end =
        line.windows(2).position(|pair| pair == b"\r\n").ok_or_else(|| malformed("its line has no end"))? + 2;
    Ok((parse_line(&bytes[..end])?, end))
}

/// `PROXY TCP4 192.0.2.1 192.0.2.9 4711 1883`, or `PROXY UNKNOWN` and anything behind it.
fn parse_line(line: &[u8]) -> io::Result<ProxyHeader> {
    let line = line.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok());
    let words: Vec<&str> = line.unwrap_or_default().split(' ').collect();
    let address = match words[..] {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", "TCP4", source, destination, port, to] => {
            check_port(to)?;
            destination.parse::<Ipv4Addr>().map_err(|_| malformed("its addresses are wrong"))?;
            Some((source.parse::<Ipv4Addr>().map(IpAddr::V4), check_port(port)?))
        }
        ["PROXY", "TCP6", source, destination, port, to] => {
            check_port(to)?;
            destination.parse::<Ipv6Addr>().map_err(|_| malformed("its addresses are wrong"))?;
            Some((source.parse::<Ipv6Addr>().map(IpAddr::V6), check_port(port)?))
        }
        _ => return Err(malformed("its words are wrong")),
    };
    let address = match address {
        Some((ip, port)) => {
            Some(SocketAddr::new(ip.map_err(|_| malformed("its addresses are wrong"))?, port))
        }
        None => None,
    };
    Ok(ProxyHeader { address, certificate: None })
}

fn check_port(text: &str) -> io::Result<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| malformed("its ports are wrong"))
}

/// The part behind the signature of version 2.
fn parse_binary([version_command, family, ..]: [u8; 4], rest: &[u8]) -> io::Result<ProxyHeader> {
    let proxied = match version_command {
        0x20 => return Ok(ProxyHeader::default()),
        0x21 => true,
        _ => false,
    };
    if !proxied {
        return Err(malformed("its version or command is unknown"));
    }
    let (address, address_bytes) = match family {
        0x11 | 0x12 => (Some(v4(rest)?), 12),
        0x21 | 0x22 => (Some(v6(rest)?), 36),
        0x31 | 0x32 => (None, 216),
        0x00 => return Ok(ProxyHeader::default()),
        _ => return Err(malformed("its kind of address is unknown")),
    };
    let more = rest.get(address_bytes..).ok_or_else(|| malformed("its addresses are cut off"))?;
    Ok(ProxyHeader { address, certificate: certificate(more)? })
}

fn v4(bytes: &[u8]) -> io::Result<SocketAddr> {
    let [a, b, c, d, _, _, _, _, high, low, _, _] = *first(bytes)?;
    Ok(SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low]))))
}

fn v6(bytes: &[u8]) -> io::Result<SocketAddr> {
    let all: &[u8; 36] = first(bytes)?;
    let source: [u8; 16] = *first(all)?;
    Ok(SocketAddr::from((source, u16::from_be_bytes([all[32], all[33]]))))
}

fn first<const LEN: usize>(bytes: &[u8]) -> io::Result<&[u8; LEN]> {
    bytes.first_chunk().ok_or_else(|| malformed("its addresses are cut off"))
}

const SSL: u8 = 0x20;
const SSL_COMMON_NAME: u8 = 0x22;
/// The client showed a certificate in this connection, or in the session that it resumed.
const SHOWED: u8 = 0x02 | 0x04;

/// The client's certificate as far as the further information knows it: its common name.
fn certificate(more: &[u8]) -> io::Result<Option<Certificate>> {
    for entry in entries(more) {
        let (kind, value) = entry?;
        if kind != SSL {
            continue;
        }
        let Some(([client, verify @ ..], inner)) = value.split_first_chunk::<5>() else {
            return Err(malformed("what it says about TLS is cut off"));
        };
        if client & SHOWED == 0 || *verify != [0; 4] {
            return Ok(None);
        }
        let mut found = Certificate::default();
        for entry in entries(inner) {
            let (kind, value) = entry?;
            if kind == SSL_COMMON_NAME {
                let name = std::str::from_utf8(value).map_err(|_| malformed("a name in it is no text"))?;
                found.common_name = Some(name.into());
            }
        }
        return Ok(Some(found));
    }
    Ok(None)
}

/// Type, length, value, one after the other.
fn entries(mut bytes: &[u8]) -> impl Iterator<Item = io::Result<(u8, &[u8])>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let entry = bytes.split_first_chunk::<3>().and_then(|([kind, high, low], rest)| {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            Some((*kind, rest.get(..length)?, &rest[length..]))
        });
        let Some((kind, value, rest)) = entry else {
            bytes = &[];
            return Some(Err(malformed("its further information is cut off")));
        };
        bytes = rest;
        Some(Ok((kind, value)))
    })
}

fn malformed(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("PROXY header: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family]);
        header.extend((rest.len() as u16).to_be_bytes());
        header.extend(rest);
        header
    }

    /// Parsed at once and read from a stream with more behind it.
    async fn check(bytes: &[u8], address: Option<&str>, name: Option<&str>) {
        let (parsed, length) = parse_proxy_header(bytes).expect("a good header");
        assert_eq!(length, bytes.len());
        let stream = [bytes, b"MQTT"].concat();
        let mut stream = &stream[..];
        assert_eq!(read(&mut stream).await.expect("a good header"), parsed);
        assert_eq!(stream, b"MQTT");
        assert_eq!(parsed.address, address.map(|address| address.parse().expect("an address")));
        assert_eq!(parsed.certificate.and_then(|certificate| certificate.common_name).as_deref(), name);
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x67, 7, 91];

    fn with_tls(client: u8, verify: u8, name: &[u8]) -> Vec<u8> {
        let mut ssl = vec![client, 0, 0, 0, verify, 0x21, 0, 7];
        ssl.extend(b"TLSv1.3");
        ssl.extend([SSL_COMMON_NAME, 0, name.len() as u8]);
        ssl.extend(name);
        let mut rest = V4.to_vec();
        rest.extend([0x04, 0, 1, 0, SSL, 0, ssl.len() as u8]);
        rest.extend(ssl);
        rest
    }

    #[tokio::test]
    async fn both_versions_say_who_is_there() {
        check(b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 1883\r\n", Some("192.0.2.1:4711"), None).await;
        check(b"PROXY TCP6 2001:db8::1 ::1 4711 1883\r\n", Some("[2001:db8::1]:4711"), None).await;
        check(b"PROXY UNKNOWN\r\n", None, None).await;
        check(b"PROXY UNKNOWN whatever it says\r\n", None, None).await;
        check(&binary(0x21, 0x11, &V4), Some("192.0.2.1:4711"), None).await;
        let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0x12, 0x67, 7, 91]].concat();
        check(&binary(0x21, 0x21, &v6), Some("[2001:db8::1]:4711"), None).await;
        check(&binary(0x21, 0x31, &[0; 216]), None, None).await;
        check(&binary(0x20, 0x00, &[]), None, None).await;
        check(&binary(0x20, 0x11, b"ignored"), None, None).await;
    }

    #[tokio::test]
    async fn a_certificate_that_the_proxy_found_good_has_its_name() {
        check(&binary(0x21, 0x11, &with_tls(0x07, 0, b"sensor 7")), Some("192.0.2.1:4711"), Some("sensor 7"))
            .await;
        check(&binary(0x21, 0x11, &with_tls(0x07, 1, b"sensor 7")), Some("192.0.2.1:4711"), None).await;
        check(&binary(0x21, 0x11, &with_tls(0x01, 0, b"sensor 7")), Some("192.0.2.1:4711"), None).await;
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let endless = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
        let mut cut_tls = with_tls(0x07, 0, b"sensor 7");
        cut_tls.pop();
        let too_long = [SIGNATURE.to_vec(), vec![0x21, 0x11, 0xFF, 0xFF], vec![0; 70_000]].concat();
        for bytes in [
            b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c".to_vec(),
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n".to_vec(),
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n".to_vec(),
            endless,
            too_long,
            binary(0x31, 0x11, &V4),
            binary(0x21, 0x41, &V4),
            binary(0x21, 0x11, &V4[..11]),
            binary(0x21, 0x11, &cut_tls),
            binary(0x21, 0x11, &with_tls(0x07, 0, &[0xFF])),
        ] {
            let read = read(&mut &bytes[..]).await.expect_err("no header");
            assert_eq!(read.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
            assert!(parse_proxy_header(&bytes).is_err());
        }
    }
}
