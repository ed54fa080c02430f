//! A broker that is none: it knows just enough of MQTT 3.1.1 to get bytes from a publisher to its subscribers, and then only
//! copies. What it needs is what the kernel needs; no broker can do it for less on this machine.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Bytes of one read.
const CHUNK_BYTES: usize = 64 * 1024;

/// The subscribers of each topic.
type Subscribers = Arc<Mutex<HashMap<Vec<u8>, Vec<TcpStream>>>>;

/// Copies until it is ended from outside. A publisher publishes on one topic only, at QoS 0.
pub(super) fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let subscribers = Subscribers::default();
    for stream in listener.incoming() {
        let (stream, subscribers) = (stream?, Arc::clone(&subscribers));
        // A client that leaves ends its thread; nobody is interested in how.
        thread::spawn(move || attend(stream, &subscribers));
    }
    Ok(())
}

fn attend(mut stream: TcpStream, subscribers: &Subscribers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut packet = Vec::new();
    read_packet(&mut stream, &mut packet)?;
    stream.write_all(&[0x20, 2, 0, 0])?;
    read_packet(&mut stream, &mut packet)?;
    let body = &packet[packet.len() - body_len(&packet)..];
    match packet[0] >> 4 {
        8 => {
            let sink = stream.try_clone()?;
            let filter = string(&body[2..]).to_vec();
            subscribers.lock().expect("nothing panics here").entry(filter).or_default().push(sink);
            stream.write_all(&[0x90, 3, body[0], body[1], 0])?;
            io::copy(&mut stream, &mut io::sink())?;
        }
        3 => {
            let sinks = subscribers.lock().expect("nothing panics here").remove(string(body));
            copy(&mut stream, &mut sinks.unwrap_or_default(), &packet)?;
        }
        _ => {}
    }
    Ok(())
}

fn copy(from: &mut TcpStream, to: &mut [TcpStream], first: &[u8]) -> io::Result<()> {
    for sink in to.iter_mut() {
        sink.write_all(first)?;
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let len = from.read(&mut chunk)?;
        if len == 0 {
            return Ok(());
        }
        for sink in to.iter_mut() {
            sink.write_all(&chunk[..len])?;
        }
    }
}

/// Reads one packet, its fixed header included.
fn read_packet(stream: &mut impl Read, packet: &mut Vec<u8>) -> io::Result<()> {
    packet.clear();
    packet.resize(2, 0);
    stream.read_exact(packet)?;
    while packet[packet.len() - 1] & 0x80 != 0 {
        let mut next = [0];
        stream.read_exact(&mut next)?;
        packet.push(next[0]);
    }
    let header_len = packet.len();
    packet.resize(header_len + remaining(&packet[1..]), 0);
    stream.read_exact(&mut packet[header_len..])
}

fn body_len(packet: &[u8]) -> usize {
    remaining(&packet[1..])
}

/// The variable byte integer at the start.
fn remaining(bytes: &[u8]) -> usize {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

/// The bytes of the string at the start.
fn string(bytes: &[u8]) -> &[u8] {
    let len = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    &bytes[2..2 + len]
}

#[cfg(test)]
mod tests {
    use super::{body_len, read_packet, string};

    #[test]
    fn packets_are_cut_by_their_length() {
        let mut bytes = vec![0x30, 0xC8, 0x01, 0, 1, b't'];
        bytes.resize(3 + 200, 7);
        bytes.extend([0xC0, 0]);
        let mut rest = bytes.as_slice();
        let mut packet = Vec::new();
        read_packet(&mut rest, &mut packet).expect("a whole packet");
        assert_eq!((packet.len(), body_len(&packet), rest), (203, 200, &[0xC0_u8, 0][..]));
        assert_eq!(string(&packet[3..]), b"t");
    }
}
