//! A broker that only speaks TLS and takes the names of its clients from their certificates, and a client that has one.
//!
//! `cargo run -p embedding-examples --example tls`

use std::fs;
use std::path::Path;

use mqtt_broker::transport::{
    CertificateField, CertificateFiles, ClientCertificates, ConnectOptions, Connector, TlsClientOptions,
};
use mqtt_broker::{Broker, ListenerSettings};
use mqtt_client::{Client, Options, Publication, QoS, ReasonCode};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

type Failure = Box<dyn std::error::Error>;

/// An authority of our own: what `openssl` does elsewhere.
struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    fn new(folder: &Path) -> Result<Self, Failure> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "The house's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        fs::write(folder.join("authority.pem"), params.self_signed(&key)?.pem())?;
        Ok(Self(Issuer::new(params, key)))
    }

    /// Writes a certificate and its key.
    fn issue(&self, folder: &Path, common_name: &str, names: &[&str]) -> Result<CertificateFiles, Failure> {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        let own = KeyPair::generate()?;
        let files = CertificateFiles {
            certificate: folder.join(common_name).with_extension("pem"),
            key: folder.join(common_name).with_extension("key"),
        };
        fs::write(&files.certificate, params.signed_by(&own, &self.0)?.pem())?;
        fs::write(&files.key, own.serialize_pem())?;
        Ok(files)
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    run().await
}

pub(crate) async fn run() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path())?;
    let trusted = folder.path().join("authority.pem");

    let mut listener = ListenerSettings::new("mqtts://127.0.0.1:0".parse()?);
    listener.transport.tls.certificates = vec![authority.issue(folder.path(), "broker", &["127.0.0.1"])?];
    listener.transport.tls.client_certificates = ClientCertificates::Required;
    listener.transport.tls.client_ca_file = Some(trusted.clone());
    listener.rules.username_from = Some(CertificateField::CommonName);
    let broker = Broker::builder().listen(listener).start().await?;

    let tls = TlsClientOptions {
        ca_file: Some(trusted),
        certificate: Some(authority.issue(folder.path(), "sensor-7", &[])?),
        ..TlsClientOptions::default()
    };
    let options = ConnectOptions { tls, ..ConnectOptions::default() };
    let connector = Connector::new(broker.addresses()[0].clone(), &options)?;
    let (client, _) = Client::connect(Options::with_connector(connector).client_id("cellar")).await?;

    let details = broker.client("cellar").details().await?;
    assert_eq!(details.username.as_deref(), Some("sensor-7"), "the name in the certificate");
    client.publish(Publication::new("cellar/temperature", "11.5").qos(QoS::AtLeastOnce)).await?;
    client.disconnect(ReasonCode::Success).await?;
    broker.shutdown().await;
    Ok(())
}
