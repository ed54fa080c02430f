//! What is counted of a plug-in.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::Failure;

/// What was counted of a plug-in since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// Questions that it was asked.
    pub questions: u64,
    /// Those that it answered with a trap.
    pub traps: u64,
    /// Those for which its fuel did not suffice.
    pub out_of_fuel: u64,
    /// Those for which its time did not suffice.
    pub too_late: u64,
    /// Those for which its memory did not suffice.
    pub out_of_memory: u64,
    /// Those that it answered with what is no answer.
    pub nonsense: u64,
    /// New versions that were taken over.
    pub reloads: u64,
    /// New versions that could not be used.
    pub failed_reloads: u64,
}

impl Figures {
    /// Questions that were not answered, for whatever reason.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.traps + self.out_of_fuel + self.too_late + self.out_of_memory + self.nonsense
    }

    /// All figures with their names, as the `$SYS` tree shows them.
    pub(crate) fn named(&self) -> [(&'static str, u64); 8] {
        [
            ("questions", self.questions),
            ("traps", self.traps),
            ("out-of-fuel", self.out_of_fuel),
            ("too-late", self.too_late),
            ("out-of-memory", self.out_of_memory),
            ("nonsense", self.nonsense),
            ("reloads", self.reloads),
            ("failed-reloads", self.failed_reloads),
        ]
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    questions: AtomicU64,
    traps: AtomicU64,
    out_of_fuel: AtomicU64,
    too_late: AtomicU64,
    out_of_memory: AtomicU64,
    nonsense: AtomicU64,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
}

impl Counters {
    pub(crate) fn question(&self) {
        self.questions.fetch_add(1, Relaxed);
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        let counter = match failure {
            Failure::Trap(_) => &self.traps,
            Failure::OutOfFuel => &self.out_of_fuel,
            Failure::TooLate => &self.too_late,
            Failure::OutOfMemory => &self.out_of_memory,
            Failure::Nonsense(_) => &self.nonsense,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn reload(&self, succeeded: bool) {
        let counter = if succeeded { &self.reloads } else { &self.failed_reloads };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Figures {
        Figures {
            questions: self.questions.load(Relaxed),
            traps: self.traps.load(Relaxed),
            out_of_fuel: self.out_of_fuel.load(Relaxed),
            too_late: self.too_late.load(Relaxed),
            out_of_memory: self.out_of_memory.load(Relaxed),
            nonsense: self.nonsense.load(Relaxed),
            reloads: self.reloads.load(Relaxed),
            failed_reloads: self.failed_reloads.load(Relaxed),
        }
    }
}
