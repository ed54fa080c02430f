//! Sockets that somebody else has opened.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use socket2::SockRef;

use crate::socket::Listening;
use crate::url::{Scheme, Url};

/// A socket that listens already: opened by the system's service manager, or by an embedder. A listener works on a copy
/// of it, so it stays open as long as either does.
#[derive(Debug)]
pub enum OpenSocket {
    /// For every scheme on TCP.
    Tcp(TcpListener),
    /// For `unix://`. Its file is not ours, and stays.
    Unix(UnixListener),
}

impl OpenSocket {
    /// What to accept on, and where it really is.
    pub(crate) fn listen(&self, url: &Url) -> io::Result<(Listening, Url)> {
        match (self, url.scheme()) {
            (Self::Tcp(socket), Scheme::Tcp | Scheme::Tls | Scheme::Ws | Scheme::Wss) => {
                check(&SockRef::from(socket))?;
                let address = socket.local_addr()?;
                let socket = socket.try_clone()?;
                socket.set_nonblocking(true)?;
                let socket = tokio::net::TcpListener::from_std(socket)?;
                Ok((Listening::Tcp(socket), url.clone().at(address)))
            }
            (Self::Unix(socket), Scheme::Unix) => {
                check(&SockRef::from(socket))?;
                let socket = socket.try_clone()?;
                socket.set_nonblocking(true)?;
                let socket = tokio::net::UnixListener::from_std(socket)?;
                Ok((Listening::Unix { socket, _file: None }, url.clone()))
            }
            (Self::Tcp(_), _) => Err(unsuited("an open TCP socket is not for such an address")),
            (Self::Unix(_), _) => Err(unsuited("an open Unix socket is not for such an address")),
        }
    }
}

/// A service manager may also pass single connections.
fn check(socket: &SockRef<'_>) -> io::Result<()> {
    if socket.is_listener()? { Ok(()) } else { Err(unsuited("the open socket does not listen")) }
}

fn unsuited(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}
