//! A store that outlives the process.
//!
//! Everything is appended to segments: files of some megabytes that hold frames, one for each write, with a checksum.
//! A frame holds records, each with a version. A message is one record however many sessions it waits for; each of
//! them has a short record that refers to it. An image of what all records amount to is kept in memory; it is made
//! anew from the segments when the store is opened.
//!
//! When the segments hold much more than is needed, what is needed of the oldest one is written again at the end and
//! the segment is removed. Because it is always the oldest, records that say that something is gone need not be kept:
//! whatever they speak of was in segments that have gone before.

mod backup;
mod budget;
mod export;
mod health;
mod image;
mod import;
mod item;
mod live;
mod loader;
mod medium;
mod orders;
mod places;
mod queue;
mod record;
mod recovery;
mod replay;
mod rounds;
mod segments;
pub mod simulated;
mod store;
mod syncer;
mod tools;
mod wall;
mod wills;
mod writer;

pub use backup::{BackedUp, backup};
pub use export::export;
pub use health::{Condition, Health, StoreEvent};
pub use import::{ImportError, Importer};
pub use item::{CopyItem, Item, MessageItem};
pub use medium::{Directory, Medium, MediumFile};
pub use recovery::{OpenError, Report};
pub use replay::RetainedTicket;
pub use segments::Findings;
pub use store::{DurableSettings, DurableStore};
pub use tools::{Dumped, dump, verify};
pub use wall::Wall;
pub use writer::WriteSettings;
