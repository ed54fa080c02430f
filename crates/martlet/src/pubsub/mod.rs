//! `martlet pub`, `martlet sub` and `martlet request`: a client for scripts and people.

mod args;
mod format;
mod json;
mod link;
mod options;
mod payload;
mod printer;
mod properties;
mod publish;
mod render;
mod request;
mod subscribe;
mod target;

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use mqtt_topic::TopicError;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use properties::join_parts;
pub(crate) use publish::PublishArguments;
pub(crate) use request::RequestArguments;
pub(crate) use subscribe::SubscribeArguments;

use crate::exit::{Exit, Failure};
use crate::logging;
use args::ConnectionArguments;
use link::{Link, WhenLost};
use options::ConnectionOptions;

/// One of the three tools, with its arguments.
pub(crate) enum Tool<'a> {
    Publish(&'a PublishArguments),
    Subscribe(&'a SubscribeArguments),
    Request(&'a RequestArguments),
}

/// Runs a tool to its end, on this thread.
///
/// # Errors
/// Whatever kept it from its work; `--quiet` leaves only the exit code of it.
pub(crate) fn run(tool: &Tool<'_>) -> Result<(), Failure> {
    let connection = match tool {
        Tool::Publish(arguments) => &arguments.connection,
        Tool::Subscribe(arguments) => &arguments.connection,
        Tool::Request(arguments) => &arguments.connection,
    };
    logging::start_for_tool(connection.debug, connection.quiet);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::failed)?;
    let ended = runtime.block_on(async {
        match tool {
            Tool::Publish(arguments) => publish::run(arguments).await,
            Tool::Subscribe(arguments) => subscribe::run(arguments).await,
            Tool::Request(arguments) => request::run(arguments).await,
        }
    });
    let is_told = |failure: &Failure| failure.exit == Exit::Usage || !connection.quiet;
    ended.map_err(|failure| if is_told(&failure) { failure } else { failure.silent() })
}

async fn open(arguments: &ConnectionArguments, when_lost: WhenLost) -> Result<Link, Failure> {
    let options = ConnectionOptions::new(arguments, unique_name).map_err(Failure::usage)?;
    Link::open(options, when_lost).await
}

/// The topic of `-t`, else the one of the URL.
fn checked_topic<'a, T>(
    given: Option<&'a str>,
    connection: &'a ConnectionArguments,
    parse: impl FnOnce(&'a str) -> Result<T, TopicError>,
) -> Result<String, Failure> {
    let of_url = connection.url.as_ref().and_then(|target| target.topic.as_deref());
    let topic =
        given.or(of_url).ok_or_else(|| Failure::usage("a topic is missing: use -t, or -L with a topic"))?;
    parse(topic).map_err(|error| Failure::usage(format_args!("topic {topic:?}: {error}")))?;
    Ok(topic.to_owned())
}

/// A name that nobody else has: the standard library's hasher is seeded by the system's randomness. Short enough for a
/// client identifier of MQTT 3.1.
fn unique_name() -> String {
    format!("martlet-{:015x}", RandomState::new().hash_one(std::process::id()) >> 4)
}

/// Does the work until it is done, the time is over, or a signal asks for the end.
async fn until_stopped(
    timeout: Option<Duration>,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::failed)?;
    let time_is_over = async {
        match timeout {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        done = work => done,
        () = time_is_over => Err(subscribe::timed_out()),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}
