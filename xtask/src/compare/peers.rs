//! The brokers that are compared: how each is found, configured and started.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::transports::{self, Over};

/// A broker that can be measured.
pub(super) struct Peer {
    /// As the tables show it, and as `--peer` names it.
    pub(super) name: &'static str,
    /// What the program is called on PATH.
    pub(super) program: &'static str,
    /// Arguments that make it tell its version; some cannot.
    pub(super) version: &'static [&'static str],
    /// How to start it.
    pub(super) launch: fn(&Place<'_>) -> Launch,
    /// Whether it is one of ours with a durable store, which says how often it syncs.
    pub(super) counts_syncs: bool,
}

/// Where a broker listens and keeps its files. Texts, because the report shows configurations with placeholders.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) port: &'a str,
    /// For what a broker insists on listening to besides.
    pub(super) other_ports: [&'a str; 2],
    pub(super) folder: &'a str,
}

/// What a report shows instead of a place of this machine.
const PLACEHOLDERS: Place<'static> =
    Place { port: "PORT", other_ports: ["PORT2", "PORT3"], folder: "FOLDER" };

/// Arguments and a configuration file. `CONFIG` among the arguments stands for the path of the file.
pub(super) struct Launch {
    pub(super) arguments: Vec<String>,
    pub(super) config: String,
}

/// A peer that is there, with its program.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) peer: &'static Peer,
    pub(super) program: PathBuf,
    /// What it says of itself.
    pub(super) version: String,
}

/// The word that stands for the path of the configuration file.
pub(super) const CONFIG: &str = "CONFIG";

/// Ours. Found in another way than the peers.
pub(super) static MARTLET: Peer = peer("martlet", "martlet", &["--version"], martlet);

/// No broker: copies bytes. The floor of what the kernel alone costs.
pub(super) static COPIER: Peer = peer("byte copier", "xtask", &[], byte_copier);

/// The others.
pub(super) static PEERS: &[Peer] = &[
    peer("mosquitto", "mosquitto", &["-h"], mosquitto),
    peer("flashmq", "flashmq", &["--version"], flashmq),
    peer("mochi", "mochi", &[], mochi),
    peer("rumqttd", "rumqttd", &["--version"], rumqttd),
    peer("nanomq", "nanomq", &["--version"], nanomq),
    peer("rmqttd", "rmqttd", &["--version"], rmqttd),
    peer("nats-server", "nats-server", &["--version"], nats),
];

/// A broker of which only its clients' figures are known.
pub(super) const fn peer(
    name: &'static str,
    program: &'static str,
    version: &'static [&'static str],
    launch: fn(&Place<'_>) -> Launch,
) -> Peer {
    Peer { name, program, version, launch, counts_syncs: false }
}

impl Peer {
    /// What it takes to start it there, if it has the transport.
    pub(super) fn launch(&self, over: Over, place: &Place<'_>) -> Option<Launch> {
        match over {
            Over::Tcp => Some((self.launch)(place)),
            over => transports::launch(self.name, over, place),
        }
    }

    /// Whether it has the transport.
    pub(super) fn can(&self, over: Over) -> bool {
        self.launch(over, &PLACEHOLDERS).is_some()
    }

    /// Its configuration and command line as the report shows them.
    pub(super) fn shown(&self) -> String {
        let shown = |over: Over| {
            let Launch { arguments, config } = self.launch(over, &PLACEHOLDERS)?;
            let line = format!("{} {}", self.program, arguments.join(" "));
            let config = if config.is_empty() { String::new() } else { format!("\n# {CONFIG}\n{config}") };
            Some(format!("# {}\n{line}\n{config}", over.name()))
        };
        Over::ALL.into_iter().filter_map(shown).collect::<Vec<_>>().join("\n")
    }

    /// Looks for the program in `given` (name and path) and on PATH.
    pub(super) fn find(&'static self, given: &[(String, PathBuf)]) -> Option<Found> {
        let given = given.iter().find(|(name, _)| name == self.name).map(|(_, path)| path.clone());
        let program = given.or_else(|| on_path(self.program))?;
        Some(self.found(program))
    }

    /// The peer with this program.
    pub(super) fn found(&'static self, program: PathBuf) -> Found {
        let version = version(&program, self.version).unwrap_or_else(|| "version not told".to_owned());
        Found { peer: self, program, version }
    }
}

/// Reads `--peer name=path`.
pub(super) fn parse_given(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("--peer needs NAME=PATH")?;
    if !PEERS.iter().any(|peer| peer.name == name) {
        let names: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
        return Err(format!("no peer `{name}`; there are {}", names.join(", ")));
    }
    let path = std::path::absolute(path).map_err(|error| format!("{path}: {error}"))?;
    if path.is_file() {
        Ok((name.to_owned(), path))
    } else {
        Err(format!("{}: no such program", path.display()))
    }
}

/// A program on PATH, or where Debian keeps daemons.
pub(super) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(daemons).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The first words of what the program says, without its own name: a number if there is one.
fn version(program: &Path, arguments: &[&str]) -> Option<String> {
    if arguments.is_empty() {
        return None;
    }
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    version_in(&said)
}

