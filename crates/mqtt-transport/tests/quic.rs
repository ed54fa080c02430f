//! QUIC on real sockets: what travels, who is let in, and what becomes of those who misbehave.

mod house;

use std::fs;
use std::future::Future;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use house::{House, attempt, listen};
use mqtt_transport::{
    AddressValidation, Arrival, Cause, CertificateField, ClientCertificates, CloseOutcome, Connection,
    HandshakeError, Listener, ListenerOptions, QuicOptions, Reloaded, TlsClientOptions, TlsOptions,
    TlsServer, TlsVersion, Url, close_gracefully,
};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, RecvStream, SendStream, VarInt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

const URL: &str = "quic://127.0.0.1:0";

/// A client that does as the test wants.
struct Raw {
    endpoint: Endpoint,
    config: ClientConfig,
}

impl Raw {
    fn new(house: &House, protocols: &[&[u8]]) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(house.path("ca.pem")).expect("a certificate");
        roots.add(ca).expect("an authority");
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        // With a small key the first packet holds all that the client has to say.
        provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).expect("TLS 1.3");
        let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let crypto = QuicClientConfig::try_from(tls).expect("fit for QUIC");
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        Self { endpoint, config: ClientConfig::new(Arc::new(crypto)) }
    }

    fn mqtt(house: &House) -> Self {
        Self::new(house, &[b"mqtt"])
    }

    async fn connect(&self, address: SocketAddr) -> Result<quinn::Connection, quinn::ConnectionError> {
        self.endpoint.connect_with(self.config.clone(), address, "localhost").expect("an address").await
    }

    /// Both ends of a connection that has carried one byte.
    async fn meet(&self, listener: &Listener) -> (Arrival, quinn::Connection, SendStream, RecvStream) {
        let dial = async {
            let connection = self.connect(listener.local_addr().expect("bound")).await.expect("it listens");
            let (mut send, receive) = connection.open_bi().await.expect("one stream");
            send.write_all(b"1").await.expect("sent");
            (connection, send, receive)
        };
        let (arrival, (connection, send, receive)) = tokio::join!(arrive(listener), dial);
        let mut arrival = arrival.expect("a client");
        assert_eq!(arrival.connection.read_u8().await.expect("a byte"), b'1');
        (arrival, connection, send, receive)
    }
}

async fn arrive(listener: &Listener) -> Result<Arrival, HandshakeError> {
    listener.accept().await.expect("a client comes").handshake().await
}

fn check_pending(future: impl Future) {
    assert!(pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

/// The first datagram of a client that is never heard of again.
async fn hello(raw: &Raw) -> Vec<u8> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = socket.local_addr().expect("bound");
    let _connecting = raw.endpoint.connect_with(raw.config.clone(), address, "localhost");
    let mut datagram = vec![0; 2048];
    let bytes = socket.recv(&mut datagram).await.expect("a datagram");
    datagram.truncate(bytes);
    datagram
}

async fn whisper(listener: &Listener, hello: &[u8]) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    socket.send_to(hello, listener.local_addr().expect("bound")).await.expect("sent");
    socket
}

#[tokio::test]
async fn bytes_travel_and_both_ends_know_each_other() {
    let house = House::new();
    let listener = listen(URL, house.server(ClientCertificates::Required)).await;
    let (arrival, answer) = attempt(&listener, house.client(Some("good"))).await;
    assert_eq!(answer.expect("the server answers"), 2);
    let arrival = arrival.expect("a client");
    assert!(arrival.address.expect("it has one").ip().is_loopback());
    let certificate = arrival.certificate.expect("it showed one");
    assert_eq!(certificate.field(CertificateField::CommonName), Some("sensor 7"));
}

#[tokio::test]
async fn a_client_is_judged_by_its_certificate() {
    house::check_clients_are_judged(URL).await;
}

#[tokio::test]
async fn a_client_does_not_accept_just_any_server() {
    let house = House::new();
    let listener = listen(URL, house.server(ClientCertificates::NotAsked)).await;
    let elsewhere = TlsClientOptions { server_name: Some("elsewhere".into()), ..house.client(None) };
    let untrusting =
        TlsClientOptions { ca_file: Some(house.path("foreign.pem").into()), ..house.client(None) };
    for client in [elsewhere.clone(), untrusting] {
        let (arrival, answer) = attempt(&listener, client).await;
        assert_eq!(arrival.expect_err("an alert").cause(), Cause::TlsAlert);
        answer.expect_err("not the server it wants");
    }
    let (_, answer) = attempt(&listener, TlsClientOptions { any_name: true, ..elsewhere }).await;
    answer.expect("the name does not matter");
}

