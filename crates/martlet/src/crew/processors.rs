//! Whether the machine has processors that nobody uses.

use std::fs;
use std::time::{Duration, Instant};

/// A tick of the clock in which the system counts.
const TICK: Duration = Duration::from_millis(10);

/// The time for which processors have nothing to do, between two looks. Not looked at without need: a machine with many
/// processors takes a while to tell.
#[derive(Debug, Default)]
pub(crate) struct IdleTime {
    before: Option<(Instant, u64)>,
}

impl IdleTime {
    /// Processors that were idle on average since the last look; none at the first. `None` if the system does not tell.
    pub(crate) fn processors(&mut self) -> Option<f64> {
        let (now, idle_ticks) = (Instant::now(), ticks()?);
        let before = self.before.replace((now, idle_ticks));
        before.map_or(Some(0.0), |(then, ticks_then)| {
            let idle_ticks = u32::try_from(idle_ticks.saturating_sub(ticks_then)).ok()?;
            Some((TICK * idle_ticks).div_duration_f64(now - then))
        })
    }

    /// Begins anew with the next look.
    pub(crate) fn rest(&mut self) -> Option<f64> {
        self.before = None;
        Some(0.0)
    }
}

fn ticks() -> Option<u64> {
    parse(&fs::read_to_string("/proc/stat").ok()?)
}

/// The line of all processors counts user, nice, system, idle and time that waits for disks.
fn parse(stat: &str) -> Option<u64> {
    let mut counts = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace().skip(3);
    let mut next = || counts.next()?.parse::<u64>().ok();
    next()?.checked_add(next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_nothing_or_for_disks_is_idle() {
        let stat = "cpu  10 20 30 400 50 60 70 0 0 0\ncpu0 1 2 3 4 5 6 7 0 0 0\n";
        assert_eq!(parse(stat), Some(450));
        for broken in ["", "cpu", "cpu0 1 2 3 4 5", "cpu 1 2 3 4", "cpu 1 2 3 x 5"] {
            assert_eq!(parse(broken), None);
        }
    }

    #[test]
    fn the_first_look_tells_nothing_and_the_second_what_was_idle_between_them() {
        let mut idle = IdleTime::default();
        for _ in 0..2 {
            assert!(idle.processors().is_none_or(|processors| processors == 0.0));
            idle.before = idle.before.map(|(then, ticks)| (then - TICK * 5, ticks.saturating_sub(10)));
            assert!(idle.processors().is_none_or(|processors| (0.0..=1000.0).contains(&processors)));
            assert_eq!(idle.rest(), Some(0.0));
        }
    }
}
