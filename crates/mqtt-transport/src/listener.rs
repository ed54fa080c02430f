use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::sync::Semaphore;

use crate::arrival::{Arrival, HandshakeError};
use crate::connection::{Connection, Stream};
use crate::tls::{TlsOptions, TlsServer};
use crate::url::{Scheme, Url};
use crate::ws::{WsOptions, WsStream};

/// How a [`Listener`] treats its sockets. More fields may come: build it with `..ListenerOptions::default()`.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Connections the system keeps waiting before they are accepted (the system may cap it).
    pub backlog: u32,
    /// Send small packets at once instead of waiting for acknowledgements (`TCP_NODELAY`).
    pub nodelay: bool,
    /// For WebSocket listeners; its path is replaced by that of the address.
    pub ws: WsOptions,
    /// For encrypted listeners.
    pub tls: TlsOptions,
    /// TLS handshakes under way at a time; further ones wait, within the time that each connection has.
    pub handshakes_max: usize,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            backlog: 1024,
            nodelay: true,
            ws: WsOptions::default(),
            tls: TlsOptions::default(),
            handshakes_max: 512,
        }
    }
}

/// Accepts connections on one address.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    url: Url,
    upgrade: Arc<Upgrade>,
}

/// What turns an accepted socket into a connection.
#[derive(Debug)]
struct Upgrade {
    scheme: Scheme,
    nodelay: bool,
    tls: Option<Arc<TlsServer>>,
    handshakes: Semaphore,
    ws: WsOptions,
}

impl Listener {
    /// Listens on the first address the host resolves to that can be bound. `SO_REUSEADDR` is set, so a restart need not
    /// wait for old connections to time out.
    ///
    /// # Errors
    /// Those of the system, with the address in the text, and those of [`TlsServer::load`].
    pub async fn bind(url: &Url, options: ListenerOptions) -> io::Result<Self> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {url}: {error}"));
        let upgrade = Upgrade::new(url, &options).map_err(named)?;
        let socket = bind_first(url, options.backlog).await.map_err(named)?;
        let port = socket.local_addr().map_err(named)?.port();
        Ok(Self { socket, url: url.clone().with_port(port), upgrade: Arc::new(upgrade) })
    }

    /// The address really bound.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
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
            match self.socket.accept().await {
                Ok((stream, peer)) => return Ok(Incoming { stream, peer, upgrade: self.upgrade.clone() }),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Upgrade {
    fn new(url: &Url, options: &ListenerOptions) -> io::Result<Self> {
        let scheme = url.scheme();
        let tls = match scheme {
            Scheme::Tls | Scheme::Wss => Some(Arc::new(TlsServer::load(options.tls.clone())?)),
            _ => None,
        };
        let ws = WsOptions { path: url.path().to_owned(), ..options.ws.clone() };
        let handshakes = Semaphore::new(options.handshakes_max.min(Semaphore::MAX_PERMITS));
        Ok(Self { scheme, nodelay: options.nodelay, tls, handshakes, ws })
    }

    /// Returns whom a proxy speaks for as well.
    async fn open(
        &self,
        stream: impl Stream + 'static,
        peer: SocketAddr,
    ) -> Result<(Connection, Option<SocketAddr>), HandshakeError> {
        if self.scheme.is_websocket() {
            let (stream, forwarded) = WsStream::accept_from(stream, &self.ws, Some(peer.ip())).await?;
            return Ok((Connection::boxed(stream), forwarded));
        }
        Ok((Connection::boxed(stream), None))
    }
}

/// An accepted connection whose handshake has not begun.
pub struct Incoming {
    stream: TcpStream,
    peer: SocketAddr,
    upgrade: Arc<Upgrade>,
}

impl Incoming {
    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Does what the transport needs before MQTT bytes can flow. To be run in the connection's own task, so that a slow
    /// peer holds up nobody else, and under the caller's time limit.
    ///
    /// # Errors
    /// [`HandshakeError`]; a refused peer has had its answer.
    pub async fn handshake(self) -> Result<Arrival, HandshakeError> {
        let Self { stream, peer, upgrade } = self;
        stream.set_nodelay(upgrade.nodelay)?;
        let ((connection, forwarded), certificate) = match &upgrade.tls {
            None if upgrade.scheme == Scheme::Tcp => ((Connection::Tcp(stream), None), None),
            None => (Box::pin(upgrade.open(stream, peer)).await?, None),
            Some(tls) => {
                // Boxed: what a handshake needs is large, and gone once it is over.
                let (stream, certificate) = Box::pin(tls.accept(stream, &upgrade.handshakes)).await?;
                (Box::pin(upgrade.open(stream, peer)).await?, certificate)
            }
        };
        Ok(Arrival { connection, address: Some(forwarded.unwrap_or(peer)), certificate })
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("peer", &self.peer).finish_non_exhaustive()
    }
}

async fn bind_first(url: &Url, backlog: u32) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in lookup_host((url.host(), url.port())).await? {
        match bind(address, backlog) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn bind(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Elsewhere the option would let two processes share the port.
    if cfg!(unix) {
        socket.set_reuseaddr(true)?;
    }
    socket.bind(address)?;
    socket.listen(backlog)
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}
