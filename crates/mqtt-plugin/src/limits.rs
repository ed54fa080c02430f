//! What a plug-in may use.

use std::time::Duration;

use wasmtime::ResourceLimiter;

/// What a plug-in may use. Whatever it uses up, the broker goes on: the question counts as failed.
///
/// ```
/// use mqtt_plugin::Limits;
/// let limits = Limits { memory_bytes_max: 4 << 20, ..Limits::default() };
/// assert_eq!(limits.fuel_max, 10_000_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Units for one question, about one for each instruction of WebAssembly (10,000,000, some milliseconds).
    pub fuel_max: u64,
    /// Time for one question (1 s), which counts where few instructions take long. What is under way when it has passed is
    /// ended within another quarter of it.
    pub deadline: Duration,
    /// Bytes of memory of one instance (16 MiB), and bytes of one answer. The broker has as many instances as threads.
    pub memory_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { fuel_max: 10_000_000, deadline: Duration::from_secs(1), memory_bytes_max: 16 << 20 }
    }
}

/// Elements of a table of one instance: functions that are called through a pointer.
const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Modules, memories and tables that one component may consist of.
const PARTS_MAX: usize = 32;

/// Grants an instance its memory, and remembers whether it asked for more than it may have.
#[derive(Debug)]
pub(crate) struct Budget {
    memory_bytes_left: usize,
    pub(crate) exceeded: bool,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { memory_bytes_left: limits.memory_bytes_max, exceeded: false }
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> Result<bool, wasmtime::Error> {
        let more = desired.saturating_sub(current);
        match self.memory_bytes_left.checked_sub(more) {
            Some(left) => self.memory_bytes_left = left,
            None => self.exceeded = true,
        }
        Ok(!self.exceeded)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool, wasmtime::Error> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        PARTS_MAX
    }

    fn tables(&self) -> usize {
        PARTS_MAX
    }

    fn memories(&self) -> usize {
        PARTS_MAX
    }
}