#[tokio::test]
async fn a_client_that_speaks_something_else_is_refused() {
    let house = House::new();
    let listener = listen(URL, house.server(ClientCertificates::NotAsked)).await;
    for protocols in [&[&b"h3"[..]][..], &[]] {
        let raw = Raw::new(&house, protocols);
        let address = listener.local_addr().expect("bound");
        let (arrival, connected) = tokio::join!(arrive(&listener), raw.connect(address));
        assert_eq!(arrival.expect_err("no common protocol").cause(), Cause::TlsIncompatible);
        connected.expect_err("no common protocol");
    }
    let raw = Raw::new(&house, &[b"h3", b"mqtt"]);
    raw.meet(&listener).await;
}

#[tokio::test]
async fn a_half_open_handshake_is_in_nobodys_way() {
    let house = House::new();
    let listener = listen(URL, house.server(ClientCertificates::NotAsked)).await;
    let silent = whisper(&listener, &hello(&Raw::mqtt(&house)).await).await;
    let incoming = listener.accept().await.expect("a client comes");
    assert_eq!(incoming.peer(), silent.local_addr().ok());
    let waiting = tokio::spawn(incoming.handshake());
    // It has been answered, so its handshake is under way.
    silent.recv(&mut [0; 2048]).await.expect("the server's part");
    let (arrival, answer) = attempt(&listener, house.client(None)).await;
    assert_eq!(answer.expect("the server answers"), 2);
    arrival.expect("a client");
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn addresses_are_validated_when_half_of_the_handshakes_are_under_way() {
    let house = House::new();
    let tls = house.server(ClientCertificates::NotAsked);
    let options = ListenerOptions { tls, handshakes_max: 2, ..ListenerOptions::default() };
    let listener = Listener::bind(&Url::parse(URL).expect("a URL"), options).await.expect("a free port");
    let raw = Raw::mqtt(&house);
    let silent = whisper(&listener, &hello(&raw).await).await;
    let waiting = tokio::spawn(listener.accept().await.expect("a client comes").handshake());
    silent.recv(&mut [0; 2048]).await.expect("the server's part");
    let liar = whisper(&listener, &hello(&raw).await).await;
    check_is_asked_for_its_address(&listener, &liar).await;
    let (arrival, answer) = attempt(&listener, house.client(None)).await;
    assert_eq!(answer.expect("an honest client answers the question"), 2);
    arrival.expect("a client");
    waiting.abort();
}

#[tokio::test]
async fn addresses_are_always_validated_if_told_so() {
    let house = House::new();
    let quic = QuicOptions { address_validation: AddressValidation::Always, ..QuicOptions::default() };
    let tls = house.server(ClientCertificates::NotAsked);
    let options = ListenerOptions { tls, quic, ..ListenerOptions::default() };
    let listener = Listener::bind(&Url::parse(URL).expect("a URL"), options).await.expect("a free port");
    let liar = whisper(&listener, &hello(&Raw::mqtt(&house)).await).await;
    check_is_asked_for_its_address(&listener, &liar).await;
    Raw::mqtt(&house).meet(&listener).await;
}

async fn check_is_asked_for_its_address(listener: &Listener, liar: &UdpSocket) {
    let mut answer = [0; 2048];
    tokio::select! {
        _ = listener.accept() => panic!("nothing is kept for an address that may be a lie"),
        received = liar.recv(&mut answer) => received.expect("an answer"),
    };
    // RFC 9000 section 17.2.5.
    assert_eq!(answer[0] & 0xF0, 0xF0, "a Retry packet");
}

#[tokio::test]
async fn a_stream_that_is_reset_fails_and_a_closed_connection_ends() {
    let house = House::new();
    let listener = listen(URL, house.server(ClientCertificates::NotAsked)).await;
    let raw = Raw::mqtt(&house);

    let (mut arrival, _connection, mut send, _receive) = raw.meet(&listener).await;
    send.reset(VarInt::from_u32(7)).expect("it is open");
    let error = arrival.connection.read_u8().await.expect_err("reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let (mut arrival, connection, _send, _receive) = raw.meet(&listener).await;
    connection.close(VarInt::from_u32(0), b"");
    assert_eq!(arrival.connection.read(&mut [0]).await.expect("an orderly end"), 0);
    arrival.connection.write_all(b"x").await.expect_err("nobody is there");

    let (mut arrival, connection, _send, _receive) = raw.meet(&listener).await;
    connection.close(VarInt::from_u32(9), b"fed up");
    let error = arrival.connection.read(&mut [0]).await.expect_err("no orderly end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(error.to_string().contains("fed up"), "{error}");
}

#[tokio::test]
async fn there_is_one_stream_and_no_more() {
    let house = House::new();
    let listener = listen(URL, house.server(ClientCertificates::NotAsked)).await;
    let (arrival, connection, mut send, _receive) = Raw::mqtt(&house).meet(&listener).await;
    check_pending(connection.open_bi());
    check_pending(connection.open_uni());
    assert_eq!(connection.max_datagram_size(), None);
    // Not even after it.
    send.finish().expect("it is open");
    assert_eq!(close_gracefully(arrival.connection, Duration::from_secs(60)).await, CloseOutcome::PeerClosed);
    connection.open_bi().await.expect_err("the connection ends with its stream");
}

#[tokio::test]
async fn a_graceful_close_lets_a_slow_client_have_everything() {
    const BYTES: usize = 1 << 20;
    let house = House::new();
    let listener = listen(URL, house.server(ClientCertificates::NotAsked)).await;
    let (arrival, connection, mut send, mut receive) = Raw::mqtt(&house).meet(&listener).await;
    let server = tokio::spawn(async move {
        let mut stream = arrival.connection;
        stream.write_all(&vec![b'x'; BYTES]).await.expect("the client takes it");
        close_gracefully(stream, Duration::from_secs(60)).await
    });
    let all = receive.read_to_end(2 * BYTES).await.expect("all of it");
    assert_eq!(all.len(), BYTES);
    send.finish().expect("it is open");
    assert_eq!(server.await.expect("no panic"), CloseOutcome::PeerClosed);
    let quinn::ConnectionError::ApplicationClosed(close) = connection.closed().await else {
        panic!("the server says that it is done");
    };
    assert_eq!(close.error_code, VarInt::from_u32(0));
}

#[tokio::test]
async fn giving_up_a_connection_says_so() {
    let house = House::new();
    let listener = listen(URL, house.server(ClientCertificates::NotAsked)).await;
    let (arrival, connection, ..) = Raw::mqtt(&house).meet(&listener).await;
    drop(arrival);
    let quinn::ConnectionError::ApplicationClosed(close) = connection.closed().await else {
        panic!("the server says that it gave up");
    };
    assert_eq!((close.error_code, &*close.reason), (VarInt::from_u32(1), &b"abandoned"[..]));
}

#[tokio::test]
async fn what_a_client_does_not_read_waits_within_the_window() {
    let house = House::new();
    let quic = QuicOptions { window_bytes: 64 << 10, ..QuicOptions::default() };
    let tls = house.server(ClientCertificates::NotAsked);
    let options = ListenerOptions { tls, quic, ..ListenerOptions::default() };
    let listener = Listener::bind(&Url::parse(URL).expect("a URL"), options).await.expect("a free port");
    let (mut arrival, _connection, mut send, _receive) = Raw::mqtt(&house).meet(&listener).await;
    // The client's own window is larger than a mebibyte, and never read from.
    let mut waiting = 0;
    let block = [0; 4 << 10];
    loop {
        let mut write = pin!(arrival.connection.write(&block));
        match write.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(written) => waiting += written.expect("the client lives"),
            Poll::Pending => break,
        }
    }
    assert!(waiting <= 64 << 10, "{waiting}");
    let mut sent = 0;
    while let Poll::Ready(written) = pin!(send.write(&block)).poll(&mut Context::from_waker(Waker::noop())) {
        sent += written.expect("the server lives");
    }
    assert!(sent <= 64 << 10, "{sent}");
}

#[tokio::test]
async fn a_client_may_move_to_another_address() {
    let house = House::new();
    let listener = listen(URL, house.server(ClientCertificates::NotAsked)).await;
    let raw = Raw::mqtt(&house);
    let (mut arrival, _connection, mut send, mut receive) = raw.meet(&listener).await;
    let before = raw.endpoint.local_addr().expect("bound");
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    raw.endpoint.rebind(socket).expect("a socket");
    assert_ne!(raw.endpoint.local_addr().expect("bound"), before);
    send.write_all(b"2").await.expect("sent");
    assert_eq!(arrival.connection.read_u8().await.expect("from elsewhere"), b'2');
    arrival.connection.write_all(b"3").await.expect("sent");
    let mut answer = [0];
    receive.read_exact(&mut answer).await.expect("the server found it");
    assert_eq!(&answer, b"3");
}

#[tokio::test]
async fn changed_files_change_what_new_connections_get_and_old_ones_go_on() {
    let house = House::new();
    let listener = listen(URL, house.server(ClientCertificates::Optional)).await;
    let (mut live, _connection, mut send, _receive) = Raw::mqtt(&house).meet(&listener).await;
    let (_, answer) = attempt(&listener, house.client(Some("good"))).await;
    answer.expect("admitted");
    let good = house.authority.issue("again", &[], 2); // the same serial number
    fs::write(house.path("crl.pem"), house.authority.revoke(&[&good])).expect("a file");
    let tls = listener.tls().expect("an encrypted listener");
    assert_eq!(tls.reload_if_changed().expect("good files"), Reloaded::Renewed);
    let (arrival, _) = attempt(&listener, house.client(Some("good"))).await;
    assert_eq!(arrival.expect_err("revoked").cause(), Cause::CertificateRevoked);
    send.write_all(b"2").await.expect("sent");
    assert_eq!(live.connection.read_u8().await.expect("it goes on"), b'2');
}

#[tokio::test]
async fn a_listener_that_is_gone_takes_nobody_and_keeps_those_it_has() {
    let house = House::new();
    let listener = listen(URL, house.server(ClientCertificates::NotAsked)).await;
    let raw = Raw::mqtt(&house);
    let (mut arrival, _connection, mut send, _receive) = raw.meet(&listener).await;
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let newcomer = raw.endpoint.connect_with(raw.config.clone(), address, "localhost").expect("an address");
    send.write_all(b"2").await.expect("sent");
    assert_eq!(arrival.connection.read_u8().await.expect("it goes on"), b'2');
    check_pending(newcomer);
}

#[tokio::test]
async fn the_first_address_of_a_host_that_answers_is_taken() {
    let house = House::new();
    let listener = listen(URL, house.server(ClientCertificates::NotAsked)).await;
    let by_name = Url::parse("quic://localhost:0").expect("a URL").with_port(listener.url().port());
    let options = mqtt_transport::ConnectOptions { tls: house.client(None), ..Default::default() };
    let connector = mqtt_transport::Connector::new(by_name, &options).expect("good files");
    let dial = async {
        let mut connection: Connection = connector.connect().await.expect("one of them answers");
        connection.write_u8(1).await.expect("sent");
        connection
    };
    let (arrival, _connection) = tokio::join!(arrive(&listener), dial);
    assert_eq!(arrival.expect("a client").connection.read_u8().await.expect("a byte"), 1);
}

#[tokio::test]
async fn what_quic_cannot_do_is_said_at_once() {
    let house = House::new();
    let check = async |options: ListenerOptions, part: &str| {
        let error = Listener::bind(&Url::parse(URL).expect("a URL"), options).await.expect_err(part);
        assert!(error.to_string().contains(part), "{error}");
    };
    let tls = || house.server(ClientCertificates::NotAsked);
    let old = TlsOptions { version_max: TlsVersion::V1_2, ..tls() };
    check(ListenerOptions { tls: old, ..ListenerOptions::default() }, "TLS 1.3").await;
    let proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    check(ListenerOptions { tls: tls(), proxy_from: proxies, ..ListenerOptions::default() }, "PROXY").await;
    check(ListenerOptions::default(), "needs a certificate").await;
    let suites = vec!["TLS13_CHACHA20_POLY1305_SHA256".to_owned()];
    let listener = listen(URL, TlsOptions { cipher_suites: suites, ..tls() }).await;
    Raw::mqtt(&house).meet(&listener).await;
    TlsServer::load(tls()).expect("the same files do for TLS");
}
