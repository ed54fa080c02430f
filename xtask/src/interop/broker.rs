//! A fresh broker for one case: started on free ports, stopped as an operator would.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::process;

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(5);

/// How to start the broker.
pub(super) struct Launch<'a> {
    pub(super) binary: &'a Path,
    pub(super) config: &'a Path,
}

/// A running broker; dropping it without [`Broker::stop`] kills it.
pub(super) struct Broker {
    child: Child,
    log: std::path::PathBuf,
    /// `tcp://127.0.0.1:PORT`
    pub(super) tcp: String,
    /// `ws://127.0.0.1:PORT/mqtt`
    pub(super) ws: String,
}

impl Broker {
    /// Starts a broker that keeps its log and data in `folder`, and waits until it listens.
    pub(super) fn start(launch: &Launch<'_>, folder: &Path) -> Result<Self, String> {
        let addresses = folder.join("addresses");
        let log = folder.join("broker.log");
        let out = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let err = out.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new(launch.binary);
        command.args(["serve", "--listen", "tcp://127.0.0.1:0", "--listen", "ws://127.0.0.1:0/mqtt"]);
        command
            .arg("--in-memory")
            .arg("--config")
            .arg(launch.config)
            .arg("--print-addresses")
            .arg(&addresses);
        command.current_dir(folder).stdin(Stdio::null()).stdout(out).stderr(err);
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", launch.binary.display()))?;
        match wait_for_addresses(&mut child, &addresses) {
            Ok((tcp, ws)) => Ok(Self { child, log, tcp, ws }),
            Err(reason) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("{reason}; {}", last_line(&log)))
            }
        }
    }

    /// Asks the broker to end; it must do so in time, with exit code 0 and without a panic in its log.
    pub(super) fn stop(mut self) -> Result<(), String> {
        process::signal("TERM", &self.child.id().to_string());
        let ended = process::wait(&mut self.child, STOP_LIMIT).map_err(|error| error.to_string())?;
        let Some(status) = ended else {
            return Err(format!("the broker did not stop within {} s", STOP_LIMIT.as_secs()));
        };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        if let Some(line) = log.lines().find(|line| line.contains("panicked at")) {
            return Err(format!("the broker panicked: {line}"));
        }
        if status.success() { Ok(()) } else { Err(format!("the broker ended with {status}")) }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn wait_for_addresses(child: &mut Child, file: &Path) -> Result<(String, String), String> {
    let end = Instant::now() + START_LIMIT;
    while Instant::now() < end {
        if let Some(addresses) = fs::read_to_string(file).ok().and_then(|text| addresses(&text)) {
            return Ok(addresses);
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("the broker ended at once with {status}"));
        }
        thread::sleep(POLL);
    }
    Err(format!("the broker did not listen within {} s", START_LIMIT.as_secs()))
}

/// The two URLs in the file, once both are complete: one on each line, or in quotes as JSON has them.
fn addresses(text: &str) -> Option<(String, String)> {
    let url = |scheme: &str| {
        let rest = &text[text.find(scheme)?..];
        let end = rest.find(|c: char| c.is_whitespace() || c == '"')?;
        Some(rest[..end].to_owned())
    };
    Some((url("tcp://")?, url("ws://")?))
}

/// The last line of a log that says something.
pub(super) fn last_line(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("(no output)").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::addresses;

    #[test]
    fn addresses_are_read_from_lines_and_from_json_once_complete() {
        let expected = Some(("tcp://127.0.0.1:1".to_owned(), "ws://127.0.0.1:2/mqtt".to_owned()));
        assert_eq!(addresses("tcp://127.0.0.1:1\nws://127.0.0.1:2/mqtt\n"), expected);
        assert_eq!(addresses("[\"tcp://127.0.0.1:1\", \"ws://127.0.0.1:2/mqtt\"]"), expected);
        assert_eq!(addresses("tcp://127.0.0.1:1\nws://127.0.0.1:2"), None);
        assert_eq!(addresses("tcp://127.0.0.1:1\n"), None);
    }
}
