//! What the broker may take from the allocator: bytes that it holds, and allocations on the way of a message.
//!
//! The allocator counts for the whole process, so these tests run one after the other.

mod allocations;
mod client;
mod hostile;
mod memory;

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mqtt_broker::{Broker, ListenerSettings, Settings};
use mqtt_testkit::{ConnectBuilder, connect};
use mqtt_transport::Url;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::{Builder, Runtime};

use client::Client;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static ALONE: Mutex<()> = Mutex::new(());

/// A broker on a real socket with one thread of its own, and nobody else at the allocator.
struct House {
    broker: Broker,
    runtime: Runtime,
    _alone: MutexGuard<'static, ()>,
}

impl House {
    fn open() -> Self {
        Self::with_listeners([ListenerSettings::new(Url::parse("tcp://127.0.0.1:0").expect("an address"))])
    }

    fn with_listeners(listeners: impl IntoIterator<Item = ListenerSettings>) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread");
        let mut settings = Settings::default();
        settings.sys.interval = None;
        let builder = Broker::builder().settings(settings);
        let builder =
            listeners.into_iter().fold(builder, |it, listener| it.listen(listener.allow_anonymous()));
        let broker = runtime.block_on(builder.start()).expect("the broker starts");
        Self { broker, runtime, _alone: alone }
    }

    /// A client with a clean session.
    fn connect(&self, client_id: &str, keep_alive_s: u16) -> Client {
        self.connect_as(connect(client_id).keep_alive_s(keep_alive_s))
    }

    fn connect_as(&self, client: ConnectBuilder) -> Client {
        let url = &self.broker.addresses()[0];
        Client::connect((url.host(), url.port()), client)
    }

    /// Waits until the broker's only thread has left the tasks that it was busy with, and has let go of what it
    /// no longer needs.
    fn settle(&self) {
        for _ in 0..3 {
            self.runtime.block_on(self.runtime.spawn(async {})).expect("nothing panics");
        }
    }

    /// Allocations so far, growing ones included, once the broker is idle.
    fn allocations(&self) -> usize {
        self.settle();
        let stats = ALLOCATOR.stats();
        stats.allocations + stats.reallocations
    }

    /// Bytes that are allocated once the broker is idle.
    fn bytes_held(&self) -> usize {
        self.settle();
        let stats = ALLOCATOR.stats();
        stats.bytes_allocated - stats.bytes_deallocated
    }
}
