//! Options of the tools for encrypted connections, with the words of mosquitto's tools.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mqtt_transport::{CertificateFiles, ConnectOptions, TlsClientOptions, TlsVersion};

/// How to check the broker, and what to show it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Encryption")]
pub(crate) struct TlsArguments {
    /// Authorities that may have signed the broker's certificate (PEM) [default: those of the system]
    #[arg(long, value_name = "FILE")]
    cafile: Option<PathBuf>,
    /// Certificate to show to the broker (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The key that belongs to it (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Accept a certificate for another name than that of the broker; for tests only
    #[arg(long)]
    insecure: bool,
    /// The only version of TLS to use
    #[arg(long, value_name = "VERSION", value_enum)]
    tls_version: Option<Version>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Version {
    #[value(name = "tlsv1.2")]
    V1_2,
    #[value(name = "tlsv1.3")]
    V1_3,
}

impl TlsArguments {
    /// Whether TLS is meant even if the address does not say so.
    pub(crate) fn ask_for_tls(&self) -> bool {
        self.cafile.is_some() || self.cert.is_some()
    }

    /// As the transport needs them.
    pub(crate) fn options(&self) -> ConnectOptions {
        let mut tls =
            TlsClientOptions { ca_file: self.cafile.clone(), any_name: self.insecure, ..Default::default() };
        if let (Some(certificate), Some(key)) = (self.cert.clone(), self.key.clone()) {
            tls.certificate = Some(CertificateFiles { certificate, key });
        }
        match self.tls_version {
            None => {}
            Some(Version::V1_2) => tls.version_max = TlsVersion::V1_2,
            Some(Version::V1_3) => tls.version_min = TlsVersion::V1_3,
        }
        ConnectOptions { tls, ..ConnectOptions::default() }
    }
}
