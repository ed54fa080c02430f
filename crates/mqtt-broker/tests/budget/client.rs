//! A client that holds nothing on the heap, so that everything counted belongs to the broker.

use std::io::{Read, Write};
use std::net::TcpStream;

use mqtt_codec::{QoS, Version};
use mqtt_testkit::{ConnectBuilder, ToWire, subscribe};

pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(crate) fn connect(address: (&str, u16), connect: ConnectBuilder) -> Self {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream.set_nodelay(true).expect("a TCP socket");
        let mut client = Self { stream };
        client.send(&connect.version(Version::V3_1_1).to_wire(Version::V3_1_1));
        client.receive::<4>();
        client
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.send(&subscribe(1).filter(filter, qos).to_wire(Version::V3_1_1));
        self.receive::<5>();
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker reads");
    }

    /// Waits for exactly so many bytes.
    pub(crate) fn receive<const BYTES: usize>(&mut self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        self.stream.read_exact(&mut bytes).expect("the broker answers");
        bytes
    }

    /// Waits until `bytes` has been filled.
    pub(crate) fn receive_into(&mut self, bytes: &mut [u8]) {
        self.stream.read_exact(bytes).expect("the broker answers");
    }
}
