use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectError, Connecting, Endpoint};
use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::options::QuicClientOptions;
use super::stream::QuicStream;
use super::{PROTOCOL, bounds, failure};
use crate::connection::Connection;
use crate::tls::{TlsClient, TlsClientOptions, TlsVersion};

/// The QUIC side of a client. All connections share one UDP port for each family of addresses.
#[derive(Debug, Clone)]
pub(crate) struct QuicClient {
    config: ClientConfig,
    tls: TlsClient,
    endpoints: Arc<Endpoints>,
}

#[derive(Debug, Default)]
struct Endpoints {
    v4: Mutex<Option<Endpoint>>,
    v6: Mutex<Option<Endpoint>>,
}

/// An address that does not answer within this time has the next one tried beside it (RFC 8305 section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

impl QuicClient {
    /// Reads all files.
    pub(crate) fn load(tls: &TlsClientOptions, options: &QuicClientOptions) -> io::Result<Self> {
        if tls.version_max < TlsVersion::V1_3 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "QUIC needs TLS 1.3"));
        }
        let tls = TlsClientOptions { version_min: TlsVersion::V1_3, ..tls.clone() };
        let tls = TlsClient::load_for(&tls, &[PROTOCOL])?;
        let crypto = QuicClientConfig::with_initial(tls.config(), bounds::initial_suite());
        let mut config = ClientConfig::new(Arc::new(crypto.map_err(io::Error::other)?));
        let transport = bounds::transport(options.window_bytes, options.idle_timeout, options.keep_alive)?;
        config.transport_config(Arc::new(transport));
        Ok(Self { config, tls, endpoints: Arc::default() })
    }

    /// Tries all addresses of the host, one soon after the other, and takes the first that answers.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<Connection> {
        let mut addresses = lookup_host((host, port)).await?;
        let name: Arc<str> = self.tls.server_name(host).into();
        let mut attempts = JoinSet::new();
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        loop {
            let next = addresses.next();
            let delay = if next.is_some() { ATTEMPT_DELAY } else { Duration::MAX };
            if let Some(address) = next {
                attempts.spawn(self.clone().attempt(address, name.clone()));
            }
            match timeout(delay, attempts.join_next()).await {
                Ok(Some(Ok(Ok(connection)))) => return Ok(connection),
                Ok(Some(Ok(Err(error)))) => failure = error,
                Ok(Some(Err(error))) => failure = error.into(),
                Ok(None) => return Err(failure),
                Err(_) => {}
            }
        }
    }

    async fn attempt(self, address: SocketAddr, name: Arc<str>) -> io::Result<Connection> {
        let connecting = self.start(address, &name)?;
        let connection = connecting.await.map_err(io::Error::from)?;
        let opened = connection.open_bi().await;
        let (send, receive) = opened.map_err(|error| {
            failure::of_stream(error).unwrap_or_else(|| io::ErrorKind::ConnectionRefused.into())
        })?;
        Ok(Connection::boxed(QuicStream::new(connection, send, receive)))
    }

    fn start(&self, address: SocketAddr, name: &str) -> io::Result<Connecting> {
        let (place, from) = match address {
            SocketAddr::V4(_) => (&self.endpoints.v4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            SocketAddr::V6(_) => (&self.endpoints.v6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        };
        let mut endpoint = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = &*endpoint {
            match endpoint.connect_with(self.config.clone(), address, name) {
                // The runtime that it belongs to has gone.
                Err(ConnectError::EndpointStopping) => {}
                started => return started.map_err(io::Error::other),
            }
        }
        let fresh = endpoint.insert(Endpoint::client(from)?);
        fresh.connect_with(self.config.clone(), address, name).map_err(io::Error::other)
    }
}
