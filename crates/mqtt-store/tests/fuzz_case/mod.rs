//! What the fuzz target `segments` and the test of its corpus do with one input.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mqtt_store::durable::Wall;
use mqtt_store::durable::simulated::SimulatedMedium;
use mqtt_store::{
    DurableSettings, DurableStore, Journal as _, QueueLimits, RetainedLimits, Store as _, WriteSettings,
};
use mqtt_topic::TopicFilter;

/// The format that the store writes.
const FORMAT: u32 = 2;
const FRAME_MAGIC: [u8; 4] = *b"\xf5Mf1";

/// One for all stores, so that times can be compared.
static WALL: OnceLock<Wall> = OnceLock::new();

/// Opens a store on the input. An odd first byte: it is the only segment as it is. An even one: pieces of it, each
/// behind its length in one byte times four, are the records of frames that are in order otherwise, so that the
/// checksums do not stand in the way. What can be opened can be used, and opened again with the same contents.
pub(crate) fn check_open(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    let segment = if first % 2 == 1 { rest.to_vec() } else { framed(rest) };
    let medium = |bytes: &[u8]| {
        SimulatedMedium::of(BTreeMap::from([("0000000001.segment".to_owned(), bytes.to_vec())]))
    };
    drop(open(&medium(&segment), false));
    let medium = medium(&segment);
    let Some(store) = open(&medium, true) else { return };
    let before = contents(&store);
    store.compact().expect("nothing fails");
    store.close();
    drop(store);
    let again = open(&medium.after_kill(), false).expect("what was written anew is in order");
    assert_eq!(contents(&again), before);
}

fn framed(mut pieces: &[u8]) -> Vec<u8> {
    let mut segment = b"MARTLET\n".to_vec();
    segment.extend_from_slice(&FORMAT.to_le_bytes());
    segment.extend_from_slice(&1_u32.to_le_bytes());
    while let Some((length, rest)) = pieces.split_first() {
        let (records, rest) = rest.split_at(rest.len().min(usize::from(*length) * 4));
        pieces = rest;
        let mut covered = 0_u64.to_le_bytes().to_vec();
        covered.extend_from_slice(records);
        segment.extend_from_slice(&FRAME_MAGIC);
        segment.extend_from_slice(&u32::try_from(records.len()).expect("short").to_le_bytes());
        segment.extend_from_slice(&crc32fast::hash(&covered).to_le_bytes());
        segment.extend_from_slice(&covered);
    }
    segment
}

fn open(medium: &SimulatedMedium, drop_damaged: bool) -> Option<DurableStore> {
    let settings = DurableSettings {
        write: WriteSettings { sync_interval: Duration::from_secs(3600), ..WriteSettings::default() },
        retained: RetainedLimits::default(),
        queue: QueueLimits::default(),
        memory_bytes_max: 256 << 20,
        wall: *WALL.get_or_init(|| Wall { instant: Instant::now(), unix_ms: 1_700_000_000_000 }),
        drop_damaged,
    };
    DurableStore::open_inline(Arc::new(medium.clone()), &settings).ok()
}

/// What stands in a store, as far as clients could get it.
fn contents(store: &DurableStore) -> (Vec<String>, Vec<String>) {
    let mut sessions = Vec::new();
    for mut recovered in store.take_recovered() {
        let mut filters: Vec<_> =
            recovered.session.subscriptions().map(|(filter, _)| filter.to_owned()).collect();
        filters.sort_unstable();
        let mut waiting = Vec::new();
        let mut next = || {
            recovered.queue.refill(&|| std::task::Waker::noop().clone());
            recovered.queue.pop()
        };
        while let Some(delivery) = next() {
            // One whose body cannot be read: whoever takes it counts it as dropped.
            if !delivery.message.is_absent() {
                waiting.push(format!("{:?}", delivery.message));
            }
        }
        let (received, head) = (recovered.session.unreleased_len(), recovered.head);
        let under_way = recovered.session.into_unacknowledged().len();
        sessions.push(format!("{:?} {head:?} {filters:?} {received} {under_way} {waiting:?}", recovered.id));
    }
    sessions.sort_unstable();
    let all = TopicFilter::parse("#").expect("a filter");
    let page = store.scan_retained(&all, None, usize::MAX, Instant::now()).expect("it is in memory");
    let retained = page.messages.iter().map(|retained| format!("{:?} {:?}", retained.message, retained.qos));
    (sessions, retained.collect())
}
