//! What stands for QUIC in a build without it: the attempt to use it says so.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{QuicClientOptions, QuicOptions};
use crate::arrival::{Arrival, HandshakeError};
use crate::connection::Connection;
use crate::socket::SocketOptions;
use crate::tls::{TlsClientOptions, TlsOptions, TlsServer};
use crate::url::Url;

#[derive(Debug)]
pub(crate) struct QuicListener(Infallible);

#[derive(Debug)]
pub(crate) struct QuicIncoming(Infallible);

#[derive(Debug, Clone)]
pub(crate) struct QuicClient(Infallible);

impl QuicListener {
    pub(crate) fn tls(_: &TlsOptions) -> io::Result<TlsServer> {
        Err(absent())
    }

    pub(crate) async fn bind(
        _: &Url,
        _: &SocketOptions,
        _: &QuicOptions,
        _: Arc<TlsServer>,
    ) -> io::Result<Self> {
        Err(absent())
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.0 {}
    }

    pub(crate) async fn accept(&self, _: &Semaphore, _: usize) -> io::Result<QuicIncoming> {
        match self.0 {}
    }
}

impl QuicIncoming {
    pub(crate) fn peer(&self) -> SocketAddr {
        match self.0 {}
    }

    pub(crate) async fn handshake(self, _: &Semaphore) -> Result<Arrival, HandshakeError> {
        match self.0 {}
    }
}

impl QuicClient {
    pub(crate) fn load(_: &TlsClientOptions, _: &QuicClientOptions) -> io::Result<Self> {
        Err(absent())
    }

    pub(crate) async fn connect(&self, _: &str, _: u16) -> io::Result<Connection> {
        match self.0 {}
    }
}

fn absent() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this build has no QUIC")
}
