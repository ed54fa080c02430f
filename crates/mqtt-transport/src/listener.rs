use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::Semaphore;

use crate::arrival::{Arrival, Cause, HandshakeError};
use crate::connection::{Connection, Stream};
use crate::open::OpenSocket;
use crate::proxy::{self, ProxyHeader};
use crate::quic::{QuicIncoming, QuicListener, QuicOptions};
use crate::socket::{Listening, Socket, SocketOptions};
use crate::tls::{TlsOptions, TlsServer};
use crate::url::{Scheme, Url};
use crate::ws::{self, WsOptions};

/// How a [`Listener`] treats its sockets. More fields may come: build it with `..ListenerOptions::default()`.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// What the system is told about the socket.
    pub socket: SocketOptions,
    /// A socket that listens already, instead of one that is opened at the address. Then only its `nodelay` of
    /// [`socket`](Self::socket) counts, and the address says what is spoken on it.
    pub open: Option<Arc<OpenSocket>>,
    /// Proxies that speak the PROXY protocol, version 1 or 2. If there is one, every connection must come from one of them
    /// (or through a Unix socket) and begin with its header.
    pub proxy_from: Vec<IpNet>,
    /// For WebSocket listeners; its path is replaced by that of the address.
    pub ws: WsOptions,
    /// For encrypted listeners.
    pub tls: TlsOptions,
    /// For QUIC listeners, which are encrypted as well.
    pub quic: QuicOptions,
    /// TLS and QUIC handshakes under way at a time; further ones wait, within the time that each connection has.
    pub handshakes_max: usize,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            socket: SocketOptions::default(),
            open: None,
            proxy_from: Vec::new(),
            ws: WsOptions::default(),
            tls: TlsOptions::default(),
            quic: QuicOptions::default(),
            handshakes_max: 512,
        }
    }
}

/// Accepts connections on one address.
///
/// ```
/// use mqtt_transport::{Listener, ListenerOptions, Url};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = Listener::bind(&Url::parse("tcp://127.0.0.1:0")?, ListenerOptions::default()).await?;
/// let client = mqtt_transport::connect(listener.url()).await?;
/// let incoming = listener.accept().await?;
/// println!("{:?} knocks", incoming.peer());
/// let arrival = incoming.handshake().await?; // TLS and WebSocket, in the connection's own task
/// # drop((client, arrival)); Ok(()) }
/// ```
#[derive(Debug)]
pub struct Listener {
    source: Source,
    url: Url,
    upgrade: Arc<Upgrade>,
}

/// Where connections come from.
#[derive(Debug)]
enum Source {
    Socket(Listening),
    Quic(QuicListener),
}

/// What turns an accepted socket into a connection.
#[derive(Debug)]
struct Upgrade {
    scheme: Scheme,
    nodelay: bool,
    proxy_from: Vec<IpNet>,
    tls: Option<Arc<TlsServer>>,
    handshakes: Semaphore,
    handshakes_max: usize,
    ws: WsOptions,
}

