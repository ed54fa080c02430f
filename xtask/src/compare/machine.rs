//! The machine that measures: what it is, and whether it is busy with something else.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// What a reader has to know of the machine; nothing that names it.
pub(super) fn description() -> Vec<(&'static str, String)> {
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.and_then(|rest| rest.split_once(':')).map_or("unknown", |(_, name)| name.trim());
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let meminfo = read("/proc/meminfo");
    let memory = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let memory_kib: u64 =
        memory.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default();
    vec![
        ("processor", format!("{model}, {cores} cores")),
        ("memory", format!("{:.1} GiB", memory_kib as f64 / f64::from(1 << 20))),
        ("kernel", format!("Linux {}", read("/proc/sys/kernel/osrelease").trim())),
    ]
}

/// Processor time of the machine, in ticks, since it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticks {
    /// Spent in processes, without interrupts.
    busy: u64,
    /// Taken away by the machine below, if this one is virtual.
    stolen: u64,
}

/// Ticks per second; the same on every Linux machine that Rust runs on.
const TICKS_PER_S: f64 = 100.0;

/// How long a look at the machine takes.
const LOOK: Duration = Duration::from_millis(300);
/// What counts as quiet, in cores.
const QUIET_CORES: f64 = 0.1;

impl Ticks {
    /// So far.
    pub(super) fn now() -> Self {
        Self::parse(&read("/proc/stat")).unwrap_or(Self { busy: 0, stolen: 0 })
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let fields: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let &[user, nice, system, _idle, _iowait, _irq, _softirq, stolen, ..] = fields.as_slice() else {
            return None;
        };
        Some(Self { busy: user + nice + system, stolen })
    }

    /// Seconds of processor time that others than `ours` have used or taken since this moment.
    pub(super) fn others_since(self, ours: Duration) -> f64 {
        let now = Self::now();
        let all = (now.busy - self.busy + now.stolen - self.stolen) as f64 / TICKS_PER_S;
        (all - ours.as_secs_f64()).max(0.0)
    }
}

/// User and system time of this process's children that have ended and were waited for, and of a process that runs.
pub(super) fn used(process: Option<u32>) -> Duration {
    let ticks = |path: String, first: usize| {
        let stat = read(&path);
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let times = fields.split_ascii_whitespace().skip(first).take(2);
        times.filter_map(|word| word.parse::<u64>().ok()).sum::<u64>()
    };
    let children = ticks("/proc/self/stat".to_owned(), 13);
    let process = process.map_or(0, |id| ticks(format!("/proc/{id}/stat"), 11));
    Duration::from_secs_f64((children + process) as f64 / TICKS_PER_S)
}

/// Waits until nobody else uses the machine, at most so long. Whether it is quiet.
pub(super) fn wait_until_quiet(limit: Duration) -> bool {
    let end = Instant::now() + limit;
    loop {
        let before = Ticks::now();
        thread::sleep(LOOK);
        if before.others_since(Duration::ZERO) / LOOK.as_secs_f64() <= QUIET_CORES {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Ticks, description};

    #[test]
    fn interrupts_do_not_count_as_others() {
        let stat = "cpu  10 20 30 40 50 60 70 80 0 0\ncpu0 1 2 3\n";
        assert_eq!(Ticks::parse(stat), Some(Ticks { busy: 60, stolen: 80 }));
        assert_eq!(Ticks::parse("intr 1 2"), None);
    }

    #[test]
    fn the_description_names_hardware_only() {
        let names: Vec<&str> = description().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["processor", "memory", "kernel"]);
    }
}
