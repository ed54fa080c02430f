//! Sockets that systemd has opened for the broker: `LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES`.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use listenfd::ListenFd;
use mqtt_transport::{OpenSocket, Scheme};
use tracing::warn;

use crate::config::ListenerEntry;
use crate::exit::Failure;

/// Sockets that were passed and not taken yet.
struct Passed {
    sockets: ListenFd,
    /// The places of each name's sockets, in their order.
    places: BTreeMap<String, Vec<usize>>,
}

/// What systemd calls a socket that nobody has named.
const NAMELESS: &str = "unknown";

/// Gives the listeners that ask for it the sockets that were passed to this process, which is possible once only and while
/// there is but one thread.
///
/// # Errors
/// A listener's socket was not passed, or is of another kind.
pub(crate) fn hand_over(listeners: &mut [ListenerEntry]) -> Result<(), Failure> {
    let mut passed = Passed::from_environment();
    for listener in listeners {
        let Some(name) = &listener.systemd_socket else { continue };
        let open = passed.take(name, listener.url.scheme() == Scheme::Unix);
        let open = open.map_err(|error| {
            Failure::failed(format_args!("{}: systemd socket {name:?}: {error}", listener.url))
        })?;
        listener.transport.open = Some(Arc::new(open));
    }
    passed.tell_rest();
    Ok(())
}

impl Passed {
    fn from_environment() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').filter(|name| !name.is_empty());
        let sockets = ListenFd::from_env();
        let mut places = BTreeMap::<String, Vec<usize>>::new();
        for place in 0..sockets.len() {
            places.entry(names.next().unwrap_or(NAMELESS).to_owned()).or_default().push(place);
        }
        Self { sockets, places }
    }

    fn take(&mut self, name: &str, is_unix: bool) -> io::Result<OpenSocket> {
        let Some(place) = self.places.get(name).and_then(|places| places.first().copied()) else {
            let there: Vec<&str> = self.places.keys().map(String::as_str).collect();
            let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("it was not passed, or is taken already; there are: {there}"),
            ));
        };
        let socket = if is_unix {
            self.sockets.take_unix_listener(place)?.map(OpenSocket::Unix)
        } else {
            self.sockets.take_tcp_listener(place)?.map(OpenSocket::Tcp)
        };
        let places = self.places.get_mut(name).expect("it was found");
        places.remove(0);
        if places.is_empty() {
            self.places.remove(name);
        }
        Ok(socket.expect("each place is taken once"))
    }

    /// Clients can connect to a socket that nobody accepts from, and wait.
    fn tell_rest(&self) {
        for name in self.places.keys() {
            warn!(name, "systemd passed a socket that no listener asks for");
        }
    }
}