impl Listener {
    /// Listens on the socket that is open already, or on the first address the host resolves to that can be bound. `SO_REUSEADDR` is set, so a restart need not
    /// wait for old connections to time out.
    ///
    /// # Errors
    /// Those of the system, with the address in the text, and those of [`TlsServer::load`].
    pub async fn bind(url: &Url, options: ListenerOptions) -> io::Result<Self> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {url}: {error}"));
        let upgrade = Upgrade::new(url, &options).map_err(named)?;
        if let Some(open) = &options.open {
            let (socket, url) = open.listen(url).map_err(named)?;
            return Ok(Self { source: Source::Socket(socket), url, upgrade: Arc::new(upgrade) });
        }
        let source = Source::bind(url, &options, upgrade.tls.as_ref()).await.map_err(named)?;
        let port = source.local_addr().map_err(named)?.map_or(0, |address| address.port());
        Ok(Self { source, url: url.clone().with_port(port), upgrade: Arc::new(upgrade) })
    }

    /// The address really bound.
    ///
    /// # Errors
    /// Those of the system, and [`io::ErrorKind::Unsupported`] for a Unix socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.local_addr()?.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// The address as it was given, with the real port.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The TLS side, if it has one: to read its files again and to see how long they are good.
    pub fn tls(&self) -> Option<&Arc<TlsServer>> {
        self.upgrade.tls.as_ref()
    }

    /// Waits for the next connection. Cancel safe. A connection that died while it waited is passed over.
    ///
    /// # Errors
    /// Those that concern the listener: out of file descriptors or memory, mostly. They persist until something is freed,
    /// so wait a little before accepting again.
    pub async fn accept(&self) -> io::Result<Incoming> {
        loop {
            match self.source.accept(&self.upgrade).await {
                Ok((start, peer)) => return Ok(Incoming { start, peer, upgrade: self.upgrade.clone() }),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Source {
    async fn bind(url: &Url, options: &ListenerOptions, tls: Option<&Arc<TlsServer>>) -> io::Result<Self> {
        match tls.filter(|_| url.scheme() == Scheme::Quic) {
            Some(tls) => {
                let listener = QuicListener::bind(url, &options.socket, &options.quic, tls.clone());
                listener.await.map(Self::Quic)
            }
            None => Listening::bind(url, &options.socket).await.map(Self::Socket),
        }
    }

    fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Socket(socket) => socket.local_addr(),
            Self::Quic(listener) => listener.local_addr().map(Some),
        }
    }

    async fn accept(&self, upgrade: &Upgrade) -> io::Result<(Start, Option<SocketAddr>)> {
        match self {
            Self::Socket(socket) => socket.accept().await.map(|(stream, peer)| (Start::Socket(stream), peer)),
            Self::Quic(listener) => {
                let incoming = listener.accept(&upgrade.handshakes, upgrade.handshakes_max).await?;
                let peer = incoming.peer();
                Ok((Start::Quic(Box::new(incoming)), Some(peer)))
            }
        }
    }
}

impl Upgrade {
    fn new(url: &Url, options: &ListenerOptions) -> io::Result<Self> {
        let scheme = url.scheme();
        if scheme.is_websocket() {
            ws::check()?;
        }
        let tls = match scheme {
            Scheme::Tls | Scheme::Wss => Some(Arc::new(TlsServer::load(options.tls.clone())?)),
            Scheme::Quic if !options.proxy_from.is_empty() => {
                let problem = "the PROXY protocol is for TCP and Unix sockets";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
            }
            Scheme::Quic => Some(Arc::new(QuicListener::tls(&options.tls)?)),
            _ => None,
        };
        let ws = WsOptions { path: url.path().to_owned(), ..options.ws.clone() };
        let handshakes_max = options.handshakes_max.min(Semaphore::MAX_PERMITS);
        let handshakes = Semaphore::new(handshakes_max);
        let (nodelay, proxy_from) = (options.socket.nodelay, options.proxy_from.clone());
        Ok(Self { scheme, nodelay, proxy_from, tls, handshakes, handshakes_max, ws })
    }

    /// Whether somebody there speaks for others.
    fn is_proxy(&self, address: IpAddr) -> bool {
        let proxies = match &self.proxy_from[..] {
            [] if self.scheme.is_websocket() => &self.ws.trusted_proxies[..],
            proxies => proxies,
        };
        proxies.iter().any(|net| net.contains(&address.to_canonical()))
    }

    /// The header that a proxy puts before everything else; without one, the proxy speaks for itself.
    async fn read_proxy_header(
        &self,
        stream: &mut Socket,
        peer: Option<SocketAddr>,
    ) -> Result<ProxyHeader, HandshakeError> {
        if !peer.is_none_or(|peer| self.is_proxy(peer.ip())) {
            let error = io::Error::new(io::ErrorKind::PermissionDenied, "only proxies may connect here");
            return Err(HandshakeError::Proxy(Cause::UntrustedProxy, error));
        }
        let header = proxy::read(stream).await.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => HandshakeError::Proxy(Cause::BadProxyHeader, error),
            _ => HandshakeError::Io(error),
        })?;
        Ok(ProxyHeader { address: header.address.or(peer), ..header })
    }

    /// Returns whom a proxy speaks for as well.
    async fn open(
        &self,
        stream: impl Stream + 'static,
        peer: Option<SocketAddr>,
    ) -> Result<(Connection, Option<SocketAddr>), HandshakeError> {
        if self.scheme.is_websocket() {
            return ws::accept(stream, &self.ws, peer.map(|peer| peer.ip())).await;
        }
        Ok((Connection::boxed(stream), None))
    }
}

/// An accepted connection whose handshake has not begun.
pub struct Incoming {
    start: Start,
    peer: Option<SocketAddr>,
    upgrade: Arc<Upgrade>,
}

/// What a connection begins with.
enum Start {
    Socket(Socket),
    Quic(Box<QuicIncoming>),
}

impl Incoming {
    /// The other end; `None` for a Unix socket, and where a proxy has yet to say who is behind it: in a PROXY header or in
    /// its WebSocket request.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer.filter(|peer| !self.upgrade.is_proxy(peer.ip()))
    }

    /// Does what the transport needs before MQTT bytes can flow. To be run in the connection's own task, so that a slow
    /// peer holds up nobody else, and under the caller's time limit.
    ///
    /// # Errors
    /// [`HandshakeError`]; a refused peer has had its answer.
    pub async fn handshake(self) -> Result<Arrival, HandshakeError> {
        let Self { start, peer, upgrade } = self;
        let mut stream = match start {
            Start::Socket(stream) => stream,
            Start::Quic(incoming) => return Box::pin(incoming.handshake(&upgrade.handshakes)).await,
        };
        stream.set_nodelay(upgrade.nodelay)?;
        let behind = if upgrade.proxy_from.is_empty() {
            ProxyHeader { address: peer, certificate: None }
        } else {
            Box::pin(upgrade.read_proxy_header(&mut stream, peer)).await?
        };
        let address = behind.address;
        let ((connection, forwarded), certificate) = match (&upgrade.tls, stream) {
            (None, Socket::Tcp(stream)) if upgrade.scheme == Scheme::Tcp => {
                ((Connection::Tcp(stream), None), None)
            }
            (None, stream) => (Box::pin(upgrade.open(stream, address)).await?, None),
            (Some(tls), stream) => {
                // Boxed: what a handshake needs is large, and gone once it is over.
                let (stream, certificate) = Box::pin(tls.accept_among(stream, &upgrade.handshakes)).await?;
                (Box::pin(upgrade.open(stream, address)).await?, certificate)
            }
        };
        let certificate = certificate.or(behind.certificate.map(Arc::new));
        Ok(Arrival { connection, address: forwarded.or(address), certificate })
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("peer", &self.peer).finish_non_exhaustive()
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}
