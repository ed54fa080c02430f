//! From a stream to a connection inside WebSocket.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::{WsOptions, WsStream};
use crate::arrival::HandshakeError;
use crate::connection::{Connection, Stream};
use crate::url::Url;

/// Whether this build has WebSocket.
pub(crate) fn check() -> io::Result<()> {
    Ok(())
}

/// Returns whom a proxy speaks for as well.
pub(crate) async fn accept(
    stream: impl Stream + 'static,
    options: &WsOptions,
    peer: Option<IpAddr>,
) -> Result<(Connection, Option<SocketAddr>), HandshakeError> {
    let (stream, forwarded) = WsStream::accept_from(stream, options, peer).await?;
    Ok((Connection::boxed(stream), forwarded))
}

pub(crate) async fn connect(
    stream: impl Stream + 'static,
    url: &Url,
    options: &WsOptions,
) -> io::Result<Connection> {
    Ok(Connection::boxed(WsStream::connect(stream, url, options).await?))
}
