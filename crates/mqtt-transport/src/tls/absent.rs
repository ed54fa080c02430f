//! What stands for TLS in a build without it: the attempt to use it says so.

use std::convert::Infallible;
use std::io;

use super::{CertificateExpiry, Reloaded, TlsClientOptions, TlsOptions};
use crate::arrival::HandshakeError;
use crate::certificate::Certificate;
use crate::connection::Stream;
use std::sync::Arc;

/// The TLS side of a listener; none can exist without the feature `tls`.
#[derive(Debug)]
pub struct TlsServer(Infallible);

/// What a TLS side is about to take over; none can exist without the feature `tls`.
#[derive(Debug)]
pub struct PreparedTls(Infallible);

impl TlsServer {
    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub fn load(_: TlsOptions) -> io::Result<Self> {
        Err(absent())
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn reload(&self) -> io::Result<Reloaded> {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn prepare(&self) -> io::Result<PreparedTls> {
        match self.0 {}
    }

    /// Never called.
    pub fn take_over(&self, _: PreparedTls) {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn reload_if_changed(&self) -> io::Result<Reloaded> {
        match self.0 {}
    }

    /// Never called.
    pub fn expiries(&self) -> Vec<CertificateExpiry> {
        match self.0 {}
    }

    pub(crate) async fn accept_among<S: Stream>(
        &self,
        _: S,
        _: &tokio::sync::Semaphore,
    ) -> Result<(S, Option<Arc<Certificate>>), HandshakeError> {
        match self.0 {}
    }
}

/// The TLS side of a client; none can exist without the feature `tls`.
#[derive(Debug, Clone)]
pub(crate) struct TlsClient(Infallible);

impl TlsClient {
    pub(crate) fn load(_: &TlsClientOptions) -> io::Result<Self> {
        Err(absent())
    }

    pub(crate) async fn connect<S: Stream>(&self, _: S, _: &str) -> io::Result<S> {
        match self.0 {}
    }
}

fn absent() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this build has no TLS")
}
