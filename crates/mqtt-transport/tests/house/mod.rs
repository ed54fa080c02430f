//! Certificates on disk, and both ends of one attempt to connect with them.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::fs;
use std::path::Path;

use mqtt_testkit::Authority;
use mqtt_transport::{
    Arrival, Cause, CertificateField, CertificateFiles, ClientCertificates, ConnectOptions, Connection,
    Connector, HandshakeError, Listener, ListenerOptions, TlsClientOptions, TlsOptions, Url,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A folder with an authority `ca`, a server's certificate `server`, and clients' `good`, `revoked`, `expired`, `foreign`.
pub(crate) struct House {
    folder: TempDir,
    pub(crate) authority: Authority,
}

const NAMES: &[&str] = &["localhost", "127.0.0.1", "*.test.example"];

impl House {
    pub(crate) fn new() -> Self {
        let house = Self {
            folder: tempfile::tempdir().expect("a folder"),
            authority: Authority::new("our authority"),
        };
        fs::write(house.path("ca.pem"), house.authority.pem()).expect("a file");
        house.authority.issue("server", NAMES, 1).write(house.path(""), "server");
        house.authority.issue("sensor 7", &["seven.example"], 2).write(house.path(""), "good");
        let revoked = house.authority.issue("lost", &[], 3);
        revoked.write(house.path(""), "revoked");
        house.authority.issue_until("old", &[], 4, 2002).write(house.path(""), "expired");
        Authority::new("somebody else").issue("stranger", &[], 5).write(house.path(""), "foreign");
        fs::write(house.path("crl.pem"), house.authority.revoke(&[&revoked])).expect("a file");
        house
    }

    pub(crate) fn path(&self, name: &str) -> &'static Path {
        // The tests are few and short.
        Box::leak(self.folder.path().join(name).into_boxed_path())
    }

    pub(crate) fn pair(&self, name: &str) -> CertificateFiles {
        let path = |ending| self.folder.path().join(name).with_extension(ending);
        CertificateFiles { certificate: path("pem"), key: path("key") }
    }

    pub(crate) fn server(&self, client_certificates: ClientCertificates) -> TlsOptions {
        TlsOptions {
            certificates: vec![self.pair("server")],
            client_certificates,
            client_ca_file: Some(self.path("ca.pem").to_owned()),
            crl_files: vec![self.path("crl.pem").to_owned()],
            ..TlsOptions::default()
        }
    }

    pub(crate) fn client(&self, certificate: Option<&str>) -> TlsClientOptions {
        TlsClientOptions {
            ca_file: Some(self.path("ca.pem").to_owned()),
            certificate: certificate.map(|name| self.pair(name)),
            ..TlsClientOptions::default()
        }
    }
}

pub(crate) async fn listen(url: &str, tls: TlsOptions) -> Listener {
    let options = ListenerOptions { tls, ..ListenerOptions::default() };
    Listener::bind(&Url::parse(url).expect("a URL"), options).await.expect("a free port and good files")
}

/// Clients with each kind of certificate and without one, where it is required and where it is optional.
pub(crate) async fn check_clients_are_judged(url: &str) {
    let house = House::new();
    let required = listen(url, house.server(ClientCertificates::Required)).await;
    let optional = listen(url, house.server(ClientCertificates::Optional)).await;
    for (name, cause) in [
        ("revoked", Cause::CertificateRevoked),
        ("expired", Cause::CertificateExpired),
        ("foreign", Cause::CertificateUnknown),
    ] {
        for listener in [&required, &optional] {
            let (arrival, answer) = attempt(listener, house.client(Some(name))).await;
            assert_eq!(arrival.expect_err(name).cause(), cause);
            answer.expect_err(name);
        }
    }
    let (arrival, _) = attempt(&required, house.client(None)).await;
    assert_eq!(arrival.expect_err("no certificate").cause(), Cause::CertificateMissing);
    let (arrival, _) = attempt(&optional, house.client(None)).await;
    assert_eq!(arrival.expect("it is optional").certificate, None);
    for listener in [&required, &optional] {
        let (arrival, answer) = attempt(listener, house.client(Some("good"))).await;
        assert_eq!(answer.expect("the server answers"), 2);
        let certificate = arrival.expect("a client").certificate.expect("it showed one");
        for (field, name) in [
            (CertificateField::CommonName, "sensor 7"),
            (CertificateField::AlternativeName, "seven.example"),
            (CertificateField::DistinguishedName, "O=Martlet tests,CN=sensor 7"),
        ] {
            assert_eq!(certificate.field(field), Some(name));
        }
    }
}

/// Both ends of one attempt. The client writes a byte and reads one, since in TLS 1.3 it is done before the server is.
pub(crate) async fn attempt(
    listener: &Listener,
    tls: TlsClientOptions,
) -> (Result<Arrival, HandshakeError>, std::io::Result<u8>) {
    let options = ConnectOptions { tls, ..ConnectOptions::default() };
    let connector = Connector::new(listener.url().clone(), &options).expect("good files");
    let accept = async {
        let mut arrival = listener.accept().await.expect("a client comes").handshake().await?;
        let byte = arrival.connection.read_u8().await?;
        arrival.connection.write_u8(byte + 1).await?;
        arrival.connection.flush().await?;
        Ok(arrival)
    };
    let dial = async {
        let mut connection: Connection = connector.connect().await?;
        connection.write_u8(1).await?;
        connection.flush().await?;
        connection.read_u8().await
    };
    tokio::join!(accept, dial)
}
