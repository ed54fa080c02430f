use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;

use super::options::{AddressValidation, QuicOptions};
use super::stream::QuicStream;
use super::{PROTOCOL, bounds, failure};
use crate::arrival::{Arrival, HandshakeError};
use crate::connection::Connection;
use crate::socket::{self, SocketOptions};
use crate::tls::{TlsOptions, TlsServer, TlsVersion, certificate_of};
use crate::url::Url;

/// Accepts QUIC connections on one UDP port.
pub(crate) struct QuicListener {
    endpoint: Endpoint,
    tls: Arc<TlsServer>,
    validation: AddressValidation,
    config: Mutex<Config>,
}

/// What new connections get, made from what the TLS side holds.
struct Config {
    of: Arc<rustls::ServerConfig>,
    quic: Arc<ServerConfig>,
}

/// A client's first packets may be larger than one, and no more is kept before its turn comes.
const INCOMING_BYTES_MAX: u64 = 16 * 1024;
/// The same for all clients together.
const INCOMING_BYTES_TOTAL_MAX: u64 = 16 * 1024 * 1024;
/// Clients that wait to be accepted; all of them are, at once, unless the program has no time.
const INCOMING_MAX: usize = 4096;

impl QuicListener {
    /// The TLS side: QUIC is always TLS 1.3, and agrees on the protocol.
    pub(crate) fn tls(options: &TlsOptions) -> io::Result<TlsServer> {
        if options.version_max < TlsVersion::V1_3 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "QUIC needs TLS 1.3"));
        }
        let options = TlsOptions { version_min: TlsVersion::V1_3, ..options.clone() };
        TlsServer::load_for(options, &[PROTOCOL])
    }

    /// Listens on the first address the host resolves to that can be bound.
    pub(crate) async fn bind(
        url: &Url,
        socket: &SocketOptions,
        options: &QuicOptions,
        tls: Arc<TlsServer>,
    ) -> io::Result<Self> {
        let socket = socket::bind_udp(url, socket).await?;
        let config = Config::new(tls.config(), transport(options)?)?;
        let server = Some(ServerConfig::clone(&config.quic));
        let endpoint = Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(TokioRuntime))?;
        let validation = options.address_validation;
        Ok(Self { endpoint, tls, validation, config: Mutex::new(config) })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The next client whose address need not be validated, or has been.
    pub(crate) async fn accept(
        &self,
        handshakes: &Semaphore,
        handshakes_max: usize,
    ) -> io::Result<QuicIncoming> {
        loop {
            let incoming = self.endpoint.accept().await.ok_or(io::ErrorKind::NotConnected)?;
            let busy = handshakes.available_permits() <= handshakes_max / 2;
            let validate = busy || self.validation == AddressValidation::Always;
            if incoming.remote_address_validated() || !validate {
                return Ok(QuicIncoming { incoming, config: self.config()? });
            }
            // Only a validated address cannot be asked again.
            let _ = incoming.retry();
        }
    }

    fn config(&self) -> io::Result<Arc<ServerConfig>> {
        let current = self.tls.config();
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&config.of, &current) {
            *config = config.renewed(current)?;
        }
        Ok(config.quic.clone())
    }
}

impl Drop for QuicListener {
    fn drop(&mut self) {
        // The socket stays as long as there are connections, but nobody takes new ones any more.
        self.endpoint.set_server_config(None);
    }
}

impl fmt::Debug for QuicListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicListener").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Config {
    fn new(of: Arc<rustls::ServerConfig>, transport: TransportConfig) -> io::Result<Self> {
        let mut quic = ServerConfig::with_crypto(crypto(of.clone())?);
        quic.transport_config(Arc::new(transport));
        quic.incoming_buffer_size(INCOMING_BYTES_MAX);
        quic.incoming_buffer_size_total(INCOMING_BYTES_TOTAL_MAX);
        quic.max_incoming(INCOMING_MAX);
        Ok(Self { of, quic: Arc::new(quic) })
    }

    /// The same with other certificates; what was said about addresses still holds.
    fn renewed(&self, of: Arc<rustls::ServerConfig>) -> io::Result<Self> {
        let mut quic = ServerConfig::clone(&self.quic);
        quic.crypto = crypto(of.clone())?;
        Ok(Self { of, quic: Arc::new(quic) })
    }
}

fn crypto(config: Arc<rustls::ServerConfig>) -> io::Result<Arc<QuicServerConfig>> {
    QuicServerConfig::with_initial(config, bounds::initial_suite()).map(Arc::new).map_err(io::Error::other)
}

fn transport(options: &QuicOptions) -> io::Result<TransportConfig> {
    let mut config = bounds::transport(options.window_bytes, options.idle_timeout, options.keep_alive)?;
    config.max_concurrent_bidi_streams(VarInt::from_u32(1));
    Ok(config)
}

/// A client whose handshake has not begun.
#[derive(Debug)]
pub(crate) struct QuicIncoming {
    incoming: quinn::Incoming,
    config: Arc<ServerConfig>,
}

impl QuicIncoming {
    pub(crate) fn peer(&self) -> SocketAddr {
        self.incoming.remote_address()
    }

    /// Up to the client's stream. `handshakes` bounds how many are under way at a time.
    pub(crate) async fn handshake(self, handshakes: &Semaphore) -> Result<Arrival, HandshakeError> {
        let connection = {
            let _permit = handshakes.acquire().await.map_err(io::Error::other)?;
            let connecting = self.incoming.accept_with(self.config).map_err(failure::of_handshake)?;
            connecting.await.map_err(failure::of_handshake)?
        };
        let (send, receive) = connection.accept_bi().await.map_err(failure::of_handshake)?;
        let chain = connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'_>>>().ok());
        Ok(Arrival {
            address: Some(connection.remote_address()),
            certificate: chain.and_then(|chain| certificate_of(&chain)),
            connection: Connection::boxed(QuicStream::new(connection, send, receive)),
        })
    }
}
