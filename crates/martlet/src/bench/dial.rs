//! Opening connections, also more of them than one address has ports for.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::OnceLock;
use std::time::Duration;

use mqtt_codec::Version;
use mqtt_transport::{ConnectOptions, Connection, Connector, Url};
use tokio::net::{TcpSocket, TcpStream};

use super::link::{Broken, Link};
use super::packets;

/// A connection that is not admitted after this time counts as refused.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections from one loopback address; Linux has some 28,000 ports for outgoing connections by default.
const CONNECTIONS_PER_SOURCE: usize = 20_000;
/// Loopback addresses to connect from, one after the other.
const SOURCES: usize = 200;

/// How to reach the broker, and how to log in.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) connect: ConnectOptions,
    pub(super) version: Version,
    pub(super) keep_alive_s: u16,
    /// Seconds for which sessions outlive their connections.
    pub(super) session_expiry_s: u32,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

/// Opens connections to one broker, whose name is resolved once.
#[derive(Debug)]
pub(super) struct Dialer {
    target: Target,
    connector: Connector,
    /// Known from the first connection on.
    address: OnceLock<SocketAddr>,
    /// In front of client identifiers and topics, so that two runs do not meet.
    pub(super) prefix: String,
}

impl Dialer {
    /// Nothing is opened yet.
    ///
    /// # Errors
    /// A file for TLS that cannot be used.
    pub(super) fn new(target: Target, prefix: String) -> Result<Self, Broken> {
        let connector =
            Connector::new(target.url.clone(), &target.connect).map_err(|error| error.to_string())?;
        Ok(Self { target, connector, address: OnceLock::new(), prefix })
    }

    /// Connects and logs in under the given name; `nth` counts the connections of the run.
    ///
    /// # Errors
    /// The connection cannot be opened, or the broker refuses.
    pub(super) async fn admit(&self, nth: usize, name: &str) -> Result<Link, Broken> {
        match tokio::time::timeout(ADMISSION_TIMEOUT, self.admit_patiently(nth, name)).await {
            Ok(result) => result.map_err(|broken| format!("client {name}: {broken}")),
            Err(_) => Err(format!("client {name}: not admitted within {} s", ADMISSION_TIMEOUT.as_secs())),
        }
    }

    async fn admit_patiently(&self, nth: usize, name: &str) -> Result<Link, Broken> {
        let Target { url, version, keep_alive_s, session_expiry_s, username, password, .. } = &self.target;
        let client_id = format!("{}-{name}", self.prefix);
        let login = username.as_deref().map(|username| (username, password.as_deref()));
        let connect = packets::connect(*version, &client_id, *keep_alive_s, *session_expiry_s, login)
            .map_err(|error| error.to_string())?;
        let stream = self.open(nth).await.map_err(|error| format!("{url}: {}", explain(&error)))?;
        Link::admit(stream, *version, &connect).await
    }

    async fn open(&self, nth: usize) -> io::Result<Connection> {
        let url = &self.target.url;
        if !url.scheme().is_tcp() {
            return self.connector.connect().await;
        }
        let stream = match self.address.get() {
            Some(address) => connect(*address, nth).await?,
            None => {
                let stream = TcpStream::connect((url.host(), url.port())).await?;
                let _ = self.address.set(stream.peer_addr()?);
                stream
            }
        };
        stream.set_nodelay(true)?;
        self.connector.upgrade(stream).await
    }
}

async fn connect(address: SocketAddr, nth: usize) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(source) = source(address, nth) {
        socket.bind(source)?;
    }
    socket.connect(address).await
}

/// The loopback address to connect from, once the first one may have run out of ports.
fn source(target: SocketAddr, nth: usize) -> Option<SocketAddr> {
    let further = nth / CONNECTIONS_PER_SOURCE % SOURCES;
    let is_loopback = target.is_ipv4() && target.ip().is_loopback();
    (is_loopback && further > 0).then(|| {
        let address = Ipv4Addr::LOCALHOST.to_bits() + u32::try_from(further).expect("a small number");
        SocketAddrV4::new(Ipv4Addr::from_bits(address), 0).into()
    })
}

fn explain(error: &io::Error) -> Broken {
    const TOO_MANY_OPEN_FILES: i32 = 24;
    if error.raw_os_error() == Some(TOO_MANY_OPEN_FILES) {
        format!("{error}: raise the limit of the shell (ulimit -n), there and for the broker")
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_broker_is_reached_from_more_addresses_when_ports_run_out() {
        let broker = SocketAddr::from(([127, 0, 0, 1], 1883));
        assert_eq!(source(broker, CONNECTIONS_PER_SOURCE - 1), None);
        assert_eq!(source(broker, CONNECTIONS_PER_SOURCE), Some(([127, 0, 0, 2], 0).into()));
        assert_eq!(source(broker, CONNECTIONS_PER_SOURCE * SOURCES), None);
    }

    #[test]
    fn other_brokers_are_reached_from_where_the_system_chooses() {
        assert_eq!(source(([192, 0, 2, 1], 1883).into(), usize::MAX), None);
        assert_eq!(source(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 1883)), usize::MAX), None);
    }
}
