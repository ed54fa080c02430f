//! The durable store, on a medium in memory.

mod suite;

use std::sync::Arc;
use std::time::Instant;

use mqtt_store::durable::Wall;
use mqtt_store::durable::simulated::SimulatedMedium;
use mqtt_store::{DurableSettings, DurableStore, QueueLimits, RetainedLimits, Store, WriteSettings};

fn open(limits: RetainedLimits) -> Box<dyn Store> {
    let settings = DurableSettings {
        write: WriteSettings::default(),
        retained: limits,
        queue: QueueLimits::default(),
        wall: Wall { instant: Instant::now(), unix_ms: 1_700_000_000_000 },
        drop_damaged: false,
    };
    Box::new(DurableStore::open_inline(Arc::new(SimulatedMedium::new()), &settings).expect("an empty medium"))
}

suite::store_suite!(crate::open);
