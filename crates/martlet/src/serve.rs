//! `martlet serve`: from a configuration to a running broker, and back down.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use mqtt_broker::Broker;
use mqtt_store::Store;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::access::{self, Guard};
use crate::cli::{self, ServeArguments};
use crate::config::{self, Configuration};
use crate::crew::Crew;
use crate::exit::Failure;
use crate::plugins::Plugins;
use crate::reload::Running;
use crate::{activation, logging, open_files, output, service, storage};

/// Runs the broker until a signal ends it.
///
/// # Errors
/// A wrong configuration, an address that cannot be opened, a file that cannot be written.
pub(crate) fn run(arguments: &ServeArguments) -> Result<(), Failure> {
    let mut configuration = cli::configuration(arguments, |name| std::env::var(name).ok())?;
    if arguments.print_config {
        return output::print(&config::effective(&configuration));
    }
    let loaded = access::load(&configuration.access).map_err(|errors| Failure {
        exit: crate::exit::Exit::Usage,
        message: errors.iter().map(|error| format!("error: {error}")).collect::<Vec<_>>().join("\n"),
    })?;
    logging::start(&configuration.log);
    let started_with = configuration.clone();
    activation::hand_over(&mut configuration.listeners)?;
    loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
    let guard = Arc::new(Guard::new(&configuration.access, loaded).map_err(Failure::failed)?);
    let plugins = Plugins::open(&configuration.plugins)?;
    open_files::make_room(&mut configuration.settings.limits.connections_max);
    let runtime = runtime(configuration.runtime.worker_threads).map_err(Failure::failed)?;
    let watch = || Crew::watch(runtime.handle());
    let crew = configuration.runtime.elastic.then(watch).transpose().map_err(Failure::failed)?;
    let ended = runtime.block_on(serve(configuration, &started_with, guard, &plugins, arguments));
    drop(crew);
    // Whatever a second signal left unfinished is not waited for.
    runtime.shutdown_background();
    ended
}

fn runtime(worker_threads: usize) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if worker_threads > 0 {
        builder.worker_threads(worker_threads);
    }
    builder.thread_name("martlet").enable_all().build()
}

async fn serve(
    configuration: Configuration,
    started_with: &Configuration,
    guard: Arc<Guard>,
    plugins: &Plugins,
    arguments: &ServeArguments,
) -> Result<(), Failure> {
    let addresses_file = arguments.print_addresses.as_deref();
    // Taken before the listeners open: from the first connection on, a signal shuts down gracefully.
    let mut signals = Signals::take().map_err(Failure::failed)?;
    let opened = tokio::select! {
        opened = open_store(&configuration) => opened?,
        name = signals.next() => {
            info!(signal = name, "ended while stored state was read");
            return Ok(());
        }
    };
    let broker = start(configuration, opened, guard.clone(), plugins).await?;
    let addresses: Vec<String> = broker.addresses().iter().map(ToString::to_string).collect();
    if let Some(path) = addresses_file {
        let written = write_whole(path, &(addresses.join("\n") + "\n"));
        written.map_err(|error| Failure::failed(format_args!("{}: {error}", path.display())))?;
    }
    for url in &addresses {
        info!(%url, "listening");
    }
    plugins.watch();
    service::ready();
    let name =
        signals.next_end(&Running { broker: &broker, guard: &guard, plugins, arguments, started_with }).await;
    info!(signal = name, "shutting down; a second signal ends at once");
    service::stopping();
    tokio::select! {
        () = broker.shutdown() => {
            info!("shut down");
            Ok(())
        }
        name = signals.next() => Err(Failure::failed(format_args!("{name}: ended before the shutdown was complete"))),
    }
}

/// Reads stored state on a thread of its own, which may take seconds.
async fn open_store(configuration: &Configuration) -> Result<Option<Arc<dyn Store>>, Failure> {
    let configuration = configuration.clone();
    let opening = tokio::task::spawn_blocking(move || storage::open(&configuration));
    opening.await.expect("opening does not panic")
}

async fn start(
    configuration: Configuration,
    store: Option<Arc<dyn Store>>,
    guard: Arc<Guard>,
    plugins: &Plugins,
) -> Result<Broker, Failure> {
    let bans = guard.bans();
    let builder = Broker::builder().settings(configuration.settings).access(guard).bans(bans);
    let mut builder = plugins.hook_into(builder);
    if let Some(store) = store {
        builder = builder.store(store);
    }
    for entry in configuration.listeners {
        builder = builder.listen(entry.into_settings());
    }
    builder.start().await.map_err(Failure::failed)
}

/// The signals that ask for the end.
#[derive(Debug)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn take() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal that asks for the end; until then, each SIGHUP makes the broker read its files again.
    async fn next_end(&mut self, running: &Running<'_>) -> &'static str {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.hangup.recv() => {
                    service::reloading();
                    running.reload().await;
                    service::ready();
                }
            }
        }
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Writes a file so that a reader sees all of it or nothing.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}
