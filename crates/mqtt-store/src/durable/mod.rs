//! A store that outlives the process: everything is appended to segments, and an image of what they amount to is
//! kept in memory.

mod image;
mod medium;
mod queue;
mod record;
mod recovery;
mod segments;
pub mod simulated;
mod store;
mod tools;
mod wall;
mod wills;
mod writer;

pub use medium::{Directory, Medium, MediumFile};
pub use recovery::{OpenError, Report};
pub use segments::Findings;
pub use store::{DurableSettings, DurableStore};
pub use tools::{Dumped, dump, verify};
pub use wall::Wall;
pub use writer::{Condition, Health, WriteSettings};
