use std::io;

use tokio::net::{TcpStream, UnixStream};

use crate::connection::{Connection, Stream};
use crate::quic::{QuicClient, QuicClientOptions};
use crate::tls::{TlsClient, TlsClientOptions};
use crate::url::{Scheme, Url};
use crate::ws::{self, WsOptions};

/// How a [`Connector`] connects. More fields may come: build it with `..ConnectOptions::default()`.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// For encrypted addresses.
    pub tls: TlsClientOptions,
    /// For WebSocket addresses; the path is that of the address.
    pub ws: WsOptions,
    /// For QUIC addresses.
    pub quic: QuicClientOptions,
}

/// Opens connections to one address. What its options name is read once.
///
/// ```no_run
/// use mqtt_transport::{ConnectOptions, Connector, Url};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// // Files are read once; each connection is opened with what they hold.
/// let connector = Connector::new(Url::parse("tcp://127.0.0.1:1883")?, &ConnectOptions::default())?;
/// let first = connector.connect().await?;
/// let second = connector.connect().await?;
/// # drop((first, second)); Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Connector {
    url: Url,
    ws: WsOptions,
    tls: Option<TlsClient>,
    quic: Option<QuicClient>,
}

impl Connector {
    /// Reads the files that an encrypted address needs.
    ///
    /// # Errors
    /// A file that is missing or wrong, with its path; [`io::ErrorKind::Unsupported`] if this build lacks the transport.
    pub fn new(url: Url, options: &ConnectOptions) -> io::Result<Self> {
        if url.scheme().is_websocket() {
            ws::check()?;
        }
        let tls = match url.scheme() {
            Scheme::Tls | Scheme::Wss => Some(TlsClient::load(&options.tls)?),
            Scheme::Tcp | Scheme::Ws | Scheme::Unix | Scheme::Quic => None,
        };
        let quic = (url.scheme() == Scheme::Quic).then(|| QuicClient::load(&options.tls, &options.quic));
        Ok(Self { url, ws: options.ws.clone(), tls, quic: quic.transpose()? })
    }

    /// Where it connects to.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Opens a connection; every address the host resolves to is tried. The caller bounds the time.
    ///
    /// # Errors
    /// Those of the system and of TLS, and [`io::ErrorKind::ConnectionRefused`] when a WebSocket peer does not agree to MQTT.
    pub async fn connect(&self) -> io::Result<Connection> {
        if let Some(quic) = &self.quic {
            return Box::pin(quic.connect(self.url.host(), self.url.port())).await;
        }
        if self.url.scheme() == Scheme::Unix {
            return Ok(Connection::boxed(UnixStream::connect(self.url.path()).await?));
        }
        let stream = TcpStream::connect((self.url.host(), self.url.port())).await?;
        stream.set_nodelay(true)?;
        self.upgrade(stream).await
    }

    /// Makes a connection of a TCP connection to the address: TLS and WebSocket, as it asks for.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn upgrade(&self, stream: TcpStream) -> io::Result<Connection> {
        match &self.tls {
            None if self.url.scheme() == Scheme::Tcp => Ok(Connection::Tcp(stream)),
            None => Box::pin(self.open(stream)).await,
            Some(tls) => {
                let stream = Box::pin(tls.connect(stream, self.url.host())).await?;
                Box::pin(self.open(stream)).await
            }
        }
    }

    async fn open(&self, stream: impl Stream + 'static) -> io::Result<Connection> {
        if self.url.scheme().is_websocket() {
            return ws::connect(stream, &self.url, &self.ws).await;
        }
        Ok(Connection::boxed(stream))
    }
}

/// Opens a connection to a broker with the default options: as [`Connector::connect`].
///
/// # Errors
/// Those of [`Connector::new`] and [`Connector::connect`].
pub async fn connect(url: &Url) -> io::Result<Connection> {
    Connector::new(url.clone(), &ConnectOptions::default())?.connect().await
}
