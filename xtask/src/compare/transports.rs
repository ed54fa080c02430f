//! The same load over other transports than TCP: how each broker is told to listen there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::peers::{Launch, Place, words};
use crate::process;

/// What carries the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Tcp,
    Tls,
    Ws,
    Wss,
    Quic,
}

/// The broker's certificate, which clients trust as it is, and its key, in the broker's folder.
pub(super) const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";

impl Over {
    pub(super) const ALL: [Self; 5] = [Self::Tcp, Self::Tls, Self::Ws, Self::Wss, Self::Quic];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WebSocket",
            Self::Wss => "WebSocket and TLS",
            Self::Quic => "QUIC",
        }
    }

    pub(super) fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Wss | Self::Quic)
    }

    fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// Where clients find a broker on this port of the loopback.
    pub(super) fn url(self, port: impl std::fmt::Display) -> String {
        match self {
            Self::Tcp => format!("tcp://127.0.0.1:{port}"),
            Self::Tls => format!("mqtts://127.0.0.1:{port}"),
            Self::Ws => format!("ws://127.0.0.1:{port}/mqtt"),
            Self::Wss => format!("wss://127.0.0.1:{port}/mqtt"),
            Self::Quic => format!("quic://127.0.0.1:{port}"),
        }
    }
}

/// Makes a certificate and its key.
pub(super) fn certify(folder: &Path) -> Result<(), String> {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(words(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=broker \
         -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=IP:127.0.0.1",
    ));
    command.args(["-keyout", KEY, "-out", CERTIFICATE]);
    process::output(&mut command)?;
    // Some brokers give up their rights before they read it.
    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(folder.join(KEY), readable).map_err(|error| error.to_string())
}

/// What it takes to start this broker with this transport; `None` if it has not got it, or not with its own program.
pub(super) fn launch(peer: &str, over: Over, place: &Place<'_>) -> Option<Launch> {
    match (peer, over) {
        ("martlet", over) => Some(martlet(over, place)),
        (_, Over::Quic) => None,
        ("mosquitto", over) => Some(mosquitto(over, place)),
        ("flashmq", over) => Some(flashmq(over, place)),
        ("mochi", Over::Tls | Over::Ws) => Some(mochi(over, place)),
        _ => None,
    }
}

fn martlet(over: Over, place: &Place<'_>) -> Launch {
    // The port of QUIC is one of UDP; that of TCP tells when it listens.
    let urls = if over == Over::Quic { vec![over, Over::Tcp] } else { vec![over] };
    let listener = |over: Over| {
        let files = if over.is_encrypted() {
            format!("certificates = [\"{CERTIFICATE}\"]\nkeys = [\"{KEY}\"]\n")
        } else {
            String::new()
        };
        format!("[[listener]]\nurl = \"{}\"\n{files}", over.url(place.port))
    };
    let config = urls.into_iter().map(listener).collect();
    Launch { arguments: words("serve --in-memory --config CONFIG"), config }
}

fn mosquitto(over: Over, place: &Place<'_>) -> Launch {
    let mut config = String::new();
    if over.is_websocket() {
        // It does not count listeners with WebSocket, and ends if it has no others.
        config += &format!("listener {} 127.0.0.1\n", place.other_ports[0]);
    }
    config += &format!("listener {} 127.0.0.1\n", place.port);
    if over.is_websocket() {
        config += "protocol websockets\n";
    }
    if over.is_encrypted() {
        // Started by root it would become a user that may not read the key.
        config += &format!("certfile {CERTIFICATE}\nkeyfile {KEY}\nuser root\n");
    }
    config += "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n";
    Launch { arguments: words("-c CONFIG"), config }
}

fn flashmq(over: Over, place: &Place<'_>) -> Launch {
    let Place { port, folder, .. } = place;
    let protocol = if over.is_websocket() { "websockets" } else { "mqtt" };
    let files = if over.is_encrypted() {
        format!("  fullchain {folder}/{CERTIFICATE}\n  privkey {folder}/{KEY}\n")
    } else {
        String::new()
    };
    let config = format!(
        "allow_anonymous true\n\
         max_qos_msg_pending_per_client 65535\n\
         max_qos_bytes_pending_per_client 268435456\n\
         client_max_write_buffer_size 268435456\n\
         listen {{\n  protocol {protocol}\n  inet_protocol ip4\n  inet4_bind_address 127.0.0.1\n  port {port}\n{files}}}\n"
    );
    Launch { arguments: words("--config-file CONFIG"), config }
}

/// Its program has TLS on its TCP port only.
fn mochi(over: Over, place: &Place<'_>) -> Launch {
    let [other, info] = place.other_ports;
    let line = if over == Over::Ws {
        format!("-tcp 127.0.0.1:{other} -ws 127.0.0.1:{} -info 127.0.0.1:{info}", place.port)
    } else {
        let files = format!("-tls-cert-file {CERTIFICATE} -tls-key-file {KEY}");
        format!("-tcp 127.0.0.1:{} -ws 127.0.0.1:{other} -info 127.0.0.1:{info} {files}", place.port)
    };
    Launch { arguments: words(&line), config: String::new() }
}

#[cfg(test)]
mod tests {
    use super::Over;
    use crate::compare::peers::{MARTLET, PEERS};

    #[test]
    fn martlet_has_every_transport_and_each_other_broker_has_tcp() {
        assert!(Over::ALL.iter().all(|over| MARTLET.can(*over)));
        assert!(PEERS.iter().all(|peer| peer.can(Over::Tcp) && !peer.can(Over::Quic)));
    }
}
