//! A broker's process for one measurement.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::peers::{CONFIG, Found, Place};
use super::transports::{self, Over};
use crate::process;

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// A broker that listens; dropping it ends it.
pub(super) struct Running {
    child: Child,
    folder: PathBuf,
    /// Where it takes clients, on the loopback address.
    pub(super) port: u16,
}

impl Running {
    /// Starts a broker on a free port, with a fresh folder for its files, and waits until it accepts connections.
    pub(super) fn start(found: &Found, over: Over, folder: &Path) -> Result<Self, String> {
        let folder = folder.join(found.peer.name.replace(' ', "-"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let [port, second, third] = free_ports()?;
        let (texts, place_folder) =
            ([port, second, third].map(|port| port.to_string()), folder.display().to_string());
        let place = Place { port: &texts[0], other_ports: [&texts[1], &texts[2]], folder: &place_folder };
        let launch = found.peer.launch(over, &place).ok_or("it has no such transport")?;
        if over.is_encrypted() {
            transports::certify(&folder)?;
        }
        let config = folder.join("config.toml"); // rumqttd insists on the ending
        fs::write(&config, launch.config).map_err(|error| format!("{}: {error}", config.display()))?;
        let config = config.display().to_string();
        let arguments =
            launch.arguments.into_iter().map(|word| if word == CONFIG { config.clone() } else { word });

        let log = File::create(folder.join("log")).map_err(|error| error.to_string())?;
        let copy = log.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new(&found.program);
        command.args(arguments).current_dir(&folder).stdin(Stdio::null()).stdout(log).stderr(copy);
        let child = command.spawn().map_err(|error| format!("{}: {error}", found.program.display()))?;
        let mut running = Self { child, folder, port };
        running.wait_until_it_listens()?;
        Ok(running)
    }

    /// Number of the process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What its clients must trust, if it is encrypted.
    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.join(transports::CERTIFICATE)
    }

    fn wait_until_it_listens(&mut self) -> Result<(), String> {
        let end = Instant::now() + START_LIMIT;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended at once with {status}: {}", self.last_line()));
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return Ok(());
            }
            thread::sleep(POLL);
        }
        Err(format!("it did not listen within {} s: {}", START_LIMIT.as_secs(), self.last_line()))
    }

    fn last_line(&self) -> String {
        let log = fs::read(self.folder.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        process::signal("TERM", &self.child.id().to_string());
        if !matches!(process::wait(&mut self.child, STOP_LIMIT), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Ports that are free now; all held at once while asking, so they differ.
fn free_ports() -> Result<[u16; 3], String> {
    let mut held = Vec::new();
    let mut ports = [0; 3];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        *port = listener.local_addr().map_err(|error| error.to_string())?.port();
        held.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::free_ports;

    #[test]
    fn free_ports_differ() {
        let [a, b, c] = free_ports().expect("free ports");
        assert!(a != b && b != c && a != c);
    }
}
