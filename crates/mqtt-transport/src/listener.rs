use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use crate::connection::Connection;
use crate::url::Url;
use crate::ws::{HandshakeError, WsOptions, WsStream};

/// How a [`Listener`] treats its sockets. More fields may come: build it with `..ListenerOptions::default()`.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Connections the system keeps waiting before they are accepted (the system may cap it).
    pub backlog: u32,
    /// Send small packets at once instead of waiting for acknowledgements (`TCP_NODELAY`).
    pub nodelay: bool,
    /// For `ws://` listeners; its path is replaced by that of the address.
    pub ws: WsOptions,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self { backlog: 1024, nodelay: true, ws: WsOptions::default() }
    }
}

/// Accepts connections on one address.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    url: Url,
    upgrade: Upgrade,
}

/// What turns an accepted socket into a connection.
#[derive(Debug, Clone)]
struct Upgrade {
    nodelay: bool,
    ws: Option<Arc<WsOptions>>,
}

impl Listener {
    /// Listens on the first address the host resolves to that can be bound. `SO_REUSEADDR` is set, so a restart need not
    /// wait for old connections to time out.
    ///
    /// # Errors
    /// Those of the system, with the address in the text.
    pub async fn bind(url: &Url, options: ListenerOptions) -> io::Result<Self> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {url}: {error}"));
        let socket = bind_first(url, options.backlog).await.map_err(named)?;
        let port = socket.local_addr().map_err(named)?.port();
        let ws = match url {
            Url::Tcp { .. } => None,
            Url::Ws { path, .. } => Some(Arc::new(WsOptions { path: path.clone(), ..options.ws })),
        };
        let upgrade = Upgrade { nodelay: options.nodelay, ws };
        Ok(Self { socket, url: url.clone().with_port(port), upgrade })
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

/// An accepted connection whose handshake has not begun.
pub struct Incoming {
    stream: TcpStream,
    peer: SocketAddr,
    upgrade: Upgrade,
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
    pub async fn handshake(self) -> Result<Connection, HandshakeError> {
        self.stream.set_nodelay(self.upgrade.nodelay)?;
        match self.upgrade.ws {
            None => Ok(Connection::Tcp(self.stream)),
            Some(options) => Ok(Connection::boxed(WsStream::accept(self.stream, &options).await?)),
        }
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
