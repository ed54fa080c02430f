//! One measurement: a fresh broker, the load, the figures.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::launch::Running;
use super::machine::{Ticks, used, wait_until_quiet};
use super::peers::Found;
use super::results::{Figures, Sample};
use super::scenarios::Scenario;

/// A measurement during which others used more than this many cores is made again.
const OTHERS_CORES_MAX: f64 = 0.1;
/// How often at most.
const ATTEMPTS_MAX: usize = 3;
/// Where our broker says how many messages one sync has stored.
const PER_SYNC: &str = "$SYS/broker/storage/messages/per_sync";
/// A load generator that has not ended after this time never will.
const LOAD_LIMIT: Duration = Duration::from_secs(180);

/// Where and how to measure.
pub(super) struct Bench {
    /// The `martlet` program, for its `bench`.
    pub(super) tool: PathBuf,
    /// For the files of brokers.
    pub(super) folder: PathBuf,
    /// How long each load is measured.
    pub(super) time: Duration,
    /// How long to wait for a quiet machine.
    pub(super) patience: Duration,
}

impl Bench {
    /// Measures until the machine was quiet meanwhile, or often enough; the quietest measurement counts.
    pub(super) fn measure(&self, found: &Found, scenario: &Scenario) -> Sample {
        let mut best: Option<Figures> = None;
        for _ in 0..ATTEMPTS_MAX {
            wait_until_quiet(self.patience);
            let figures = match self.attempt(found, scenario) {
                Ok(figures) => figures,
                Err(reason) => return sample(found, scenario, Err(reason)),
            };
            if best.is_none_or(|best| figures.others_cores < best.others_cores) {
                best = Some(figures);
            }
            if self.patience.is_zero() || figures.others_cores <= OTHERS_CORES_MAX {
                break;
            }
        }
        sample(found, scenario, best.ok_or_else(|| "never measured".to_owned()))
    }

    fn attempt(&self, found: &Found, scenario: &Scenario) -> Result<Figures, String> {
        let running = Running::start(found, scenario.over, &self.folder)?;
        let (started, ticks, used_before) = (Instant::now(), Ticks::now(), used(Some(running.id())));
        let report = self.load(&running, scenario)?;
        let ours = used(Some(running.id())).saturating_sub(used_before);
        let others_cores = ticks.others_since(ours) / started.elapsed().as_secs_f64();
        let figures = Figures::from_report(&report, scenario.kind);
        let figures = figures.ok_or("its report lacks figures")?;
        let per_sync = if found.peer.counts_syncs { self.per_sync(&running, scenario) } else { 0.0 };
        Ok(Figures { others_cores, per_sync, ..figures })
    }

    /// What our broker says of its syncs; 0 if it has none.
    fn per_sync(&self, running: &Running, scenario: &Scenario) -> f64 {
        let mut command = Command::new(&self.tool);
        command.args(["sub", "-t", PER_SYNC, "-C", "1", "-W", "3"]);
        command.args(["--url", &scenario.over.url(running.port).replace("tcp://", "mqtt://")]);
        let said = bounded_output(&mut command, &self.folder, LOAD_LIMIT);
        said.ok().and_then(|said| said.stdout.trim().parse().ok()).unwrap_or_default()
    }

    /// Runs the load; a report with problems is a report.
    fn load(&self, running: &Running, scenario: &Scenario) -> Result<Value, String> {
        let mut command = Command::new(&self.tool);
        command.arg("bench").args(scenario.words(self.time)).arg("--json");
        command.args(["--url", &scenario.over.url(running.port)]);
        if scenario.over.is_encrypted() {
            command.arg("--cafile").arg(running.certificate());
        }
        command.args(["--pid", &running.id().to_string()]);
        let output = bounded_output(&mut command, &self.folder, LOAD_LIMIT)?;
        serde_json::from_str(&output.stdout).map_err(|_| {
            let line = output.stderr.lines().last().unwrap_or("no report").to_owned();
            line.trim_start_matches("error: ").to_owned()
        })
    }
}

fn sample(found: &Found, scenario: &Scenario, outcome: Result<Figures, String>) -> Sample {
    Sample { scenario: scenario.key.to_owned(), peer: found.peer.name.to_owned(), outcome }
}

/// Both streams of a program that has ended.
pub(super) struct Said {
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a program to its end, or ends it after `limit`. Its output goes through files, so it never waits for a reader.
pub(super) fn bounded_output(command: &mut Command, folder: &Path, limit: Duration) -> Result<Said, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let paths = ["tool.out", "tool.err"].map(|file| folder.join(file));
    let [out, err] = paths.each_ref().map(std::fs::File::create);
    let (out, err) = (out.map_err(|error| error.to_string())?, err.map_err(|error| error.to_string())?);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(|error| format!("{name}: {error}"))?;
    let ended = crate::process::wait(&mut child, limit).map_err(|error| error.to_string())?;
    if ended.is_none() {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("no end within {} s", limit.as_secs()));
    }
    let [stdout, stderr] = paths.map(|path| std::fs::read_to_string(path).unwrap_or_default());
    Ok(Said { stdout, stderr })
}
