//! Peers that do not keep to the rules of their transport: each is refused, counted under its cause, and bothers nobody.
//!
//! `docs/transports.md` lists what happens to whom.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use mqtt_broker::{Broker, ListenerSettings, Settings};
use mqtt_codec::QoS::AtLeastOnce;
use mqtt_codec::Version;
use mqtt_testkit::{Authority, Peer, ToWire, connect, publish};
use mqtt_transport::{
    Cause, CertificateFiles, ClientCertificates, ConnectOptions, Connector, Scheme, TlsClientOptions,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::harness::quiet;

/// A broker with a listener of each kind, and two neighbours whose messages must go on flowing.
struct Fortress {
    broker: Broker,
    folder: tempfile::TempDir,
    publisher: Peer,
    subscriber: Peer,
    sent: u16,
    /// What has to be counted so far.
    refused: BTreeMap<(usize, usize), u64>,
}

const TCP: usize = 0;
const TLS: usize = 1;
const WS: usize = 2;
/// Everybody here has to begin with a PROXY header.
const PROXY: usize = 3;
/// The same, but only from addresses where nobody is.
const ELSEWHERE: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

fn pair(folder: &Path, name: &str) -> CertificateFiles {
    let path = |ending| folder.join(name).with_extension(ending);
    CertificateFiles { certificate: path("pem"), key: path("key") }
}

fn listener(url: &str) -> ListenerSettings {
    ListenerSettings::new(url.parse().expect("an address")).allow_anonymous()
}

fn write_certificates(folder: &Path) {
    let authority = Authority::new("authority");
    std::fs::write(folder.join("ca.pem"), authority.pem()).expect("a file");
    authority.issue("server", &["127.0.0.1"], 1).write(folder, "server");
    authority.issue("sensor", &[], 2).write(folder, "good");
    authority.issue_until("old", &[], 3, 2002).write(folder, "expired");
    let lost = authority.issue("lost", &[], 4);
    lost.write(folder, "revoked");
    std::fs::write(folder.join("crl.pem"), authority.revoke(&[&lost])).expect("a file");
    Authority::new("somebody else").issue("stranger", &[], 5).write(folder, "foreign");
}

impl Fortress {
    async fn build(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_certificates(folder.path());
        let mut tls = listener("mqtts://127.0.0.1:0");
        tls.transport.tls.certificates = vec![pair(folder.path(), "server")];
        tls.transport.tls.client_certificates = ClientCertificates::Required;
        tls.transport.tls.client_ca_file = Some(folder.path().join("ca.pem"));
        tls.transport.tls.crl_files = vec![folder.path().join("crl.pem")];
        let mut ws = listener("ws://127.0.0.1:0/mqtt");
        ws.transport.ws.origins = vec!["https://ours.example".to_owned()];
        ws.transport.ws.message_bytes_max = 1000;
        let [mut proxied, mut elsewhere] = [listener("tcp://127.0.0.1:0"), listener("tcp://127.0.0.1:0")];
        proxied.transport.proxy_from = vec!["127.0.0.1/32".parse().expect("a network")];
        elsewhere.transport.proxy_from = vec!["192.0.2.0/24".parse().expect("a network")];
        let mut builder = Broker::builder().settings(quiet(change));
        for settings in [listener("tcp://127.0.0.1:0"), tls, ws, proxied, elsewhere] {
            builder = builder.listen(settings);
        }
        let broker = builder.start().await.expect("free ports and good files");
        let [publisher, subscriber] = ["publisher", "subscriber"].map(|name| {
            let (near, far) = mqtt_testkit::pipe();
            broker.attach(mqtt_transport::Connection::boxed(far), mqtt_broker::Peer::anonymous());
            Peer::new(name, near)
        });
        let refused = BTreeMap::new();
        let mut fortress = Self { broker, folder, publisher, subscriber, sent: 0, refused };
        fortress.publisher.connect(connect("publisher")).await;
        fortress.subscriber.connect(connect("subscriber")).await;
        fortress.subscriber.subscribe("news", AtLeastOnce).await;
        fortress
    }

    async fn dial(&self, listener: usize) -> TcpStream {
        let port = self.broker.addresses()[listener].port();
        TcpStream::connect(("127.0.0.1", port)).await.expect("it listens")
    }

    /// Asks for an upgrade to WebSocket; the status line.
    async fn upgrade(&self, request: &str) -> (TcpStream, String) {
        let mut stream = self.dial(WS).await;
        stream.write_all(request.as_bytes()).await.expect("taken");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
        let head = String::from_utf8(head).expect("HTTP is text");
        (stream, head.lines().next().expect("a status line").to_owned())
    }

    /// A peer has done something: it is cut off, counted under this cause alone, and the neighbours do not notice.
    /// What it still reads.
    async fn expect(
        &mut self,
        mut stream: impl AsyncReadExt + Unpin,
        scheme: Scheme,
        cause: Cause,
    ) -> Vec<u8> {
        let mut last_words = Vec::new();
        // A reset is an end as well.
        drop(stream.read_to_end(&mut last_words).await);
        drop(stream);
        *self.refused.entry((scheme as usize, cause as usize)).or_default() += 1;
        for _ in 0..100_000 {
            if self.counted() == self.refused {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(self.counted(), self.refused, "by scheme and cause, after {scheme:?} {cause:?}");
        self.neighbours().await;
        last_words
    }

    fn counted(&self) -> BTreeMap<(usize, usize), u64> {
        let refused = self.broker.metrics().refused;
        let all = refused.iter().enumerate().flat_map(|(scheme, causes)| {
            causes.iter().enumerate().map(move |(cause, count)| ((scheme, cause), *count))
        });
        all.filter(|(_, count)| *count > 0).collect()
    }

    async fn neighbours(&mut self) {
        self.sent += 1;
        let text = self.sent.to_string();
        self.publisher.publish(publish("news").payload(&text).qos1(self.sent)).await;
        self.subscriber.receive_text(&text).await;
    }
}

/// A request that is good but for what is replaced in it.
fn request(from: &str, to: &str) -> String {
    let good = "GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Origin: https://ours.example\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    let changed = good.replace(from, to);
    assert!(from.is_empty() || changed != good, "{from}");
    changed
}

/// A frame of a client; a mask of zeros leaves its bytes as they are.
fn web_frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte];
    match u8::try_from(payload.len()) {
        Ok(short @ ..126) => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(payload.len()).expect("short").to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

#[tokio::test]
async fn what_is_no_tls_or_shows_a_wrong_certificate_is_refused() {
    let mut fortress = Fortress::build(|_| ()).await;
    let mut plain = fortress.dial(TLS).await;
    plain.write_all(&connect("c").to_wire(Version::V5)).await.expect("taken");
    fortress.expect(plain, Scheme::Tls, Cause::NoTls).await;
    let gone = fortress.dial(TLS).await;
    fortress.expect(cut(gone, HALF_A_HELLO).await, Scheme::Tls, Cause::Broken).await;
    for (name, cause) in [
        (None, Cause::CertificateMissing),
        (Some("expired"), Cause::CertificateExpired),
        (Some("revoked"), Cause::CertificateRevoked),
        (Some("foreign"), Cause::CertificateUnknown),
    ] {
        let tls = TlsClientOptions {
            ca_file: Some(fortress.folder.path().join("ca.pem")),
            certificate: name.map(|name| pair(fortress.folder.path(), name)),
            ..TlsClientOptions::default()
        };
        let options = ConnectOptions { tls, ..ConnectOptions::default() };
        let connector = Connector::new(fortress.broker.addresses()[TLS].clone(), &options);
        // In TLS 1.3 the client is done before the server has looked at its certificate.
        match connector.expect("good files").connect().await {
            Ok(stream) => fortress.expect(stream, Scheme::Tls, cause).await,
            Err(_) => fortress.expect(tokio::io::empty(), Scheme::Tls, cause).await,
        };
    }
}

/// The start of a TLS record that announces a whole ClientHello.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03";

/// Sends something and nothing more.
async fn cut(mut stream: TcpStream, bytes: &[u8]) -> TcpStream {
    stream.write_all(bytes).await.expect("taken");
    stream.shutdown().await.expect("open");
    stream
}

#[tokio::test]
async fn a_websocket_request_that_is_not_served_gets_its_status() {
    let mut fortress = Fortress::build(|_| ()).await;
    let long = format!("Host: broker\r\nX-Padding: {}", "x".repeat(20_000));
    for (from, to, status, cause) in [
        ("/mqtt HTTP", "/other HTTP", "404", Cause::WrongPath),
        ("https://ours", "https://theirs", "403", Cause::WrongOrigin),
        ("Protocol: mqtt", "Protocol: chat", "400", Cause::NoSubprotocol),
        ("Version: 13", "Version: 8", "426", Cause::NoUpgrade),
        ("Upgrade: websocket\r\n", "", "426", Cause::NoUpgrade),
        ("GET", "BREW", "405", Cause::BadRequest),
        ("GET /mqtt HTTP/1.1", "\x10\x0c\0\x04MQTT", "400", Cause::BadRequest),
        ("Host: broker", &long, "431", Cause::BadRequest),
    ] {
        let (stream, said) = fortress.upgrade(&request(from, to)).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{to}: {said}");
        fortress.expect(stream, Scheme::Ws, cause).await;
    }
}

#[tokio::test]
async fn a_frame_against_the_rules_closes_a_websocket_with_its_code() {
    let mut fortress = Fortress::build(|_| ()).await;
    let connect = connect("web").to_wire(Version::V5);
    let parts = web_frame(0x02, &connect[..3]);
    let of_parts = |second: Vec<u8>| [parts.clone(), second].concat();
    // Of a CONNECT of 100,000 bytes, so that the reader waits for more.
    let beginning = [&[0x10, 0xA0, 0x8D, 0x06][..], &[0; 96]].concat();
    let more = (0..10).flat_map(|_| web_frame(0x00, &[0; 100]));
    let endless: Vec<u8> = web_frame(0x02, &beginning).into_iter().chain(more).collect();
    for (what, frames, code, cause) in [
        ("text", web_frame(0x81, b"hello"), 1003, Cause::TextFrame),
        ("no mask", vec![0x82, 1, 0], 1002, Cause::UnmaskedFrame),
        ("reserved bits", web_frame(0xC2, &connect), 1002, Cause::BadFrame),
        ("an unknown kind", web_frame(0x83, b""), 1002, Cause::BadFrame),
        ("a ping in parts", web_frame(0x09, b""), 1002, Cause::BadFrame),
        ("a long ping", web_frame(0x89, &[0; 126]), 1002, Cause::BadFrame),
        ("a part without a beginning", web_frame(0x80, b"x"), 1002, Cause::BadFrame),
        ("a beginning among parts", of_parts(web_frame(0x82, &connect)), 1002, Cause::BadFrame),
        (
            "an oversize frame",
            vec![0x82, 0xFF, 0x3F, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            1009,
            Cause::MessageTooLarge,
        ),
        ("oversize in parts", endless, 1009, Cause::MessageTooLarge),
    ] {
        let (mut stream, said) = fortress.upgrade(&request("", "")).await;
        assert!(said.starts_with("HTTP/1.1 101 "), "{said}");
        stream.write_all(&frames).await.expect("taken");
        let last_words = fortress.expect(cut(stream, b"").await, Scheme::Ws, cause).await;
        let close = [&[0x88][..], &[last_words[1]], &u16::to_be_bytes(code)].concat();
        assert!(last_words.starts_with(&close), "{what}: {last_words:02X?}");
    }
}

/// Fragments themselves are allowed, even of one byte, with pings between them.
#[tokio::test]
async fn a_packet_in_tiny_fragments_is_a_packet() {
    let mut fortress = Fortress::build(|_| ()).await;
    let (mut stream, _) = fortress.upgrade(&request("", "")).await;
    let connect = connect("web").version(Version::V3_1_1).to_wire(Version::V3_1_1);
    for (nth, byte) in connect.iter().enumerate() {
        let first = u8::from(nth == 0) * 2;
        let last = u8::from(nth == connect.len() - 1) * 0x80;
        stream.write_all(&web_frame(first | last, &[*byte])).await.expect("taken");
        stream.write_all(&web_frame(0x89, b"")).await.expect("taken");
    }
    // Pings that wait together are answered together.
    let mut answers = Vec::new();
    while !answers.windows(6).any(|window| window == [0x82, 4, 0x20, 2, 0, 0]) {
        assert!(stream.read_buf(&mut answers).await.expect("a CONNACK") > 0, "{answers:02X?}");
    }
    fortress.neighbours().await;
    assert!(fortress.counted().is_empty());
}

#[tokio::test]
async fn a_proxy_header_that_lies_or_comes_from_elsewhere_is_refused() {
    let mut fortress = Fortress::build(|_| ()).await;
    let connect = connect("c").to_wire(Version::V5);
    for header in [
        &b""[..],
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
        &[b'P'; 300],
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x04\x01\x02\x03\x04",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xFF\xFF",
    ] {
        let mut stream = fortress.dial(PROXY).await;
        stream.write_all(&[header, &connect].concat()).await.expect("taken");
        fortress.expect(stream, Scheme::Tcp, Cause::BadProxyHeader).await;
    }
    let mut stream = fortress.dial(ELSEWHERE).await;
    let header = b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n";
    stream.write_all(&[&header[..], &connect].concat()).await.expect("taken");
    fortress.expect(stream, Scheme::Tcp, Cause::UntrustedProxy).await;
}

/// A byte a second, on each way in and in each part of it.
#[tokio::test(start_paused = true)]
async fn a_byte_a_second_keeps_nobodys_place_for_longer_than_the_connect_timeout() {
    let mut fortress = Fortress::build(|_| ()).await;
    let packet = connect("a client with a long name").to_wire(Version::V5);
    let upgrade = request("", "");
    let in_frames = [upgrade.clone().into_bytes(), web_frame(0x82, &packet)].concat();
    for (listener, scheme, at_once, bytes) in [
        (TCP, Scheme::Tcp, 0, &packet[..]),
        (TLS, Scheme::Tls, 0, &[HALF_A_HELLO, &[7; 99]].concat()),
        (WS, Scheme::Ws, 0, upgrade.as_bytes()),
        (WS, Scheme::Ws, upgrade.len(), &in_frames),
        (PROXY, Scheme::Tcp, 0, b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 1883\r\n"),
    ] {
        let began = Instant::now();
        let stream = fortress.dial(listener).await;
        let (read_half, mut write_half) = stream.into_split();
        let drip = tokio::spawn({
            let (at_once, bytes) = (bytes[..at_once].to_vec(), bytes[at_once..].to_vec());
            async move {
                write_half.write_all(&at_once).await.expect("taken");
                for byte in bytes {
                    // It is cut off at some point.
                    if write_half.write_all(&[byte]).await.is_err() {
                        return;
                    }
                    sleep(Duration::from_secs(1)).await;
                }
            }
        });
        fortress.expect(read_half, scheme, Cause::TimedOut).await;
        assert!(began.elapsed() >= CONNECT_TIMEOUT, "{scheme:?}: {:?}", began.elapsed());
        assert!(began.elapsed() < CONNECT_TIMEOUT * 2, "{scheme:?}: {:?}", began.elapsed());
        drip.abort();
    }
}

/// What does not even begin holds one of the places for handshakes; when there is none left, nothing more is looked at.
#[tokio::test(start_paused = true)]
async fn a_flood_of_connects_is_cut_down_to_the_places_that_there_are() {
    const FLOOD: usize = 300;
    const PLACES: usize = 20;
    let mut fortress = Fortress::build(|settings| settings.limits.handshakes_max = PLACES).await;
    let mut flood = Vec::new();
    for nth in 0..FLOOD {
        flood.push(fortress.dial([TCP, TLS, WS, PROXY][nth % 4]).await);
        fortress.neighbours().await;
    }
    let refused = fortress.broker.metrics().connections_refused;
    assert_eq!(refused, (FLOOD - PLACES) as u64);
    let mut closed = 0;
    for stream in &mut flood[PLACES..] {
        closed += usize::from(stream.read(&mut [0]).await.unwrap_or(0) == 0);
    }
    assert_eq!(closed, FLOOD - PLACES, "the others are still open");
    sleep(CONNECT_TIMEOUT).await;
    drop(flood);
    // Every place is free again.
    for nth in 0..PLACES {
        let mut peer = Peer::new("late", fortress.dial(TCP).await);
        peer.connect(connect(&format!("late {nth}"))).await;
    }
    let metrics = fortress.broker.metrics();
    assert_eq!((metrics.connections_refused, metrics.connects_failed), (refused, PLACES as u64));
}

#[tokio::test]
async fn a_full_broker_refuses_and_counts_by_transport() {
    let mut fortress = Fortress::build(|settings| settings.limits.connections_max = 4).await;
    let _two = [fortress.dial(TCP).await, fortress.dial(WS).await];
    fortress.neighbours().await;
    while fortress.broker.metrics().connections_accepted < 4 {
        tokio::task::yield_now().await;
    }
    for (listener, scheme) in [(TCP, Scheme::Tcp), (TLS, Scheme::Tls), (WS, Scheme::Ws)] {
        let one_more = fortress.dial(listener).await;
        fortress.expect(one_more, scheme, Cause::Full).await;
    }
}

/// A client behind a proxy is counted by its own address, and the proxy by none.
#[tokio::test]
async fn limits_by_address_hold_for_whom_a_proxy_speaks_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = quiet(|settings| settings.limits.connections_per_address_max = 2);
    settings.limits.connects_per_address_per_second_max = 1000;
    let here = "127.0.0.1/32".parse().expect("a network");
    let [mut tcp, mut ws] = ["tcp://127.0.0.1:0", "ws://127.0.0.1:0/mqtt"].map(listener);
    tcp.transport.proxy_from = vec![here];
    ws.transport.ws.trusted_proxies = vec![here];
    let path = folder.path().join("broker.sock");
    let mut unix = listener(&format!("unix://{}", path.display()));
    unix.transport.proxy_from = vec![here];
    let plain = listener("tcp://127.0.0.1:0");
    let builder = [tcp, ws, unix, plain]
        .into_iter()
        .fold(Broker::builder().settings(settings), |builder, it| builder.listen(it));
    let broker = builder.start().await.expect("free places");
    let port = |nth: usize| broker.addresses()[nth].port();
    let dial = |nth: usize| TcpStream::connect(("127.0.0.1", port(nth)));
    let header = |last: usize| format!("PROXY TCP4 192.0.2.{last} 192.0.2.100 4711 1883\r\n");
    let proxied = async |last: usize| {
        let mut stream = dial(0).await.expect("it listens");
        stream.write_all(header(last).as_bytes()).await.expect("taken");
        stream
    };
    let mut clients = Vec::new();
    let mut admitted = async |stream: TcpStream| {
        let mut peer = Peer::new("proxied", stream);
        peer.send_carelessly(connect(&format!("c{}", clients.len())).version(Version::V3_1_1)).await;
        let admitted = peer.expect_packet_or_closed().await.is_some();
        clients.push(peer);
        admitted
    };
    assert!(admitted(proxied(1).await).await);
    assert!(admitted(proxied(1).await).await);
    assert!(!admitted(proxied(1).await).await, "the third of one address");
    assert!(admitted(proxied(2).await).await, "the proxy itself is not counted");
    assert_eq!(broker.metrics().connections_refused, 1);
    // Over WebSocket, and over a Unix socket, the same addresses are known already.
    let upgraded = async |last: usize| {
        let mut stream = dial(1).await.expect("it listens");
        let forwarded = format!("Host: broker\r\nX-Forwarded-For: 192.0.2.{last}");
        stream.write_all(request("Host: broker", &forwarded).as_bytes()).await.expect("taken");
        let mut head = vec![0; 12];
        stream.read_exact(&mut head).await.expect("an answer");
        assert_eq!(head, b"HTTP/1.1 101");
        let mut rest = Vec::new();
        stream.write_all(&web_frame(0x82, &connect("w").to_wire(Version::V5))).await.expect("taken");
        while let Ok(bytes @ 1..) = stream.read_buf(&mut rest).await {
            if rest[rest.len() - bytes..].contains(&0x82) {
                return Some(stream);
            }
        }
        None
    };
    assert!(upgraded(1).await.is_none(), "two came over TCP");
    let third = upgraded(3).await;
    assert!(third.is_some());
    let mut unix = tokio::net::UnixStream::connect(&path).await.expect("it listens");
    unix.write_all(header(1).as_bytes()).await.expect("taken");
    assert_eq!(unix.read(&mut [0]).await.unwrap_or(0), 0, "two came over TCP");
    assert_eq!(broker.metrics().connections_refused, 3);
    // Who leaves makes room.
    drop(clients);
    while broker.metrics().clients_connected > 1 {
        tokio::task::yield_now().await;
    }
    let mut back = Peer::new("back", proxied(1).await);
    back.connect(connect("back")).await;
    // Nobody speaks for those who come to another listener.
    let _direct = [dial(3).await.expect("it listens"), dial(3).await.expect("it listens")];
    let mut one_too_many = dial(3).await.expect("it listens");
    assert_eq!(one_too_many.read(&mut [0]).await.unwrap_or(0), 0);
    drop(third);
}
