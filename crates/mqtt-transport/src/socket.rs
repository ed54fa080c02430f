//! The sockets below every transport: TCP and Unix.

use std::fs;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream, lookup_host};

use crate::url::{Scheme, Url};

/// What the system is told about a listener's socket. More fields may come: build it with `..SocketOptions::default()`.
#[derive(Debug, Clone)]
pub struct SocketOptions {
    /// Connections the system keeps waiting before they are accepted (the system may cap it).
    pub backlog: u32,
    /// Send small packets at once instead of waiting for acknowledgements (`TCP_NODELAY`).
    pub nodelay: bool,
    /// Whether other processes that say so, too, may listen on the same port (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Whether an IPv6 socket leaves IPv4 clients to others (`IPV6_V6ONLY`). `None`: as the system does it.
    pub ipv6_only: Option<bool>,
    /// The network device whose clients are accepted, such as `eth0` (Linux; may need a privilege).
    pub device: Option<String>,
    /// Permission bits of a Unix socket's file, such as `0o660`. `None`: as the system does it.
    pub unix_mode: Option<u32>,
    /// Number of the user that a Unix socket's file belongs to. `None`: whoever runs this. Needs a privilege.
    pub unix_user: Option<u32>,
    /// Number of the group that a Unix socket's file belongs to. `None`: as the system does it. One that the user who
    /// runs this is not in needs a privilege.
    pub unix_group: Option<u32>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            backlog: 1024,
            nodelay: true,
            reuse_port: false,
            ipv6_only: None,
            device: None,
            unix_mode: None,
            unix_user: None,
            unix_group: None,
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Listening {
    Tcp(TcpListener),
    /// With the file, which goes when the listener does, unless it is somebody else's.
    Unix {
        socket: UnixListener,
        _file: Option<SocketFile>,
    },
}

/// The file of a Unix socket; removed when dropped.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever removed it before has done it for us.
        let _ = fs::remove_file(&self.0);
    }
}

/// A socket that was accepted.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listening {
    /// Listens on the first address the host resolves to that can be bound, or on a file.
    pub(crate) async fn bind(url: &Url, options: &SocketOptions) -> io::Result<Self> {
        if url.scheme() == Scheme::Unix {
            return bind_unix(Path::new(url.path()), options);
        }
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in lookup_host((url.host(), url.port())).await? {
            match bind_tcp(address, options) {
                Ok(socket) => return Ok(Self::Tcp(socket)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    pub(crate) fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(Some),
            Self::Unix { .. } => Ok(None),
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(socket) => {
                socket.accept().await.map(|(stream, peer)| (Socket::Tcp(stream), Some(peer)))
            }
            Self::Unix { socket, .. } => {
                socket.accept().await.map(|(stream, _)| (Socket::Unix(stream), None))
            }
        }
    }
}

fn bind_tcp(address: SocketAddr, options: &SocketOptions) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Elsewhere the option would let two processes share the port.
    if cfg!(unix) {
        socket.set_reuse_address(true)?;
    }
    bind_internet(&socket, address, options)?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// A UDP socket at the first address the host resolves to that can be bound.
#[cfg(feature = "quic")]
pub(crate) async fn bind_udp(url: &Url, options: &SocketOptions) -> io::Result<std::net::UdpSocket> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in lookup_host((url.host(), url.port())).await? {
        let bound = RawSocket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))
            .and_then(|socket| bind_internet(&socket, address, options).map(|()| socket));
        match bound {
            Ok(socket) => {
                // All clients share it. The system may give less, which costs repetitions only.
                let _ = socket.set_recv_buffer_size(UDP_BUFFER_BYTES);
                let _ = socket.set_send_buffer_size(UDP_BUFFER_BYTES);
                return Ok(socket.into());
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(feature = "quic")]
const UDP_BUFFER_BYTES: usize = 4 * 1024 * 1024;

fn bind_internet(socket: &RawSocket, address: SocketAddr, options: &SocketOptions) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if let Some(only) = options.ipv6_only.filter(|_| address.is_ipv6()) {
        socket.set_only_v6(only)?;
    }
    if let Some(device) = &options.device {
        bind_device(socket, device)?;
    }
    socket.bind(&SockAddr::from(address))
}

#[cfg(target_os = "linux")]
fn bind_device(socket: &RawSocket, device: &str) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("device {device}: {error}"));
    socket.bind_device(Some(device.as_bytes())).map_err(named)
}

#[cfg(not(target_os = "linux"))]
fn bind_device(_: &RawSocket, _: &str) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "a device can be chosen on Linux only"))
}

fn bind_unix(path: &Path, options: &SocketOptions) -> io::Result<Listening> {
    remove_stale(path)?;
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile(path.to_owned());
    // Nobody can connect before it listens, so owner and mode hold from the first client on.
    give(path, options.unix_user, options.unix_group)?;
    if let Some(mode) = options.unix_mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(Listening::Unix { socket: UnixListener::from_std(socket.into())?, _file: Some(file) })
}

/// Before the mode is set, since the system may take bits away with the owner.
fn give(path: &Path, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    if user.is_none() && group.is_none() {
        return Ok(());
    }
    let named = |error: io::Error| {
        let of = |what, id: Option<u32>| id.map_or_else(String::new, |id| format!(" {what} {id}"));
        let (user, group) = (of("user", user), of("group", group));
        io::Error::new(error.kind(), format!("the file cannot be given to{user}{group}: {error}"))
    };
    chown(path, user, group).map_err(named)
}

/// Removes the socket of a process that has gone; whatever else is there is left alone.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

impl Socket {
    pub(crate) fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nodelay(nodelay),
            Self::Unix(_) => Ok(()),
        }
    }
}

/// Calls one method of the pinned stream inside.
macro_rules! forward {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Socket::Unix(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        forward!(self.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        forward!(self.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self.poll_shutdown(cx))
    }
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