fn version_in(text: &str) -> Option<String> {
    let words = text.split(|c: char| c.is_whitespace() || c == ':' || c == ',');
    let numbers = words.map(|word| word.trim_start_matches('v'));
    let mut numbers =
        numbers.filter(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()));
    numbers.next().map(str::to_owned)
}

pub(super) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn martlet(place: &Place<'_>) -> Launch {
    let line = format!("serve --in-memory --listen tcp://127.0.0.1:{}", place.port);
    Launch { arguments: words(&line), config: String::new() }
}

fn byte_copier(place: &Place<'_>) -> Launch {
    Launch { arguments: words(&format!("compare --copier {}", place.port)), config: String::new() }
}

fn mosquitto(place: &Place<'_>) -> Launch {
    let config = format!(
        "listener {} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n",
        place.port
    );
    Launch { arguments: words("-c CONFIG"), config }
}

fn flashmq(place: &Place<'_>) -> Launch {
    let config = format!(
        "allow_anonymous true\n\
         max_qos_msg_pending_per_client 65535\n\
         max_qos_bytes_pending_per_client 268435456\n\
         client_max_write_buffer_size 268435456\n\
         listen {{\n  protocol mqtt\n  inet_protocol ip4\n  inet4_bind_address 127.0.0.1\n  port {}\n}}\n",
        place.port,
    );
    Launch { arguments: words("--config-file CONFIG"), config }
}

fn mochi(place: &Place<'_>) -> Launch {
    let [ws, info] = place.other_ports;
    let line = format!("-tcp 127.0.0.1:{} -ws 127.0.0.1:{ws} -info 127.0.0.1:{info}", place.port);
    Launch { arguments: words(&line), config: String::new() }
}

/// Its example configuration with one listener instead of all.
fn rumqttd(place: &Place<'_>) -> Launch {
    let config = format!(
        "id = 0\n\n[router]\nid = 0\nmax_connections = 10010\nmax_outgoing_packet_count = 200\n\
         max_segment_size = 104857600\nmax_segment_count = 10\n\n\
         [v4.1]\nname = \"v4-1\"\nlisten = \"127.0.0.1:{}\"\nnext_connection_delay_ms = 1\n\n\
         [v4.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 20480\nmax_inflight_count = 100\n\
         dynamic_filters = true\n\n[console]\nlisten = \"127.0.0.1:{}\"\n",
        place.port, place.other_ports[0],
    );
    Launch { arguments: words("--config CONFIG"), config }
}

fn nanomq(place: &Place<'_>) -> Launch {
    let config = format!("listeners.tcp {{\n  bind = \"127.0.0.1:{}\"\n}}\n", place.port);
    Launch { arguments: words("start --conf CONFIG"), config }
}

fn rmqttd(place: &Place<'_>) -> Launch {
    let config = format!(
        "[node]\nid = 1\n\n[rpc]\nserver_addr = \"127.0.0.1:{}\"\n\n[log]\nto = \"console\"\nlevel = \"warn\"\n\n\
         [listener.tcp.external]\naddr = \"127.0.0.1:{}\"\nallow_anonymous = true\nmax_mqueue_len = 1000000\n",
        place.other_ports[0], place.port,
    );
    Launch { arguments: words("--config CONFIG"), config }
}

/// Its MQTT needs JetStream, which keeps its files in the folder.
fn nats(place: &Place<'_>) -> Launch {
    let config = format!(
        "server_name: peer\nlisten: \"127.0.0.1:{}\"\njetstream {{\n  store_dir: \"{}/jetstream\"\n}}\n\
         mqtt {{\n  listen: \"127.0.0.1:{}\"\n}}\n",
        place.other_ports[0], place.folder, place.port,
    );
    Launch { arguments: words("-c CONFIG"), config }
}

#[cfg(test)]
mod tests {
    use super::{PEERS, parse_given, version_in};

    #[test]
    fn versions_are_found_in_what_programs_say() {
        let said = [
            ("mosquitto version 2.0.11\n\nmosquitto is an MQTT broker", "2.0.11"),
            ("nats-server: v2.9.10", "2.9.10"),
            ("FlashMQ Version 1.26.2 with SSE4.2 support", "1.26.2"),
            ("rumqttd 0.20.0", "0.20.0"),
        ];
        for (text, version) in said {
            assert_eq!(version_in(text).as_deref(), Some(version));
        }
        assert_eq!(version_in("no number here. None"), None);
    }

    #[test]
    fn shown_configurations_name_no_place_of_this_machine() {
        for peer in PEERS {
            let shown = peer.shown();
            assert!(shown.contains("PORT"), "{shown}");
            assert!(!shown.contains("/tmp"), "{shown}");
        }
    }

    #[test]
    fn a_peer_is_given_by_name_and_path() {
        assert!(parse_given("mosquitto").is_err());
        assert!(parse_given("mosquitte=/bin/sh").is_err());
        assert!(parse_given("mosquitto=/no/such/program").is_err());
        assert_eq!(parse_given("mosquitto=/bin/sh"), Ok(("mosquitto".to_owned(), "/bin/sh".into())));
    }
}
