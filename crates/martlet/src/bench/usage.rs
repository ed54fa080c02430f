//! What a process has used so far, from the proc file system of Linux.

use std::fs;
use std::time::Duration;

/// Clock ticks per second in /proc; the same on every Linux machine that Rust runs on.
const TICKS_PER_S: u64 = 100;

/// A process that is looked at.
#[derive(Clone, Debug)]
pub(super) struct Process(String);

/// Processor time and memory of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// In user and kernel mode, all threads together; in steps of 10 ms.
    pub(super) cpu: Duration,
    /// Resident set size.
    pub(super) rss_bytes: u64,
}

impl Process {
    /// The process with this number.
    pub(super) fn with_id(id: u32) -> Self {
        Self(id.to_string())
    }

    /// This process.
    pub(super) fn this() -> Self {
        Self("self".to_owned())
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// There is no such process, or no proc file system.
    pub(super) fn usage(&self) -> Result<Usage, String> {
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.0);
            fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        let usage = parse(&stat, &status);
        usage.ok_or_else(|| format!("/proc/{}: not what Linux writes there", self.0))
    }
}

fn parse(stat: &str, status: &str) -> Option<Usage> {
    // The name in parentheses may hold spaces and parentheses; user and system time are the 12th and 13th after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let rss_kib: u64 = rss.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(Usage { cpu: Duration::from_millis(ticks * 1000 / TICKS_PER_S), rss_bytes: rss_kib * 1024 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_a_strange_name() {
        let stat = "7 (a) b) R 1 2 3 4 5 6 7 8 9 10 250 50 1 1 20 0";
        let status = "Name:\ta) b\nVmPeak:\t  900 kB\nVmRSS:\t  123 kB\n";
        let expected = Usage { cpu: Duration::from_secs(3), rss_bytes: 123 * 1024 };
        assert_eq!(parse(stat, status), Some(expected));
        assert_eq!(parse("7 (a) R 1", status), None);
        assert_eq!(parse(stat, "Name:\tkthread\n"), None);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        let error = Process::with_id(u32::MAX).usage().expect_err("no such process");
        assert!(error.starts_with("/proc/4294967295/stat: "), "{error}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_memory() {
        assert!(Process::this().usage().expect("Linux").rss_bytes > 0);
    }
}
