//! Bytes that the broker holds for peers that do not get beyond their handshake, and what is left of them.

use std::io::Write as _;
use std::net::TcpStream;

use mqtt_broker::ListenerSettings;
use mqtt_codec::Version;
use mqtt_testkit::{Authority, ToWire as _, connect, will};
use mqtt_transport::CertificateFiles;

use crate::House;

/// So many fill a hash map that doubles when it is seven eighths full, so nothing depends on chance.
const MANY: usize = 7 * 32;

/// What one connection takes at least: if less was counted, it was not there.
const CONNECTION_BYTES_MIN: usize = 5_000;

const TCP: usize = 0;
const WS: usize = 1;
const PROXY: usize = 2;
const TLS: usize = 3;

/// What one kind of peer sends before it says nothing more, and the most that the broker may hold for it.
struct Peer {
    what: &'static str,
    listener: usize,
    sends: Vec<u8>,
    bytes_max: usize,
}

fn hostile() -> Vec<Peer> {
    let of =
        |what, listener, sends: &[u8], bytes_max| Peer { what, listener, sends: sends.to_vec(), bytes_max };
    let mut connect = connect("c").will(will("w", [7; 60_000])).to_wire(Version::V5);
    connect.pop();
    let upgrade = "GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    let behind_it = |frame: &[u8]| [upgrade.as_bytes(), frame].concat();
    vec![
        of("nothing", TCP, b"", 10_300),
        of("half a CONNECT", TCP, b"\x10\x0c\x00\x04MQ", 10_300),
        of("a CONNECT that announces 256 MiB", TCP, b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x05", 10_300),
        of("all but a byte of a CONNECT of 60 kB", TCP, &connect, 70_000),
        of("nothing to WebSocket", WS, b"", 11_700),
        of("half an upgrade", WS, &upgrade.as_bytes()[..100], 11_800),
        of(
            "16 kB of an upgrade",
            WS,
            &[upgrade.as_bytes()[..100].to_vec(), vec![b'x'; 16_000]].concat(),
            34_000,
        ),
        of(
            "a frame that announces 256 MB",
            WS,
            &behind_it(b"\x82\xff\0\0\0\0\x0f\xff\xff\xff\0\0\0\0\x10"),
            10_600,
        ),
        of("half a PROXY header", PROXY, b"PROXY TCP4 192.0.2.1", 11_100),
        of("half a record of TLS", TLS, b"\x16\x03\x01\x40\x00\x01\x00\x01\xfc\x03\x03", 12_600),
    ]
}

fn listeners(folder: &std::path::Path) -> [ListenerSettings; 4] {
    let urls = ["tcp://127.0.0.1:0", "ws://127.0.0.1:0/mqtt", "tcp://127.0.0.1:0", "mqtts://127.0.0.1:0"];
    let mut listeners = urls.map(|url| ListenerSettings::new(url.parse().expect("an address")));
    listeners[PROXY].transport.proxy_from = vec!["127.0.0.1/32".parse().expect("a network")];
    Authority::new("authority").issue("server", &["127.0.0.1"], 1).write(folder, "server");
    let files = CertificateFiles { certificate: folder.join("server.pem"), key: folder.join("server.key") };
    listeners[TLS].transport.tls.certificates = vec![files];
    listeners
}

/// Nothing is reserved for what a peer only announces, and nothing stays of it when it has gone.
#[test]
fn a_peer_that_says_half_of_something_is_held_to_what_it_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::with_listeners(listeners(folder.path()));
    let ports: Vec<u16> = house.broker.addresses().iter().map(|url| url.port()).collect();
    // Once around, so that what is made only once is there.
    for kind in &hostile() {
        knock(&house, ports[kind.listener], &kind.sends, MANY);
    }
    let mut wrong = Vec::new();
    for kind in &hostile() {
        let before = house.bytes_held();
        let held = knock(&house, ports[kind.listener], &kind.sends, MANY);
        let each = held.saturating_sub(before) / MANY;
        let left = house.bytes_held().saturating_sub(before) / MANY;
        if each > kind.bytes_max || each < CONNECTION_BYTES_MIN || left > 64 {
            wrong.push(format!(
                "{}: {each} bytes each instead of at most {}, {left} left",
                kind.what, kind.bytes_max
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Bytes that are held while so many have sent this; they are gone again afterwards.
fn knock(house: &House, port: u16, bytes: &[u8], peers: usize) -> usize {
    let before = house.broker.metrics();
    let mut open = Vec::with_capacity(peers);
    for _ in 0..peers {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.write_all(bytes).expect("taken");
        open.push(stream);
    }
    while house.broker.metrics().connections_accepted < before.connections_accepted + peers as u64 {
        std::thread::yield_now();
    }
    let has_looked_at_all = || (0..100).for_each(|_| house.settle());
    // What was sent before is read before.
    drop(house.connect("neighbour", 0));
    has_looked_at_all();
    let held = house.bytes_held();
    drop(open);
    while house.broker.metrics().connects_failed < before.connects_failed + peers as u64 {
        std::thread::yield_now();
    }
    // Those that were refused early linger until they see that their peers are gone, which is now.
    drop(house.connect("neighbour", 0));
    has_looked_at_all();
    held
}
