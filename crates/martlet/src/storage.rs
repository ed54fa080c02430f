//! The data directory: where it is, and opening it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mqtt_store::durable::{OpenError, Wall};
use mqtt_store::{DurableSettings, DurableStore, Store, WriteSettings};
use tracing::{info, warn};

use crate::config::Configuration;
use crate::exit::Failure;

/// Opens what a configuration asks for; `None` if nothing outlives the process.
///
/// # Errors
/// The directory cannot be used, or what is in it is damaged.
pub(crate) fn open(configuration: &Configuration) -> Result<Option<Arc<dyn Store>>, Failure> {
    if configuration.storage.in_memory {
        info!("nothing outlives the process");
        return Ok(None);
    }
    let path = directory(configuration.storage.data_dir.as_deref())?;
    let started_at = Instant::now();
    let mut told_bytes = 0;
    let opened = DurableStore::open(&path, &settings(configuration), |bytes| {
        if bytes >= told_bytes + PROGRESS_BYTES {
            told_bytes = bytes;
            info!(mebibytes = bytes >> 20, elapsed_ms = elapsed_ms(started_at), "reading stored state");
        }
    });
    let store = opened.map_err(|error| failure(&path, &error))?;
    let report = store.report();
    for finding in &report.findings.torn {
        warn!(finding, "a write was cut off; nothing of it had been synced");
    }
    for finding in &report.findings.damaged {
        warn!(finding, "left out: damaged");
    }
    info!(
        directory = %path.display(),
        sessions = report.sessions,
        messages = report.messages,
        retained = report.retained,
        elapsed_ms = elapsed_ms(started_at),
        "stored state is here",
    );
    Ok(Some(Arc::new(store)))
}

/// Bytes between two lines that tell of progress.
const PROGRESS_BYTES: u64 = 256 << 20;

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn failure(path: &Path, error: &OpenError) -> Failure {
    let advice = match error {
        OpenError::InUse => " (give another --data-dir, or --in-memory)",
        OpenError::Medium(_) => "",
        OpenError::Damaged(_) => " (`--set storage.drop_damaged=true` starts without it)",
    };
    Failure::failed(format_args!("data directory {}: {error}{advice}", path.display()))
}

pub(crate) fn settings(configuration: &Configuration) -> DurableSettings {
    let storage = &configuration.storage;
    DurableSettings {
        write: WriteSettings {
            sync_interval: storage.sync_interval,
            space_factor: storage.space_factor.into(),
            ..WriteSettings::default()
        },
        retained: configuration.settings.retained,
        queue: configuration.settings.queue,
        memory_bytes_max: storage.memory_bytes_max,
        wall: wall(),
        drop_damaged: storage.drop_damaged,
    }
}

/// The clocks of this moment.
pub(crate) fn wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall { instant: Instant::now(), unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
}

/// The directory that was given, or the usual one.
pub(crate) fn directory(given: Option<&str>) -> Result<PathBuf, Failure> {
    if let Some(given) = given {
        return Ok(given.into());
    }
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(of_service) = variable("STATE_DIRECTORY") {
        return Ok(of_service);
    }
    let of_system = PathBuf::from("/var/lib/martlet");
    if may_write(&of_system) {
        return Ok(of_system);
    }
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
    state.map(|state| state.join("martlet")).ok_or_else(|| {
        Failure::usage("there is no usual place for the data directory: give --data-dir DIR or --in-memory")
    })
}

fn may_write(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_dir() && !metadata.permissions().readonly())
}
