//! TLS 1.2 and 1.3 with rustls and aws-lc-rs, which is passed explicitly everywhere and never installed for the process.

mod options;

#[cfg(feature = "tls")]
mod client;
#[cfg(feature = "tls")]
mod engine;
#[cfg(feature = "tls")]
mod expiry;
#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod names;
#[cfg(feature = "tls")]
mod pick;
#[cfg(feature = "tls")]
mod server;
#[cfg(feature = "tls")]
mod stream;

#[cfg(not(feature = "tls"))]
mod absent;

#[cfg(not(feature = "tls"))]
pub(crate) use absent::TlsClient;
#[cfg(not(feature = "tls"))]
pub use absent::{PreparedTls, TlsServer};
#[cfg(feature = "tls")]
pub(crate) use client::TlsClient;
pub use options::{
    CertificateExpiry, CertificateFiles, ClientCertificates, Reloaded, TlsClientOptions, TlsOptions,
    TlsVersion,
};
#[cfg(feature = "quic")]
pub(crate) use server::certificate_of;
#[cfg(feature = "tls")]
pub use server::{PreparedTls, TlsServer};
