//! QoS 0 messages on one topic in a row: encoded once per layout and handed over once per receiver.

use std::time::Instant;

use mqtt_codec::QoS;
use mqtt_session::{BatchBuilder, InboundPublish, Layout};
use mqtt_store::QueueLimits;

use crate::core::{Core, Touched};
use crate::index::Route;

/// A run that is being collected.
#[derive(Debug)]
pub(super) struct Run {
    /// Number of the path that all its messages take.
    path: Option<usize>,
    /// How each target of the path is served. Fixed at the start of the run, so that a client which comes
    /// back meanwhile gets every message once.
    ways: Vec<Way>,
    plain: BatchBuilder,
    with_properties: BatchBuilder,
    /// Whether some receivers need each message for themselves.
    singly: bool,
}

/// How one receiver gets the messages of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Batch(Layout),
    Singly,
}

/// Bytes after which a run is handed over even if it goes on.
const RUN_BYTES_MAX: usize = 64 << 10;
/// Room for this many targets is kept between runs.
const WAYS_SPARE: usize = 128;

impl Run {
    pub(super) const fn new() -> Self {
        Self {
            path: None,
            ways: Vec::new(),
            plain: BatchBuilder::new(Layout::Plain),
            with_properties: BatchBuilder::new(Layout::WithProperties),
            singly: false,
        }
    }

    /// Whether messages are being collected for a path.
    pub(super) fn is_on(&self, path: usize) -> bool {
        self.path == Some(path)
    }

    /// The path of the run.
    pub(super) fn path(&self) -> Option<usize> {
        self.path
    }

    /// Begins a run on a path. The run before must have been handed over.
    pub(super) fn start(&mut self, path: usize, route: &Route) {
        self.path = Some(path);
        self.ways.extend(route.targets.iter().map(|target| match target.outbox.batch_layout() {
            Some(layout) if target.subscription_ids.is_none() => Way::Batch(layout),
            _ => Way::Singly,
        }));
        self.singly = !route.groups.is_empty() || self.ways.contains(&Way::Singly);
    }

    /// Adds a message; who cannot get it in a batch gets it now. Whether the run has become long.
    pub(super) fn add(
        &mut self,
        core: &Core,
        route: &Route,
        publish: &InboundPublish<'_>,
        publisher: u64,
        now: Instant,
        touched: &mut Touched,
    ) -> bool {
        if self.singly {
            let message = publish.message(publisher);
            let singly = |(way, _): &(&Way, _)| **way == Way::Singly;
            for (_, target) in self.ways.iter().zip(&route.targets).filter(singly) {
                core.push(target, &message, QoS::AtMostOnce, false, now, touched);
            }
            core.deliver_to_groups(route, &message, QoS::AtMostOnce, false, now, touched);
        }
        for builder in [&mut self.plain, &mut self.with_properties] {
            if self.ways.contains(&Way::Batch(builder.layout())) {
                builder.push(publish);
            }
        }
        self.is_long(&core.outbox_limits.queue)
    }

    /// A run stays small against a queue, so that its receivers can slow the publisher down before they
    /// have to refuse a batch.
    fn is_long(&self, queue: &QueueLimits) -> bool {
        let (bytes_max, messages_max) = (RUN_BYTES_MAX.min(queue.bytes_max / 4), queue.messages_max / 4);
        [&self.plain, &self.with_properties]
            .iter()
            .any(|builder| builder.len_bytes() >= bytes_max || builder.messages() >= messages_max)
    }

    /// Hands the batches over. The run is over.
    pub(super) fn hand_over(
        &mut self,
        core: &Core,
        route: &Route,
        publisher: u64,
        now: Instant,
        touched: &mut Touched,
    ) {
        for builder in [&mut self.plain, &mut self.with_properties] {
            let layout = builder.layout();
            let Some(batch) = builder.finish(publisher) else { continue };
            for (way, target) in self.ways.iter().zip(&route.targets) {
                if *way == Way::Batch(layout) {
                    core.push_batch(&target.outbox, &batch, now, touched);
                }
            }
        }
        self.path = None;
        self.ways.clear();
        if self.ways.capacity() > WAYS_SPARE {
            self.ways = Vec::new();
        }
    }

    /// The read burst is over: an idle connection holds no buffers.
    pub(super) fn release(&mut self) {
        self.plain.release();
        self.with_properties.release();
    }
}
