//! The memory of the process, watched against a budget. Over it, new work is refused; what is there goes on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::core::Core;

/// Whether the process uses more memory than it should.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    over: AtomicBool,
}

const INTERVAL: Duration = Duration::from_millis(200);

impl Memory {
    /// Whether new connections, subscriptions and retained messages are refused now.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Compares what is used with the budget.
    fn note(&self, used_bytes: u64, budget_bytes: u64) {
        let over = used_bytes > budget_bytes;
        if self.over.swap(over, Ordering::Relaxed) != over {
            tracing::warn!(used_bytes, budget_bytes, over, "memory budget");
        }
    }
}

/// Tells the bytes of memory in use, where that is known.
pub(crate) struct Gauge(Box<dyn Fn() -> Option<u64> + Send + Sync>);

impl Gauge {
    pub(crate) fn new(used_bytes: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        Self(Box::new(used_bytes))
    }
}

impl Default for Gauge {
    /// Of the whole process.
    fn default() -> Self {
        Self::new(resident_bytes)
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauge")
    }
}

/// Watches until the broker stops.
pub(crate) async fn watch_memory(core: Arc<Core>, gauge: Gauge, budget_bytes: u64) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match (gauge.0)() {
            Some(used_bytes) => core.memory.note(used_bytes, budget_bytes),
            None => return tracing::warn!("the memory in use cannot be read here, so it is not limited"),
        }
    }
}

/// Resident memory, where the system tells it (Linux).
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_work_is_refused_only_while_more_is_used_than_the_budget() {
        let memory = Memory::default();
        for (used, over) in [(99, false), (100, false), (101, true), (50, false)] {
            memory.note(used, 100);
            assert_eq!(memory.is_over(), over, "{used}");
        }
    }
}
