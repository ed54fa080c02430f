#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod exact;
mod filter;
mod filter_tree;
mod id_index;
mod inline_vec;
mod interner;
mod mountpoint;
mod name;
mod name_levels;
mod name_tree;
mod order;
mod relation;
mod skip;
mod slab;
mod subscribers;
mod trie;

pub use error::TopicError;
pub use filter::TopicFilter;
pub use filter_tree::FilterTree;
pub use mountpoint::{Mountpoint, MountpointError, Unmountable};
pub use name::TopicName;
pub use name_tree::{NameTree, Scanned};

/// Longest topic name or topic filter in bytes of UTF-8, a share prefix included (section 4.7.3).
pub const TOPIC_BYTES_MAX: usize = 65_535;
