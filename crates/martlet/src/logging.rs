//! Log lines on standard error: for people on a terminal, JSON elsewhere.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFilter, LogFormat, LogSettings};

/// Starts logging for the whole process. Called once; a second call would keep the first settings.
pub(crate) fn start(settings: &LogSettings) {
    let terminal = io::stderr().is_terminal();
    let text = match settings.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(settings.filter.to_env_filter())
        .with_writer(io::stderr)
        .with_ansi(colours);
    let started = if text {
        builder.finish().try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).finish().try_init()
    };
    debug_assert!(started.is_ok(), "logging is started once");
}

/// Starts logging for a tool that talks to a broker: what went wrong, or everything, or nothing, as text.
/// `RUST_LOG` overrides it.
pub(crate) fn start_for_tool(debug: bool, quiet: bool) {
    let default = match (debug, quiet) {
        (true, _) => "debug",
        (false, true) => "off",
        (false, false) => "warn",
    };
    let filter = std::env::var("RUST_LOG").ok().and_then(|text| LogFilter::parse(text).ok());
    let filter = filter.unwrap_or_else(|| LogFilter::parse(default.to_owned()).expect("a level is a filter"));
    start(&LogSettings { filter, format: LogFormat::Text });
}
