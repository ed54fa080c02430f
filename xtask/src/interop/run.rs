//! Running the cases: several at a time, each with a broker of its own.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::broker::{self, Broker, Launch};
use super::known::{Known, Treatment};
use super::suites::Suite;
use crate::process::{self, Ended};

/// The exit code with which a case says that it cannot run here.
const SKIP: i32 = 77;

/// One case to run.
pub(super) struct Job {
    pub(super) suite: Suite,
    pub(super) case: String,
}

impl Job {
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.suite.name, self.case)
    }
}

/// What came of a case.
pub(super) struct Finished {
    pub(super) suite: &'static str,
    pub(super) name: String,
    pub(super) verdict: Verdict,
    pub(super) time: Duration,
    /// How often it ran, when it was more than once.
    pub(super) runs: u32,
    /// Where its logs are.
    pub(super) folder: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

/// What all cases have in common.
pub(super) struct Setting<'a> {
    pub(super) launch: Launch<'a>,
    pub(super) known: &'a Known,
    /// Each case keeps its logs in a folder of its own below this one.
    pub(super) logs: &'a Path,
}

/// Runs all jobs, at most `at_once` at a time, and shows each result as soon as it is there.
pub(super) fn run_all(
    setting: &Setting<'_>,
    jobs: Vec<Job>,
    at_once: usize,
    show: impl Fn(&Finished),
) -> Vec<Finished> {
    let queue = Mutex::new(VecDeque::from(jobs));
    let next = || queue.lock().expect("no thread panicked with the lock held").pop_front();
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..at_once.max(1) {
            let sender = sender.clone();
            scope.spawn(move || {
                while let Some(job) = next() {
                    let finished = run(setting, &job);
                    sender.send(finished).expect("the receiver waits for all senders");
                }
            });
        }
        drop(sender);
        results.iter().inspect(|finished| show(finished)).collect()
    })
}

fn run(setting: &Setting<'_>, job: &Job) -> Finished {
    let start = Instant::now();
    let folder = setting.logs.join(job.suite.name).join(&job.case);
    let mut runs = 0;
    let verdict = match setting.known.treatment(job.suite.name, &job.case) {
        Treatment::Skip(reason) => Verdict::Skipped(reason.to_owned()),
        Treatment::Run(runs_max) => loop {
            runs += 1;
            let verdict = attempt(setting, job, &folder);
            if runs >= runs_max || !matches!(verdict, Verdict::Failed(_)) {
                break verdict;
            }
        },
    };
    Finished { suite: job.suite.name, name: job.name(), verdict, time: start.elapsed(), runs, folder }
}

/// One run of one case against a fresh broker. A broker that does not end well fails the case too.
fn attempt(setting: &Setting<'_>, job: &Job, folder: &Path) -> Verdict {
    let result = (|| {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let broker = Broker::start(&setting.launch, folder)?;
        let mut command = job.suite.command(["run", &job.case, &broker.tcp, &broker.ws]);
        command.env("MARTLET", setting.launch.binary);
        let log = folder.join("client.log");
        let ended = process::run_bounded(command.current_dir(folder), &log, job.suite.limit);
        let stopped = broker.stop();
        let verdict = judge(ended.map_err(|error| error.to_string())?, &broker::last_line(&log));
        match (verdict, stopped) {
            (Verdict::Passed, Err(reason)) => Err(reason),
            (verdict, _) => Ok(verdict),
        }
    })();
    result.unwrap_or_else(Verdict::Failed)
}

/// The exit code says it all; the last line that the case printed says why.
fn judge(ended: Ended, last_line: &str) -> Verdict {
    match ended {
        Ended::Code(Some(0)) => Verdict::Passed,
        Ended::Code(Some(SKIP)) => Verdict::Skipped(last_line.to_owned()),
        Ended::Code(Some(_)) => Verdict::Failed(last_line.to_owned()),
        Ended::Code(None) => Verdict::Failed("ended by a signal".to_owned()),
        Ended::OutOfTime => Verdict::Failed(format!("out of time; {last_line}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Ended, Verdict, judge};

    #[test]
    fn exit_codes_are_verdicts() {
        assert_eq!(judge(Ended::Code(Some(0)), "x"), Verdict::Passed);
        assert_eq!(judge(Ended::Code(Some(77)), "no ws"), Verdict::Skipped("no ws".to_owned()));
        assert_eq!(judge(Ended::Code(Some(1)), "lost"), Verdict::Failed("lost".to_owned()));
        assert!(matches!(judge(Ended::OutOfTime, "x"), Verdict::Failed(_)));
    }
}
