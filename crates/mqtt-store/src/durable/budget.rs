//! Memory for the bodies of messages that a durable store has: beyond it, they are on the medium only.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::health::Health;

/// Counts bodies in memory against a bound. A message that several queues hold is counted in each.
#[derive(Debug)]
pub(crate) struct Budget {
    health: Arc<Health>,
    bytes_max: u64,
}

/// What one queue holds of the budget.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    held_bytes: usize,
    /// What the budget knows of it.
    told_bytes: usize,
}

/// A queue tells the budget only when what it holds has changed by this much, so that steady traffic does not touch
/// what all queues share.
const UNTOLD_BYTES_MAX: usize = 4096;

impl Budget {
    pub(crate) fn new(health: Arc<Health>, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { health, bytes_max: bytes_max as u64 })
    }

    /// Whether new bodies should not stay in memory.
    pub(crate) fn is_over(&self) -> bool {
        self.health.bytes_in_memory.load(Ordering::Relaxed) >= self.bytes_max
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.health.bytes_in_memory.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, bytes: usize) {
        self.health.bytes_in_memory.fetch_sub(bytes as u64, Ordering::Relaxed);
    }
}

impl Share {
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, held_bytes: 0, told_bytes: 0 }
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(crate) fn is_over(&self) -> bool {
        self.budget.is_over()
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.held_bytes += bytes;
        if self.held_bytes >= self.told_bytes + UNTOLD_BYTES_MAX {
            self.tell();
        }
    }

    pub(crate) fn remove(&mut self, bytes: usize) {
        self.held_bytes -= bytes;
        if self.held_bytes + UNTOLD_BYTES_MAX <= self.told_bytes {
            self.tell();
        }
    }

    /// Brings the budget up to date.
    pub(crate) fn tell(&mut self) {
        match self.held_bytes.checked_sub(self.told_bytes) {
            Some(more) => self.budget.add(more),
            None => self.budget.remove(self.told_bytes - self.held_bytes),
        }
        self.told_bytes = self.held_bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held_bytes = 0;
        self.tell();
    }
}
