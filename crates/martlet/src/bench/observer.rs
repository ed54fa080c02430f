//! What is seen from outside while a scenario runs: the broker's and the tool's own usage, and a line for who watches.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::report::grouped;
use super::usage::{Process, Usage};

/// How often the line changes.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// Looks at processes and shows progress.
#[derive(Debug)]
pub(super) struct Observer {
    broker: Option<Process>,
    broker_marked: Option<Usage>,
    tool_marked: Option<Usage>,
    line: Option<Line>,
}

/// What has been used between a mark and a later moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    /// Without a process to look at there is nothing.
    pub(super) broker: Option<Growth>,
    /// Without a proc file system there is nothing.
    pub(super) tool_cpu: Option<Duration>,
}

/// How a process changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    pub(super) cpu: Duration,
    pub(super) rss_bytes_before: u64,
    pub(super) rss_bytes_after: u64,
}

impl Growth {
    /// Resident bytes gained for each of `count` things; negative when memory was given back.
    pub(super) fn rss_bytes_each(&self, count: usize) -> f64 {
        (self.rss_bytes_after as f64 - self.rss_bytes_before as f64) / count.max(1) as f64
    }
}

/// A line of the terminal that is written over and over.
#[derive(Debug)]
struct Line {
    started: Instant,
    shown: Instant,
    count: u64,
}

impl Observer {
    /// Looks at the broker's process, if there is one on this machine, and shows progress if somebody watches.
    ///
    /// # Errors
    /// There is no such process.
    pub(super) fn new(broker_pid: Option<u32>, quiet: bool) -> Result<Self, String> {
        let broker = broker_pid.map(Process::with_id);
        if let Some(process) = &broker {
            process.usage()?;
        }
        let now = Instant::now();
        let line =
            (!quiet && io::stderr().is_terminal()).then_some(Line { started: now, shown: now, count: 0 });
        Ok(Self { broker, broker_marked: None, tool_marked: None, line })
    }

    /// Begins to measure.
    pub(super) fn mark(&mut self) {
        self.broker_marked = usage(self.broker.as_ref());
        self.tool_marked = usage(Some(&Process::this()));
    }

    /// What has been used since the mark.
    pub(super) fn spent(&self) -> Spent {
        let broker = self.broker_marked.zip(usage(self.broker.as_ref()));
        let tool = self.tool_marked.zip(usage(Some(&Process::this())));
        Spent {
            broker: broker.map(|(before, after)| Growth {
                cpu: after.cpu.saturating_sub(before.cpu),
                rss_bytes_before: before.rss_bytes,
                rss_bytes_after: after.rss_bytes,
            }),
            tool_cpu: tool.map(|(before, after)| after.cpu.saturating_sub(before.cpu)),
        }
    }

    /// Shows how far it is, if somebody watches and the last time is a while ago.
    pub(super) fn progress(&mut self, count: u64) {
        let Some(line) = &mut self.line else { return };
        let elapsed = line.shown.elapsed();
        if elapsed < PROGRESS_INTERVAL {
            return;
        }
        let per_s = count.saturating_sub(line.count) as f64 / elapsed.as_secs_f64();
        let seconds = line.started.elapsed().as_secs_f64();
        let text = format!("{seconds:6.1} s  {} in all  {} per s", grouped(count as f64), grouped(per_s));
        show(&format!("\r{text:60}"));
        *line = Line { shown: Instant::now(), count, ..*line };
    }

    /// Takes the line away.
    pub(super) fn finish(&self) {
        if self.line.is_some() {
            show(&format!("\r{:60}\r", ""));
        }
    }
}

fn usage(process: Option<&Process>) -> Option<Usage> {
    process.and_then(|process| process.usage().ok())
}

/// If the terminal is gone, nobody is left to be told.
fn show(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
