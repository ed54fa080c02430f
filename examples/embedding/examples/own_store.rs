//! A store of the program's own: retained messages in a text file, one line each, everything else in memory. A store
//! that writes to a disk in earnest hands that to a thread of its own, as `DurableStore` does.
//!
//! `cargo run -p embedding-examples --example own_store`

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use mqtt_broker::session::NO_PUBLISHER;
use mqtt_broker::store::{Parked, Queue, RetainOutcome, Retained, RetainedPage, RetainedTotals, StoreError};
use mqtt_broker::{
    Broker, MemoryStore, Message, Properties, QoS, QueueLimits, RetainedLimits, Store, TopicFilter, TopicName,
};
use parking_lot::Mutex;

#[derive(Debug)]
struct TextFile {
    path: PathBuf,
    memory: MemoryStore,
    /// One writer at a time.
    writing: Mutex<()>,
}

impl TextFile {
    fn open(path: &Path) -> io::Result<Self> {
        let memory = MemoryStore::new(RetainedLimits::default());
        let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
        for (topic, payload) in text.lines().filter_map(|line| line.split_once('\t')) {
            let topic = TopicName::parse(topic).map_err(|_| io::ErrorKind::InvalidData)?;
            let message = Message::new(topic, Properties::EMPTY, payload.as_bytes(), NO_PUBLISHER, None);
            let kept = memory.retain(Retained { message, qos: QoS::AtLeastOnce, source: None });
            kept.map_err(io::Error::other)?;
        }
        Ok(Self { path: path.to_owned(), memory, writing: Mutex::default() })
    }

    /// Writes all of it anew, beside the file, and puts it in its place.
    fn write(&self) -> io::Result<()> {
        let _one = self.writing.lock();
        let everything = TopicFilter::parse("#").expect("a filter");
        let (mut text, mut after) = (String::new(), None);
        loop {
            let page = self.memory.scan_retained(&everything, after.as_ref(), 100, Instant::now());
            let page = page.map_err(io::Error::other)?;
            for Retained { message, .. } in page.messages {
                let payload = String::from_utf8_lossy(message.payload()).replace(['\n', '\t'], " ");
                text += &format!("{}\t{payload}\n", message.topic());
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let beside = self.path.with_extension("new");
        fs::write(&beside, text)?;
        fs::rename(beside, &self.path)
    }
}

impl Store for TextFile {
    fn retain(&self, retained: Retained) -> Result<RetainOutcome, StoreError> {
        let outcome = self.memory.retain(retained)?;
        self.write().map_err(|_| StoreError::Unavailable)?;
        Ok(outcome)
    }

    fn scan_retained(
        &self,
        filter: &TopicFilter<&str>,
        after: Option<&TopicName<Box<str>>>,
        messages_max: usize,
        now: Instant,
    ) -> Result<RetainedPage, StoreError> {
        self.memory.scan_retained(filter, after, messages_max, now)
    }

    fn retained_totals(&self) -> RetainedTotals {
        self.memory.retained_totals()
    }

    fn expire_retained(&self, now: Instant) -> Vec<Box<str>> {
        self.memory.expire_retained(now)
    }

    fn next_retained_expiry(&self) -> Option<Instant> {
        self.memory.next_retained_expiry()
    }

    fn open_queue(&self, client_id: &str, limits: QueueLimits) -> Result<Box<dyn Queue>, StoreError> {
        self.memory.open_queue(client_id, limits)
    }

    fn park(&self, client_id: &str, parked: Parked) -> Result<(), StoreError> {
        self.memory.park(client_id, parked)
    }

    fn unpark(&self, client_id: &str) -> Result<Option<Parked>, StoreError> {
        self.memory.unpark(client_id)
    }

    fn parked_len(&self) -> usize {
        self.memory.parked_len()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("retained.txt");
    for round in ["first", "second"] {
        let store = Arc::new(TextFile::open(&path)?);
        let mut settings = mqtt_broker::Settings::default();
        settings.sys.interval = None;
        let broker = Broker::builder().settings(settings).store(store).start().await?;
        if round == "first" {
            let level = mqtt_broker::Publication::new("tank/level", "0.7");
            broker.local().publish(level.retain()).await?;
        } else {
            let mut levels = broker.local().subscribe("tank/+").await?;
            assert_eq!(levels.recv().await.ok_or("nothing was kept")?.text(), "0.7");
        }
        broker.shutdown().await;
    }
    assert_eq!(fs::read_to_string(&path)?, "tank/level\t0.7\n");
    Ok(())
}
