//! TLS on real sockets: who is let in, who is not and why, and what changed files change.

mod house;

use std::fs;

use house::{House, attempt, listen};
use mqtt_testkit::Authority;
use mqtt_transport::{Cause, ClientCertificates, Reloaded, Scheme, TlsClientOptions, TlsOptions, TlsVersion};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn bytes_travel_over_both_versions_and_inside_websocket() {
    let house = House::new();
    for url in ["mqtts://127.0.0.1:0", "wss://127.0.0.1:0/mqtt"] {
        let listener = listen(url, house.server(ClientCertificates::NotAsked)).await;
        for (version_min, version_max) in
            [(TlsVersion::V1_2, TlsVersion::V1_2), (TlsVersion::V1_3, TlsVersion::V1_3)]
        {
            let client = TlsClientOptions { version_min, version_max, ..house.client(None) };
            let (arrival, answer) = attempt(&listener, client).await;
            assert_eq!(answer.expect("the server answers"), 2, "{url}");
            assert_eq!(arrival.expect("a client").certificate, None);
        }
    }
}

#[tokio::test]
async fn a_client_is_judged_by_its_certificate() {
    for url in ["mqtts://127.0.0.1:0", "wss://127.0.0.1:0/mqtt"] {
        house::check_clients_are_judged(url).await;
    }
}

#[tokio::test]
async fn a_client_does_not_accept_just_any_server() {
    let house = House::new();
    let listener = listen("mqtts://127.0.0.1:0", house.server(ClientCertificates::NotAsked)).await;
    let named = |name: &str| TlsClientOptions { server_name: Some(name.to_owned()), ..house.client(None) };
    for (client, accepted) in [
        (named("a.test.example"), true),
        (named("a.b.test.example"), false),
        (named("elsewhere"), false),
        (TlsClientOptions { any_name: true, ..named("elsewhere") }, true),
        (
            TlsClientOptions {
                any_name: true,
                ca_file: Some(house.path("foreign.pem").into()),
                ..house.client(None)
            },
            false,
        ),
    ] {
        let (arrival, answer) = attempt(&listener, client.clone()).await;
        assert_eq!(answer.is_ok(), accepted, "{client:?}");
        assert!(
            accepted || matches!(arrival.expect_err("an alert").cause(), Cause::TlsAlert | Cause::Broken)
        );
    }
}

/// The common name of the certificate that a client of `name` is shown, told by whom it must trust.
#[tokio::test]
async fn the_name_asked_for_chooses_the_certificate() {
    let house = House::new();
    let other = Authority::new("other authority");
    other.issue("b", &["b.test.example"], 7).write(house.path(""), "b");
    fs::write(house.path("other.pem"), other.pem()).expect("a file");
    let mut options = house.server(ClientCertificates::NotAsked);
    options.certificates.push(house.pair("b"));
    let listener = listen("mqtts://127.0.0.1:0", options).await;
    // The wildcard of the first has the name, too, but it comes first.
    for (name, authority, accepted) in
        [("b.test.example", "ca.pem", true), ("localhost", "ca.pem", true), ("nobody", "other.pem", false)]
    {
        let client = TlsClientOptions {
            server_name: Some(name.to_owned()),
            ca_file: Some(house.path(authority).into()),
            ..TlsClientOptions::default()
        };
        let (_, answer) = attempt(&listener, client).await;
        assert_eq!(answer.is_ok(), accepted, "{name} {authority}");
    }
    let mut options = house.server(ClientCertificates::NotAsked);
    options.certificates.insert(0, house.pair("b"));
    let listener = listen("mqtts://127.0.0.1:0", options).await;
    for (name, authority) in [("B.test.example", "other.pem"), ("localhost", "ca.pem")] {
        let client = TlsClientOptions {
            server_name: Some(name.to_owned()),
            ca_file: Some(house.path(authority).into()),
            ..TlsClientOptions::default()
        };
        let (_, answer) = attempt(&listener, client).await;
        assert_eq!(answer.expect("the certificate for the name"), 2, "{name}");
    }
}

