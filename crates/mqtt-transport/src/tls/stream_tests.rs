use std::io::ErrorKind;

use mqtt_testkit::Authority;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsConnector;

use super::super::{CertificateFiles, TlsClient, TlsClientOptions, TlsOptions, TlsServer, TlsVersion};
use super::{TlsStream, first_record};

type Server = TlsStream<DuplexStream>;
type Client = tokio_rustls::client::TlsStream<DuplexStream>;

const VERSIONS: [TlsVersion; 2] = [TlsVersion::V1_2, TlsVersion::V1_3];

/// Both ends of a pipe that takes so many bytes at a time.
async fn pair(version: TlsVersion, pipe_bytes: usize) -> (Server, Client) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let authority = Authority::new("authority");
    std::fs::write(file("ca.pem"), authority.pem()).expect("a file");
    authority.issue("server", &["localhost"], 1).write(folder.path(), "server");
    let files = CertificateFiles { certificate: file("server.pem"), key: file("server.key") };
    let server = TlsServer::load(TlsOptions { certificates: vec![files], ..TlsOptions::default() });
    let config = server.expect("good files").config();
    let options = TlsClientOptions {
        ca_file: Some(file("ca.pem")),
        version_min: version,
        version_max: version,
        ..TlsClientOptions::default()
    };
    let client = TlsClient::load(&options).expect("good files").config();
    let (ours, theirs) = duplex(pipe_bytes);
    let accept = async {
        let mut ours = ours;
        let first = first_record(&mut ours).await.expect("a hello");
        TlsStream::accept(ours, config, first).await.expect("a client")
    };
    let name = ServerName::try_from("localhost").expect("a name");
    let (server, client) = tokio::join!(accept, TlsConnector::from(client).connect(name, theirs));
    (server, client.expect("a server"))
}

/// Sends from the client and has it echoed by a server that reads with buffers of this size.
async fn check_echo(server: &mut Server, client: &mut Client, bytes: usize, buffer_bytes: usize) {
    let sent: Vec<u8> = (0..bytes).map(|at| (at * 31 + at / 251) as u8).collect();
    let echo = async {
        let mut buffer = vec![0; buffer_bytes];
        let mut left = bytes;
        while left > 0 {
            let read = server.read(&mut buffer).await.expect("data");
            server.write_all(&buffer[..read]).await.expect("taken");
            server.flush().await.expect("taken");
            left -= read;
        }
    };
    let (mut from, mut to) = tokio::io::split(client);
    let send = async {
        to.write_all(&sent).await.expect("taken");
        to.flush().await.expect("taken");
    };
    let mut received = vec![0; bytes];
    let receive = async { from.read_exact(&mut received).await.expect("data") };
    tokio::join!(echo, send, receive);
    assert!(received == sent, "{bytes} bytes with buffers of {buffer_bytes}");
}

#[tokio::test]
async fn everything_arrives_however_the_bytes_are_cut() {
    for version in VERSIONS {
        // A client of TLS 1.3 is done before it has read the ticket for its next visit, which has to have room.
        let narrow = if version == TlsVersion::V1_2 { 1 } else { 700 };
        for (pipe_bytes, bytes) in [(narrow, 3_000), (700, 60_000), (20_000, 200_000), (1 << 20, 300_000)] {
            let (mut server, mut client) = pair(version, pipe_bytes).await;
            for buffer_bytes in [100, 5_000, 64 << 10] {
                check_echo(&mut server, &mut client, bytes, buffer_bytes).await;
            }
        }
    }
}

#[tokio::test]
async fn an_idle_connection_holds_no_buffer() {
    for version in VERSIONS {
        let (mut server, mut client) = pair(version, 1 << 20).await;
        check_echo(&mut server, &mut client, 100_000, 100).await;
        check_echo(&mut server, &mut client, 100_000, 64 << 10).await;
        assert_eq!([server.sealed.capacity(), server.plain.capacity()], [0, 0]);
        assert_eq!(server.engine.out.capacity(), 0);
    }
}

#[tokio::test]
async fn keys_may_change_at_any_time() {
    let (mut server, mut client) = pair(TlsVersion::V1_3, 1 << 20).await;
    for _ in 0..3 {
        client.get_mut().1.refresh_traffic_keys().expect("TLS 1.3");
        check_echo(&mut server, &mut client, 40_000, 64 << 10).await;
    }
}

#[tokio::test]
async fn slices_share_a_record() {
    let (mut server, mut client) = pair(TlsVersion::V1_3, 1 << 20).await;
    let slices = [&b"ab"[..], b"", b"cde"].map(std::io::IoSlice::new);
    assert_eq!(server.write_vectored(&slices).await.expect("taken"), 5);
    let mut received = [0; 64];
    assert_eq!(client.read(&mut received).await.expect("one record"), 5);
    assert_eq!(&received[..5], b"abcde");
}

#[tokio::test]
async fn an_end_is_told_from_a_cut() {
    for version in VERSIONS {
        let (mut server, mut client) = pair(version, 1 << 20).await;
        client.shutdown().await.expect("taken");
        assert_eq!(server.read(&mut [0; 10]).await.expect("an end"), 0);
        server.write_all(b"still").await.expect("the other direction is open");
        server.shutdown().await.expect("taken");
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.expect("an end");
        assert_eq!(rest, b"still");

        let (mut server, client) = pair(version, 1 << 20).await;
        drop(client);
        let error = server.read(&mut [0; 10]).await.expect_err("a cut");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn a_forged_record_ends_the_connection_with_an_alert() {
    for version in VERSIONS {
        for buffer_bytes in [100, 64 << 10] {
            let (mut server, client) = pair(version, 1 << 20).await;
            let (mut wire, _) = client.into_inner();
            wire.write_all(&[23, 3, 3, 0, 40]).await.expect("taken");
            wire.write_all(&[7; 40]).await.expect("taken");
            let mut buffer = vec![0; buffer_bytes];
            let error = server.read(&mut buffer).await.expect_err("forged");
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            wire.write_all(&[23, 3, 3, 0, 40]).await.expect("taken");
            server.read(&mut buffer).await.expect_err("it stays so");
            server.write_all(b"x").await.expect_err("in both directions");
            server.shutdown().await.expect("nothing is left to say");
            let mut said = Vec::new();
            wire.read_to_end(&mut said).await.expect("an alert");
            assert!(said.len() > 5, "{said:?}");
        }
    }
}
