//! Listeners with TLS: names from certificates, and certificates that change under load.

use std::path::Path;

use mqtt_broker::{Broker, ListenerSettings};
use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce};
use mqtt_codec::ReasonCode;
use mqtt_testkit::{Authority, Peer, connect, publish};
use mqtt_transport::{
    Cause, CertificateField, CertificateFiles, ClientCertificates, ConnectOptions, Connection, Connector,
    TlsClientOptions,
};

use crate::harness::quiet;

fn pair(folder: &Path, name: &str) -> CertificateFiles {
    let path = |ending| folder.join(name).with_extension(ending);
    CertificateFiles { certificate: path("pem"), key: path("key") }
}

/// Every transport that shows certificates.
const URLS: &[&str] = &[
    "mqtts://127.0.0.1:0",
    #[cfg(feature = "quic")]
    "quic://127.0.0.1:0",
];

/// A folder with an authority, a server and a client `sensor 7`; and an encrypted listener's settings.
fn prepare(url: &str, folder: &Path) -> (Authority, ListenerSettings) {
    let authority = Authority::new("authority");
    std::fs::write(folder.join("ca.pem"), authority.pem()).expect("a file");
    authority.issue("server", &["127.0.0.1"], 1).write(folder, "server");
    authority.issue("sensor 7", &[], 2).write(folder, "client");
    let mut settings = ListenerSettings::new(url.parse().expect("an address"));
    let tls = &mut settings.transport.tls;
    tls.certificates = vec![pair(folder, "server")];
    tls.client_certificates = ClientCertificates::Optional;
    tls.client_ca_file = Some(folder.join("ca.pem"));
    settings.rules.username_from = Some(CertificateField::CommonName);
    (authority, settings)
}

async fn start(settings: ListenerSettings) -> Broker {
    let builder = Broker::builder().settings(quiet(|_| ())).listen(settings);
    builder.start().await.expect("a free port and good files")
}

async fn dial(broker: &Broker, folder: &Path, with_certificate: bool) -> Peer<Connection> {
    let tls = TlsClientOptions {
        ca_file: Some(folder.join("ca.pem")),
        certificate: with_certificate.then(|| pair(folder, "client")),
        ..TlsClientOptions::default()
    };
    let options = ConnectOptions { tls, ..ConnectOptions::default() };
    let connector = Connector::new(broker.addresses()[0].clone(), &options).expect("good files");
    Peer::new("tls", connector.connect().await.expect("it listens"))
}

#[tokio::test]
async fn only_a_certificate_opens_a_listener_that_admits_nobody_else() {
    for url in URLS {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, settings) = prepare(url, folder.path());
        let broker = start(settings).await;
        let mut known = dial(&broker, folder.path(), true).await;
        known.connect(connect("c")).await;
        let mut unknown = dial(&broker, folder.path(), false).await;
        unknown.send(connect("d")).await;
        assert_eq!(unknown.expect_connack().await.reason, ReasonCode::NotAuthorized);
        known.leave().await;
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn a_refused_certificate_is_counted_by_its_cause_and_others_go_on() {
    for url in URLS {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, settings) = prepare(url, folder.path());
        let broker = start(settings).await;
        let mut known = dial(&broker, folder.path(), true).await;
        known.connect(connect("c")).await;
        Authority::new("somebody else").issue("stranger", &[], 3).write(folder.path(), "client");
        let mut stranger = dial(&broker, folder.path(), true).await;
        stranger.send_carelessly(connect("stranger")).await;
        while broker.metrics().connects_failed == 0 {
            tokio::task::yield_now().await;
        }
        known.ping().await;
        let metrics = broker.metrics();
        assert_eq!(metrics.refused_for(broker.addresses()[0].scheme(), Cause::CertificateUnknown), 1);
        assert_eq!(metrics.refused.iter().flatten().sum::<u64>(), 1);
        known.leave().await;
        broker.shutdown().await;
    }
}

/// Certificates change again and again while messages flow: nothing is lost, out of order or twice, nobody is cut off,
/// and each newcomer gets the certificate of the day.
#[tokio::test]
async fn certificates_change_under_load_without_one_lost_message() {
    const MESSAGES: usize = 400;
    for url in URLS {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, settings) = prepare(url, folder.path());
        let broker = start(settings).await;
        let mut subscriber = dial(&broker, folder.path(), true).await;
        subscriber.connect(connect("subscriber")).await;
        subscriber.subscribe("t", AtLeastOnce).await;
        let mut publisher = dial(&broker, folder.path(), true).await;
        publisher.connect(connect("publisher")).await;
        for number in 0..MESSAGES {
            if number % 20 == 0 {
                // Another authority each time, so that only what is there now is accepted.
                let authority = Authority::new(&format!("authority {number}"));
                std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("a file");
                authority.issue("server", &["127.0.0.1"], 1).write(folder.path(), "server");
                authority.issue("sensor 8", &[], 2).write(folder.path(), "client");
                broker.reload_certificates().await.expect("good files");
                let mut newcomer = dial(&broker, folder.path(), true).await;
                newcomer.connect(connect("newcomer")).await;
                newcomer.subscribe("other", AtMostOnce).await;
                newcomer.leave().await;
            }
            publisher.publish(publish("t").payload(format!("{number}")).qos1(1)).await;
            subscriber.receive_text(&number.to_string()).await;
        }
        let metrics = broker.metrics();
        assert_eq!((metrics.dropped_total(), metrics.connects_failed), (0, 0));
        publisher.leave().await;
        subscriber.leave().await;
        broker.shutdown().await;
    }
}

#[tokio::test]
async fn a_wrong_file_is_told_and_the_broker_goes_on_with_the_old_one() {
    for url in URLS {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, settings) = prepare(url, folder.path());
        let broker = start(settings).await;
        std::fs::write(folder.path().join("server.pem"), "rubbish").expect("a file");
        let errors = broker.reload_certificates().await.expect_err("a wrong file");
        assert!(errors.len() == 1 && errors[0].to_string().contains("server.pem"), "{errors:?}");
        let mut client = dial(&broker, folder.path(), true).await;
        client.connect(connect("c")).await;
        client.leave().await;
        assert!(broker.certificates()[0].at.is_some());
        broker.shutdown().await;
    }
}
