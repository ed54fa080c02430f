//! One instance of a guest, and one question to it.

use wasmtime::component::HasSelf;
use wasmtime::component::Linker;
use wasmtime::{Engine, Store, Trap};

use crate::binding::martlet::plugin::host::{Host, Level};
use crate::binding::{Plugin, PluginPre};
use crate::engine::TICKS_OF_DEADLINE;
use crate::error::Failure;
use crate::limits::{Budget, Limits};

/// Lines that a guest may log for one question; more are dropped.
const LOG_LINES_MAX: u32 = 16;
/// Bytes of a line after which it is cut.
const LOG_LINE_BYTES_MAX: usize = 1024;

/// What the host knows of an instance.
pub(crate) struct Inside {
    name: Box<str>,
    budget: Budget,
    log_lines_left: u32,
}

/// A guest with a memory of its own.
pub(crate) struct Instance {
    store: Store<Inside>,
    guest: Plugin,
    limits: Limits,
}

pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Inside>> {
    let mut linker = Linker::new(engine);
    Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |inside| inside)?;
    Ok(linker)
}

impl Instance {
    /// A new instance that has answered nothing yet.
    pub(crate) fn new(pre: &PluginPre<Inside>, name: &str, limits: Limits) -> Result<Self, Failure> {
        let inside =
            Inside { name: name.into(), budget: Budget::new(&limits), log_lines_left: LOG_LINES_MAX };
        let mut store = Store::new(pre.engine(), inside);
        store.limiter(|inside| &mut inside.budget);
        refill(&mut store, &limits);
        match pre.instantiate(&mut store) {
            Ok(guest) => Ok(Self { store, guest, limits }),
            Err(error) => Err(failure(&store, &error)),
        }
    }

    /// Asks one question. After a failure the instance is of no more use.
    pub(crate) fn ask<T>(
        &mut self,
        ask: impl FnOnce(&Plugin, &mut Store<Inside>) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        refill(&mut self.store, &self.limits);
        ask(&self.guest, &mut self.store).map_err(|error| failure(&self.store, &error))
    }
}

/// Grants what one question may use.
fn refill(store: &mut Store<Inside>, limits: &Limits) {
    store.set_fuel(limits.fuel_max).expect("the engine counts fuel");
    store.set_epoch_deadline(TICKS_OF_DEADLINE + 1);
    store.set_hostcall_fuel(limits.memory_bytes_max);
    store.data_mut().log_lines_left = LOG_LINES_MAX;
}

fn failure(store: &Store<Inside>, error: &wasmtime::Error) -> Failure {
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Failure::OutOfFuel,
        Some(Trap::Interrupt) => Failure::TooLate,
        _ if store.data().budget.exceeded => Failure::OutOfMemory,
        Some(trap) => Failure::Trap(trap.to_string()),
        None => Failure::Trap(format!("{error:#}")),
    }
}

impl Host for Inside {
    fn log(&mut self, level: Level, text: String) {
        if self.log_lines_left == 0 {
            return;
        }
        self.log_lines_left -= 1;
        let (plugin, text) = (&*self.name, &text[..text.floor_char_boundary(LOG_LINE_BYTES_MAX)]);
        match level {
            Level::Debug => tracing::debug!(plugin, "{text}"),
            Level::Info => tracing::info!(plugin, "{text}"),
            Level::Warning => tracing::warn!(plugin, "{text}"),
            Level::Error => tracing::error!(plugin, "{text}"),
        }
    }
}

impl crate::binding::martlet::plugin::types::Host for Inside {}
