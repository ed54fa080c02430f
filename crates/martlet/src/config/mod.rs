//! The configuration of `martlet serve`: texts are resolved against one table of options into typed values.

mod authentication;
mod changes;
mod listener_table;
mod listeners;
mod owner;
mod plugins;
mod print;
mod problem;
mod resolve;
mod settings;
mod table;
mod text;
mod value;

#[cfg(test)]
mod fuzz_case;
#[cfg(test)]
mod tests;

pub(crate) use changes::needing_restart;
pub(crate) use plugins::PluginSettings;
pub(crate) use print::{effective, example, reference};
pub(crate) use problem::SourceText;
pub(crate) use resolve::Draft;
pub(crate) use settings::{Configuration, ListenerEntry, LogFilter, LogFormat, LogSettings};
pub(crate) use value::{Choice, Refusal, Setting, Value, each};
