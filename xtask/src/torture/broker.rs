//! The broker under torture: how it is started, killed and robbed of what was not synced.

use std::collections::HashMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{Mode, RETRY};
use crate::process;

const START_LIMIT: Duration = Duration::from_secs(30);
const FAULTS: &str = include_str!("faults.c");
/// One write or sync in so many goes wrong while there are faults.
const RATE: u32 = 60;

/// What all lives of a broker have in common.
pub(super) struct Plan {
    pub(super) binary: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) mode: Mode,
    pub(super) seed: u64,
    /// The library that makes writes and syncs fail; `None` where it cannot be built.
    pub(super) faults: Option<PathBuf>,
}

/// What happens in one life.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Life {
    pub(super) number: u64,
    /// Whether writes and syncs fail.
    pub(super) has_faults: bool,
}

/// A running broker; dropping it kills it.
pub(super) struct Broker {
    plan: Plan,
    child: Child,
    pub(super) address: SocketAddr,
}

/// Builds the library that makes writes and syncs fail; `None`, with a word, without a C compiler.
pub(super) fn build_faults(folder: &Path) -> Result<Option<PathBuf>, String> {
    if !process::exists("cc", "--version") {
        println!("torture: no cc, so no faults of the disk and no power failures");
        return Ok(None);
    }
    let (source, library) = (folder.join("faults.c"), folder.join("faults.so"));
    fs::write(&source, FAULTS).map_err(|error| error.to_string())?;
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-pthread", "-o"]).arg(&library).arg(&source).arg("-ldl");
    process::output(&mut command)?;
    Ok(Some(library))
}

impl Broker {
    pub(super) fn start(plan: Plan) -> Result<Self, String> {
        let (child, address) = plan.start(Life::default(), None)?;
        Ok(Self { plan, child, address })
    }

    /// SIGKILL, perhaps with the loss of all that was not synced, then the same again on the same port and data.
    pub(super) fn restart(&mut self, life: Life, loses_power: bool) -> Result<(), String> {
        self.kill()?;
        if loses_power {
            self.plan.lose_what_was_not_synced().map_err(|error| error.to_string())?;
        }
        (self.child, self.address) = self.plan.start(life, Some(self.address))?;
        Ok(())
    }

    pub(super) fn kill(&mut self) -> Result<(), String> {
        self.child.kill().and_then(|()| self.child.wait()).map(drop).map_err(|error| error.to_string())
    }

    pub(super) fn can_fail(&self) -> bool {
        self.plan.faults.is_some()
    }

    /// Everything in the data directory, a line for each item, once the broker is dead.
    pub(super) fn export(&self) -> Result<String, String> {
        let mut command = Command::new(&self.plan.binary);
        process::output(command.args(["store", "export", "--data-dir"]).arg(self.plan.data()))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

impl Plan {
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn notes(&self) -> PathBuf {
        self.folder.join("synced")
    }

    fn armed(&self) -> PathBuf {
        self.folder.join("armed")
    }

    fn start(&self, life: Life, address: Option<SocketAddr>) -> Result<(Child, SocketAddr), String> {
        let addresses = self.folder.join("addresses");
        let _ = fs::remove_file(&addresses);
        let _ = fs::remove_file(self.notes());
        let listen = address.map_or("tcp://127.0.0.1:0".to_owned(), |address| format!("tcp://{address}"));
        let log = File::options().create(true).append(true).open(self.folder.join("broker.log"));
        let log = log.map_err(|error| error.to_string())?;
        let err = log.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--listen", &listen, "--data-dir"]).arg(self.data());
        command.arg("--set").arg(format!("storage.durability={}", self.mode.name()));
        command.arg("--print-addresses").arg(&addresses).current_dir(&self.folder);
        if let Some(library) = &self.faults {
            command.env("LD_PRELOAD", library).env("TORTURE_NOTES", self.notes());
            command.env("TORTURE_SEED", (self.seed ^ life.number << 32).to_string());
            let _ = fs::remove_file(self.armed());
            command.env("TORTURE_ARMED", self.armed());
            command.env("TORTURE_RATE", if life.has_faults { RATE } else { 0 }.to_string());
        }
        let child = command.stdin(Stdio::null()).stdout(log).stderr(err).spawn();
        let mut child = child.map_err(|error| format!("{}: {error}", self.binary.display()))?;
        match wait_for_address(&mut child, &addresses) {
            Ok(address) => {
                fs::write(self.armed(), "").map_err(|error| error.to_string())?;
                Ok((child, address))
            }
            Err(reason) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("{reason}; see {}", self.folder.join("broker.log").display()))
            }
        }
    }

    /// What a power failure leaves at worst: each segment up to where it was synced in this life.
    fn lose_what_was_not_synced(&self) -> std::io::Result<()> {
        let notes = fs::read_to_string(self.notes()).unwrap_or_default();
        let mut synced: HashMap<&str, u64> = HashMap::new();
        for (length, path) in notes.lines().filter_map(|line| line.split_once(' ')) {
            let length: u64 = length.parse().unwrap_or_default();
            synced.entry(path).and_modify(|known| *known = length.max(*known)).or_insert(length);
        }
        for (path, length) in synced.into_iter().filter(|(path, _)| Path::new(path).exists()) {
            let file = File::options().write(true).open(path)?;
            if file.metadata()?.len() > length {
                file.set_len(length)?;
            }
        }
        Ok(())
    }
}

fn wait_for_address(child: &mut Child, file: &Path) -> Result<SocketAddr, String> {
    let end = Instant::now() + START_LIMIT;
    while Instant::now() < end {
        let text = fs::read_to_string(file).unwrap_or_default();
        if let Some((line, _)) = text.split_once('\n') {
            let address = line.trim().trim_start_matches("tcp://");
            return address.parse().map_err(|_| format!("`{line}` is no address"));
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("the broker ended at once with {status}"));
        }
        thread::sleep(RETRY);
    }
    Err(format!("the broker did not listen within {} s", START_LIMIT.as_secs()))
}
