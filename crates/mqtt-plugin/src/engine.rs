//! The compiler and runtime of one plug-in, and the clock that ends what takes too long.

use std::thread;
use std::time::Duration;

use wasmtime::{Config, Engine, EngineWeak};

use crate::error::PluginError;

/// Ticks of the clock within one deadline.
pub(crate) const TICKS_OF_DEADLINE: u64 = 4;
/// So that a very short deadline does not keep a processor busy with ticking.
const TICK_MIN: Duration = Duration::from_millis(1);
/// Stack of a guest, which it uses of the thread that asks.
const STACK_BYTES_MAX: usize = 256 << 10;

/// An engine with a clock that runs as long as the engine is used.
pub(crate) fn start(deadline: Duration) -> Result<Engine, PluginError> {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .wasm_component_model(true)
        .max_wasm_stack(STACK_BYTES_MAX)
        // Where it trapped tells an operator nothing without the guest's symbols.
        .wasm_backtrace_max_frames(None);
    let engine = Engine::new(&config).map_err(system)?;
    let (tick, weak) = ((deadline / TICKS_OF_DEADLINE as u32).max(TICK_MIN), engine.weak());
    let clock = thread::Builder::new().name("plugin-clock".to_owned());
    clock.spawn(move || run(&weak, tick)).map_err(system)?;
    Ok(engine)
}

fn run(engine: &EngineWeak, tick: Duration) {
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        drop(engine);
        thread::sleep(tick);
    }
}

fn system(error: impl std::fmt::Display) -> PluginError {
    PluginError::System(format!("{error:#}"))
}
