#![doc = include_str!("../README.md")]

mod binding;
mod convert;
mod engine;
mod error;
mod figures;
mod hooks;
mod instance;
mod limits;
mod loaded;
mod plugin;
mod watch;

pub use error::{Failure, PluginError};
pub use figures::Figures;
pub use limits::Limits;
pub use plugin::{Plugin, PluginOptions, PreparedPlugin};
