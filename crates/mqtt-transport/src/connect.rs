use std::io;

use tokio::net::TcpStream;

use crate::connection::Connection;
use crate::url::Url;
use crate::ws::{WsOptions, WsStream};

/// Opens a connection to a broker; every address the host resolves to is tried. The caller bounds the time.
///
/// # Errors
/// Those of the system, and [`io::ErrorKind::ConnectionRefused`] when a WebSocket peer does not agree to MQTT.
pub async fn connect(url: &Url) -> io::Result<Connection> {
    let stream = TcpStream::connect((url.host(), url.port())).await?;
    stream.set_nodelay(true)?;
    match url {
        Url::Tcp { .. } => Ok(Connection::Tcp(stream)),
        Url::Ws { .. } => Ok(Connection::boxed(WsStream::connect(stream, url, &WsOptions::default()).await?)),
    }
}
