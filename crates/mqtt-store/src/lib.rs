#![doc = include_str!("../README.md")]

pub mod durable;
mod journal;
mod memory;
mod queue;
mod retained;
mod store;

pub use durable::{
    Condition, DurableSettings, DurableStore, Health, RetainedTicket, StoreEvent, WriteSettings,
};
pub use journal::{Durability, Journal, Progress, SessionHead, SessionId, Transaction};
pub use memory::MemoryStore;
pub use queue::{MemoryQueue, Overflow, Pushed, Queue, QueueLimits};
pub use store::{
    Parked, Recovered, RetainOutcome, Retained, RetainedLimits, RetainedPage, RetainedTotals, Source, Store,
    StoreError,
};
