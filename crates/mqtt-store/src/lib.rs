#![doc = include_str!("../README.md")]

mod memory;
mod queue;
mod store;

pub use memory::MemoryStore;
pub use queue::{MemoryQueue, Overflow, Pushed, Queue, QueueLimits};
pub use store::{
    Parked, RetainOutcome, Retained, RetainedLimits, RetainedPage, RetainedTotals, Store, StoreError,
};
