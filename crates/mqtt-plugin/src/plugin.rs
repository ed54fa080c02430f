//! A plug-in of a broker.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_broker::LocalClient;
use parking_lot::{Mutex, RwLock};
use wasmtime::{Engine, Store};

use crate::binding::Plugin as Guest;
use crate::binding::exports::martlet::plugin::hooks::Events;
use crate::engine;
use crate::error::{Failure, PluginError};
use crate::figures::{Counters, Figures};
use crate::instance::Inside;
use crate::limits::Limits;
use crate::loaded::Loaded;

/// Time between two lines of the log about failures.
const WARNING_INTERVAL: Duration = Duration::from_secs(1);

/// How a plug-in is run.
///
/// ```
/// use mqtt_plugin::PluginOptions;
/// let options = PluginOptions { settings: "rooms".into(), fail_open: true, ..PluginOptions::default() };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginOptions {
    /// What it is told at its start; what that means is its own affair.
    pub settings: String,
    /// What it may use.
    pub limits: Limits,
    /// What a question counts as that it does not answer: as if there were no plug-in (`true`), or as refused with reason 0x83
    /// (`false`, the default).
    pub fail_open: bool,
}

/// A WebAssembly component that answers questions of a broker, as a hook for
/// [`Builder::hook`](mqtt_broker::Builder::hook).
///
/// ```no_run
/// use std::sync::Arc;
/// use mqtt_broker::Broker;
/// use mqtt_plugin::{Plugin, PluginOptions};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let plugin = Arc::new(Plugin::open("rooms.wasm", PluginOptions::default())?);
/// let broker = Broker::builder().hook(plugin.clone()).start().await?;
/// // Later, with a new version in the file; nobody is disconnected.
/// tokio::task::spawn_blocking(move || plugin.reload()).await??;
/// # Ok(()) }
/// ```
pub struct Plugin {
    name: Box<str>,
    path: Option<PathBuf>,
    options: PluginOptions,
    engine: Engine,
    /// What the first version wants to be asked, and later ones may.
    pub(crate) events: Events,
    current: RwLock<Arc<Loaded>>,
    counters: Counters,
    /// When a failure was logged last.
    warned: Mutex<Option<Instant>>,
    /// The voice in which the figures go to the `$SYS` tree, while the broker runs.
    pub(crate) voice: Mutex<Option<LocalClient>>,
}

/// A new version that has started and is not asked yet.
#[must_use = "nobody asks it before it is taken over"]
pub struct PreparedPlugin(Option<Arc<Loaded>>);

impl Plugin {
    /// Reads, compiles and starts a plug-in, which takes from some milliseconds to seconds. Its name is that of the file without
    /// `.wasm`.
    ///
    /// # Errors
    /// The file cannot be read, is no component for this interface, or the plug-in refuses to start.
    pub fn open(path: impl AsRef<Path>, options: PluginOptions) -> Result<Self, PluginError> {
        let path = path.as_ref();
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
        let bytes = read(path)?;
        Ok(Self { path: Some(path.to_owned()), ..Self::from_bytes(&name, &bytes, options)? })
    }

    /// The same for a component that is in memory, with any name for logs and figures.
    ///
    /// # Errors
    /// It is no component for this interface, or refuses to start.
    pub fn from_bytes(name: &str, bytes: &[u8], options: PluginOptions) -> Result<Self, PluginError> {
        let engine = engine::start(options.limits.deadline)?;
        let loaded = Loaded::new(&engine, name, bytes, &options)?;
        Ok(Self {
            name: name.into(),
            path: None,
            options,
            engine,
            events: loaded.events,
            current: RwLock::new(Arc::new(loaded)),
            counters: Counters::default(),
            warned: Mutex::default(),
            voice: Mutex::default(),
        })
    }

    /// What logs and figures call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it was read from.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What was counted so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.counters.snapshot()
    }

    /// Whether a question that it does not answer counts as if it were not there.
    #[must_use]
    pub fn fails_open(&self) -> bool {
        self.options.fail_open
    }

    /// Reads the file again and asks the new version from now on; questions under way are answered by the old one. Nobody
    /// is disconnected. Takes as long as [`open`](Self::open), so it belongs on a thread that may block. Does nothing to
    /// a plug-in that came from memory.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`PluginError::MoreEvents`]. The old version stays.
    pub fn reload(&self) -> Result<(), PluginError> {
        self.take_over(self.prepare()?);
        Ok(())
    }

    /// The first half of [`reload`](Self::reload): reads the file again and starts the new version, which nobody asks
    /// before it is [taken over](Self::take_over). So several things can change together or not at all.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub fn prepare(&self) -> Result<PreparedPlugin, PluginError> {
        let Some(path) = &self.path else { return Ok(PreparedPlugin(None)) };
        let loaded = read(path).and_then(|bytes| self.new_version(&bytes));
        let loaded = loaded.inspect_err(|_| self.counters.reload(false))?;
        Ok(PreparedPlugin(Some(Arc::new(loaded))))
    }

    fn new_version(&self, bytes: &[u8]) -> Result<Loaded, PluginError> {
        let loaded = Loaded::new(&self.engine, &self.name, bytes, &self.options)?;
        if self.events.contains(loaded.events) { Ok(loaded) } else { Err(PluginError::MoreEvents) }
    }

    /// Asks the version that was prepared from now on.
    pub fn take_over(&self, prepared: PreparedPlugin) {
        if let Some(loaded) = prepared.0 {
            *self.current.write() = loaded;
            self.counters.reload(true);
        }
    }

    /// Asks a question. A failure is counted and logged here.
    pub(crate) fn ask<T>(
        &self,
        ask: impl FnOnce(&Guest, &mut Store<Inside>) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        self.counters.question();
        let current = self.current.read().clone();
        current.ask(ask).inspect_err(|failure| self.note(failure))
    }

    /// Clients may be able to make a plug-in fail, and must not be able to fill the log: one line in a while.
    #[cold]
    pub(crate) fn note(&self, failure: &Failure) {
        self.counters.failure(failure);
        let now = Instant::now();
        let mut warned = self.warned.lock();
        if warned.is_none_or(|last| now.duration_since(last) >= WARNING_INTERVAL) {
            *warned = Some(now);
            drop(warned);
            tracing::warn!(plugin = &*self.name, %failure, "a plug-in did not answer a question");
        }
    }

    /// Whether the version that runs wants to be asked.
    pub(crate) fn wants(&self, event: Events) -> bool {
        self.current.read().events.contains(event)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PluginError> {
    std::fs::read(path).map_err(|error| PluginError::Read(path.to_owned(), error))
}

impl fmt::Debug for PreparedPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PreparedPlugin").field(&self.0.is_some()).finish()
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name).finish_non_exhaustive()
    }
}
