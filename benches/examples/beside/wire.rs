//! A client that writes and reads packets of MQTT 3.1.1 and waits for each.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use mqtt_codec::{QoS, Version};
use mqtt_testkit::{ToWire, connect, puback, subscribe};

pub(crate) struct Wire {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

/// The first byte of a packet, and what follows its length.
pub(crate) struct Read1 {
    pub(crate) first: u8,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    /// Connects, and waits for the CONNACK.
    pub(crate) fn connect(port: u16, client_id: &str, clean: bool) -> io::Result<Self> {
        let writer = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        writer.set_nodelay(true)?;
        let reader = BufReader::with_capacity(64 << 10, writer.try_clone()?);
        let mut wire = Self { reader, writer };
        wire.write(connect(client_id).version(Version::V3_1_1).clean(clean).keep_alive_s(0))?;
        let connack = wire.read()?;
        assert_eq!((connack.first >> 4, connack.body[1]), (2, 0), "it is admitted");
        Ok(wire)
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) -> io::Result<()> {
        self.write(subscribe(1).filter(filter, qos))?;
        while self.read()?.first >> 4 != 9 {}
        Ok(())
    }

    pub(crate) fn write(&mut self, packet: impl ToWire) -> io::Result<()> {
        self.writer.write_all(&packet.to_wire(Version::V3_1_1))
    }

    /// The two directions by themselves.
    pub(crate) fn split(self) -> (BufReader<TcpStream>, TcpStream) {
        (self.reader, self.writer)
    }

    pub(crate) fn read(&mut self) -> io::Result<Read1> {
        read(&mut self.reader)
    }

    /// Reads and acknowledges so many messages.
    pub(crate) fn take(&mut self, messages: usize) -> io::Result<()> {
        let mut acknowledgements = Vec::new();
        let mut taken = 0;
        while taken < messages {
            let packet = self.read()?;
            if packet.first >> 4 != 3 {
                continue;
            }
            taken += 1;
            if let Some(packet_id) = packet.packet_id() {
                acknowledgements.extend(puback(packet_id).to_wire(Version::V3_1_1));
            }
            if self.reader.buffer().is_empty() || taken == messages {
                self.writer.write_all(&acknowledgements)?;
                acknowledgements.clear();
            }
        }
        Ok(())
    }
}

impl Read1 {
    /// Of a PUBLISH above QoS 0.
    pub(crate) fn packet_id(&self) -> Option<u16> {
        if self.first & 6 == 0 {
            return None;
        }
        let topic = usize::from(u16::from_be_bytes([self.body[0], self.body[1]]));
        Some(u16::from_be_bytes([self.body[2 + topic], self.body[3 + topic]]))
    }
}

pub(crate) fn read(reader: &mut impl Read) -> io::Result<Read1> {
    let mut byte = [0];
    reader.read_exact(&mut byte)?;
    let first = byte[0];
    let (mut len, mut shift) = (0, 0);
    loop {
        reader.read_exact(&mut byte)?;
        len |= usize::from(byte[0] & 0x7F) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body)?;
    Ok(Read1 { first, body })
}
