//! A whole broker over pipes in memory, with the clock under control: what it promises beyond the standard.
//!
//! The tests of the invariants in `docs/ARCHITECTURE.md` are named `invariant_N_…`.

mod admission;
mod back_pressure;
mod bans;
mod bursts;
mod certificates;
mod clocks;
mod consulting;
mod figures;
mod groups;
#[path = "../conformance/harness.rs"]
#[allow(dead_code, reason = "the conformance tests use the rest")]
mod harness;
mod hooks;
mod hostile;
mod injecting;
mod invariants;
mod limits;
mod listeners;
mod local;
mod log;
mod mountpoints;
mod nodes;
mod nonsense;
mod offline;
mod panics;
mod reauthentication;
mod renewals;
mod replay;
mod restarts;
mod reviews;
mod rights;
mod stalling;
mod stopping;
mod storms;
mod sys_tree;
mod tasks;
mod wires;
