//! How many threads shall work.

use std::time::Duration;

/// What the threads did between two looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) elapsed: Duration,
    /// The time for which threads were busy, together.
    pub(crate) busy: Duration,
    /// Threads that were in the middle of one task all the time.
    pub(crate) held: usize,
    /// Threads that rest.
    pub(crate) resting: usize,
    /// Processors that nobody used, if the system tells.
    pub(crate) idle_processors: Option<f64>,
}

impl Sample {
    /// Threads that were busy, on average.
    fn load(&self) -> f64 {
        self.busy.div_duration_f64(self.elapsed) + as_f64(self.held)
    }

    /// Whether another thread would gain something; it is assumed where the system does not tell.
    fn has_idle_processor(&self) -> bool {
        self.idle_processors.is_none_or(|idle| idle >= IDLE_MIN)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// So many more shall rest.
    Rest(usize),
    /// So many shall work again.
    Work(usize),
    Stay,
}

#[derive(Debug)]
pub(crate) struct Judge {
    threads: usize,
    /// How long fewer threads would have done.
    slack: Duration,
    /// How long those at work have had no time left.
    strained: Duration,
    /// For how long they must have none before another helps.
    strain_min: Duration,
    /// Time since another was called to help.
    since_help: Duration,
    is_quiet: bool,
}

/// The time between two looks, while there is much and little to do.
const LOOK: Duration = Duration::from_millis(50);
const LOOK_QUIET: Duration = Duration::from_millis(250);
/// Threads that are busy for this part of their time have none left.
const FULL: f64 = 0.9;
/// One thread fewer would do if the rest were busy for less than this part of their time.
const SPARE: f64 = 0.85;
/// The same while no processor is idle: threads that take turns on too few processors are busy with each other.
const SPARE_CROWDED: f64 = 0.97;
/// A part of a processor that has to be idle for another thread to gain something by it.
const IDLE_MIN: f64 = 0.5;
/// How long fewer threads would have to do before one rests.
const SLACK: Duration = Duration::from_millis(200);
/// How long those at work have no time left before another helps, at first; doubled while that help is not needed for long.
const STRAIN_MIN: Duration = Duration::from_millis(50);
const STRAIN_MAX: Duration = Duration::from_secs(30);
/// Help that is needed for longer than this was rightly called.
const RIGHT: Duration = Duration::from_secs(2);

impl Judge {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            threads,
            slack: Duration::ZERO,
            strained: Duration::ZERO,
            strain_min: STRAIN_MIN,
            since_help: Duration::MAX,
            is_quiet: false,
        }
    }

    /// The time until the next look.
    pub(crate) fn patience(&self) -> Duration {
        if self.is_quiet { LOOK_QUIET } else { LOOK }
    }

    /// Whether those at work have no time left while others rest.
    pub(crate) fn is_full(&self, sample: &Sample) -> bool {
        sample.resting > 0 && sample.load() >= FULL * as_f64(self.threads.saturating_sub(sample.resting))
    }

    /// Whether it matters for the verdict how many processors are idle.
    pub(crate) fn is_close(&self, sample: &Sample) -> bool {
        let fewer = as_f64(self.threads.saturating_sub(sample.resting + 1));
        self.is_full(sample) || (SPARE * fewer..SPARE_CROWDED * fewer).contains(&sample.load())
    }

    pub(crate) fn decide(&mut self, sample: &Sample) -> Verdict {
        let working = self.threads.saturating_sub(sample.resting);
        let load = sample.load();
        self.since_help = self.since_help.saturating_add(sample.elapsed);
        self.is_quiet = load < 0.1 && working == 1;
        if sample.resting > 0 && (sample.held >= working || self.is_strained(sample)) {
            return self.call_help(sample, working);
        }
        let spare = if sample.has_idle_processor() { SPARE } else { SPARE_CROWDED };
        let would_do = load < spare * as_f64(working - 1);
        self.slack = if would_do { self.slack + sample.elapsed } else { Duration::ZERO };
        if self.slack < SLACK {
            return Verdict::Stay;
        }
        self.send_some(working, load / spare)
    }

    fn is_strained(&mut self, sample: &Sample) -> bool {
        let strained = self.is_full(sample) && sample.has_idle_processor();
        self.strained = if strained { self.strained + sample.elapsed } else { Duration::ZERO };
        self.strained >= self.strain_min
    }

    /// As many again help, no more than there are processors for them.
    fn call_help(&mut self, sample: &Sample, working: usize) -> Verdict {
        (self.slack, self.strained, self.since_help) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let processors = sample.idle_processors.map_or(working, |idle| idle.round() as usize);
        Verdict::Work(working.min(processors).clamp(1, sample.resting))
    }

    /// Half of those who are too many rest.
    fn send_some(&mut self, working: usize, needed: f64) -> Verdict {
        let was_right = self.since_help > RIGHT;
        self.strain_min = if was_right { STRAIN_MIN } else { (self.strain_min * 2).min(STRAIN_MAX) };
        (self.slack, self.since_help) = (Duration::ZERO, Duration::MAX);
        let needed = needed.ceil().max(1.0) as usize;
        Verdict::Rest((working - needed).div_ceil(2).max(1))
    }
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Threads that were busy, and processors that were idle, while so many rest.
    fn sample(load: f64, resting: usize, idle: f64) -> Sample {
        let elapsed = LOOK;
        Sample { elapsed, busy: elapsed.mul_f64(load), held: 0, resting, idle_processors: Some(idle) }
    }

    /// The verdicts of so long.
    fn verdicts(judge: &mut Judge, sample: Sample, time: Duration) -> Vec<Verdict> {
        let looks = time.as_millis() / LOOK.as_millis();
        let all = (0..looks).map(|_| judge.decide(&sample));
        all.filter(|verdict| *verdict != Verdict::Stay).collect()
    }

    #[test]
    fn threads_rest_by_halves_once_fewer_would_do_for_a_while() {
        let mut judge = Judge::new(16);
        assert!(verdicts(&mut judge, sample(2.0, 0, 14.0), SLACK - LOOK).is_empty());
        for (resting, more) in [(0, 7), (7, 3), (10, 2), (12, 1)] {
            assert_eq!(verdicts(&mut judge, sample(2.0, resting, 14.0), SLACK), [Verdict::Rest(more)]);
        }
        assert!(verdicts(&mut judge, sample(2.0, 13, 14.0), SECOND).is_empty());
    }

    #[test]
    fn one_rests_as_well_that_would_only_take_turns_with_the_others_on_processors_that_are_all_in_use() {
        let mut judge = Judge::new(2);
        assert!(judge.is_close(&sample(0.9, 0, 0.3)) && !judge.is_close(&sample(0.5, 0, 0.3)));
        assert!(verdicts(&mut judge, sample(0.9, 0, 0.6), SECOND).is_empty());
        assert!(verdicts(&mut judge, sample(0.98, 0, 0.3), SECOND).is_empty());
        assert_eq!(verdicts(&mut judge, sample(0.9, 0, 0.3), SLACK), [Verdict::Rest(1)]);
        assert!(verdicts(&mut judge, sample(0.98, 1, 0.1), SECOND).is_empty());
    }

    #[test]
    fn one_always_works() {
        let mut judge = Judge::new(2);
        assert_eq!(verdicts(&mut judge, sample(0.0, 0, 2.0), SLACK), [Verdict::Rest(1)]);
        assert!(verdicts(&mut judge, sample(0.0, 1, 2.0), SECOND).is_empty());
    }

    #[test]
    fn help_comes_when_those_at_work_have_no_time_left_and_a_processor_has() {
        let mut judge = Judge::new(16);
        assert!(verdicts(&mut judge, sample(0.8, 15, 15.0), SECOND).is_empty());
        assert!(verdicts(&mut judge, sample(0.97, 15, 0.2), SECOND).is_empty());
        assert_eq!(judge.decide(&sample(0.97, 15, 0.6)), Verdict::Work(1));
        assert_eq!(judge.decide(&sample(3.9, 12, 12.0)), Verdict::Work(4));
        assert_eq!(judge.decide(&sample(7.9, 8, 3.0)), Verdict::Work(3));
        let unknown = Sample { idle_processors: None, ..sample(1.0, 1, 0.0) };
        assert_eq!(Judge::new(2).decide(&unknown), Verdict::Work(1));
    }

    #[test]
    fn help_comes_at_once_when_all_at_work_are_held_up() {
        let held = Sample { held: 1, ..sample(0.0, 1, 0.0) };
        assert_eq!(Judge::new(2).decide(&held), Verdict::Work(1));
    }

    #[test]
    fn help_that_was_not_needed_for_long_is_not_called_as_soon_again() {
        let mut judge = Judge::new(2);
        let (full, slack) = (sample(0.97, 1, 1.0), sample(0.5, 0, 1.0));
        for looks in [1, 2, 4, 8] {
            for _ in 1..looks {
                assert_eq!(judge.decide(&full), Verdict::Stay);
            }
            assert_eq!(judge.decide(&full), Verdict::Work(1));
            assert_eq!(verdicts(&mut judge, slack, SLACK), [Verdict::Rest(1)]);
        }
        assert_eq!(verdicts(&mut judge, full, SECOND), [Verdict::Work(1)]);
        assert!(verdicts(&mut judge, sample(1.5, 0, 0.5), RIGHT * 2).is_empty());
        assert_eq!(verdicts(&mut judge, slack, SLACK), [Verdict::Rest(1)]);
        assert_eq!(judge.decide(&full), Verdict::Work(1));
    }

    #[test]
    fn it_looks_less_often_while_there_is_little_to_do() {
        let mut judge = Judge::new(2);
        assert_eq!(judge.patience(), LOOK);
        judge.decide(&sample(0.01, 1, 2.0));
        assert_eq!(judge.patience(), LOOK_QUIET);
        judge.decide(&sample(0.5, 1, 1.5));
        assert_eq!(judge.patience(), LOOK);
    }
}
