//! The store in memory passes the suite.

mod suite;

use mqtt_store::{MemoryStore, RetainedLimits, Store};

fn open(limits: RetainedLimits) -> Box<dyn Store> {
    Box::new(MemoryStore::new(limits))
}

suite::store_suite!(crate::open);