#[tokio::test]
async fn what_is_no_tls_or_of_another_version_is_refused_and_counted_apart() {
    let house = House::new();
    let options = TlsOptions { version_min: TlsVersion::V1_3, ..house.server(ClientCertificates::NotAsked) };
    let listener = listen("mqtts://127.0.0.1:0", options).await;
    let client = TlsClientOptions { version_max: TlsVersion::V1_2, ..house.client(None) };
    let (arrival, _) = attempt(&listener, client).await;
    assert_eq!(arrival.expect_err("another version").cause(), Cause::TlsIncompatible);
    for (bytes, cause) in
        [(&b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00"[..], Cause::NoTls), (b"", Cause::Broken)]
    {
        let mut stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
        stream.write_all(bytes).await.expect("sent");
        stream.shutdown().await.expect("sent");
        let arrival = listener.accept().await.expect("a client").handshake().await;
        assert_eq!(arrival.expect_err("no TLS").cause(), cause);
    }
}

#[tokio::test]
async fn changed_files_change_what_new_connections_get_and_a_wrong_file_changes_nothing() {
    let house = House::new();
    let listener = listen("mqtts://127.0.0.1:0", house.server(ClientCertificates::Required)).await;
    let tls = listener.tls().expect("an encrypted listener");
    assert_eq!(tls.reload_if_changed().expect("good files"), Reloaded::Unchanged);
    let (live, answer) = attempt(&listener, house.client(Some("good"))).await;
    answer.expect("admitted");

    // The same serial number.
    let good = house.authority.issue("again", &[], 2);
    fs::write(house.path("crl.pem"), house.authority.revoke(&[&good])).expect("a file");
    assert_eq!(tls.reload_if_changed().expect("good files"), Reloaded::Renewed);
    let (arrival, _) = attempt(&listener, house.client(Some("good"))).await;
    assert_eq!(arrival.expect_err("revoked").cause(), Cause::CertificateRevoked);
    assert_eq!(live.expect("it was admitted before").connection.write(b"x").await.expect("it goes on"), 1);

    fs::write(house.path("server.key"), "no key").expect("a file");
    let error = tls.reload_if_changed().expect_err("a wrong key").to_string();
    assert!(error.contains("server.key"), "{error}");
    assert_eq!(tls.reload_if_changed().expect("told once"), Reloaded::Unchanged);
    let (arrival, _) = attempt(&listener, house.client(Some("expired"))).await;
    assert_eq!(arrival.expect_err("the old files still hold").cause(), Cause::CertificateExpired);
}

#[tokio::test]
async fn wrong_files_and_options_are_told_by_name() {
    let house = House::new();
    fs::write(house.path("empty.pem"), "").expect("a file");
    let check = |change: &dyn Fn(&mut TlsOptions), part: &str| {
        let mut options = house.server(ClientCertificates::Required);
        change(&mut options);
        let error = mqtt_transport::TlsServer::load(options).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    };
    check(&|options| options.certificates.clear(), "needs a certificate");
    check(&|options| options.certificates[0].certificate = house.path("missing.pem").into(), "missing.pem");
    check(
        &|options| options.certificates[0].certificate = house.path("empty.pem").into(),
        "empty.pem: it holds no certificate",
    );
    check(&|options| options.certificates[0].key = house.path("good.key").into(), "this is not the key of");
    check(&|options| options.client_ca_file = None, "file of authorities");
    // Either would revoke nobody.
    check(
        &|options| options.crl_files.push(house.path("empty.pem").into()),
        "empty.pem: it holds no revocation list",
    );
    let broken = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    fs::write(house.path("broken.crl"), broken).expect("a file");
    check(&|options| options.crl_files = vec![house.path("broken.crl").into()], "broken.crl: ");
    check(&|options| options.cipher_suites = vec!["ROT13".to_owned()], "TLS13_AES_256_GCM_SHA384");
    check(
        &|options| (options.version_min, options.version_max) = (TlsVersion::V1_3, TlsVersion::V1_2),
        "no version",
    );
}

#[tokio::test]
async fn the_end_of_each_certificate_is_known() {
    let house = House::new();
    house.authority.issue_until("short", &["short.example"], 9, 2030).write(house.path(""), "short");
    let mut options = house.server(ClientCertificates::NotAsked);
    options.certificates.push(house.pair("short"));
    let listener = listen("wss://127.0.0.1:0/", options).await;
    assert_eq!(listener.url().scheme(), Scheme::Wss);
    let ends = |year: u64| std::time::UNIX_EPOCH + std::time::Duration::from_secs(year);
    let expiries = listener.tls().expect("encrypted").expiries();
    assert_eq!(expiries[1].at, Some(ends(1_893_456_000)));
    assert!(expiries[0].at > expiries[1].at && expiries[0].file.ends_with("server.pem"));
}
