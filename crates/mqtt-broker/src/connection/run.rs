//! Messages on one topic in a row: encoded once per layout and quality of service, and handed over once per receiver.

use std::time::Instant;

use mqtt_codec::QoS;
use mqtt_session::{BatchBuilder, InboundPublish, Layout};
use mqtt_store::QueueLimits;

use super::publisher::Arrived;
use crate::core::{Core, Touched};
use crate::index::{Route, Target};
use crate::spare;

/// A run that is being collected.
#[derive(Debug)]
pub(super) struct Run {
    /// Number of the path that all its messages take, and the quality of service that all were published with.
    course: Option<(usize, QoS)>,
    /// How each target of the path is served. Fixed at the start of the run, so that a client which comes
    /// back meanwhile gets every message once.
    ways: Vec<Way>,
    /// One for each layout and quality of service among the receivers.
    builders: Vec<BatchBuilder>,
    /// Whether some receivers need each message for themselves.
    singly: bool,
    /// Bytes of the last batch, which the next one is likely to have as well.
    last_bytes: usize,
}

/// How one receiver gets the messages of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// In the batches of this builder.
    Batch(u8),
    Singly,
}

/// Bytes after which a run is handed over even if it goes on.
const RUN_BYTES_MAX: usize = 64 << 10;
/// Room for this many targets is kept between runs.
const WAYS_SPARE: usize = 128;

/// Whether a batch would leave out properties that a receiver may get after all: one whose session is stored, and who
/// speaks MQTT 3 now and MQTT 5 when it comes back.
pub(super) fn cuts_short(route: &Route, publish: &InboundPublish<'_>) -> bool {
    let is_cut = |target: &Target| {
        let qos = publish.qos.min(target.qos);
        let is_stored = qos > QoS::AtMostOnce && target.outbox.kept.is_some();
        is_stored && target.outbox.batch_layout(qos) == Some(Layout::Plain)
    };
    !publish.properties.is_empty() && route.targets.iter().any(is_cut)
}

impl Run {
    pub(super) const fn new() -> Self {
        Self { course: None, ways: Vec::new(), builders: Vec::new(), singly: false, last_bytes: 0 }
    }

    /// Whether messages of this quality of service are being collected for a path.
    pub(super) fn is_on(&self, path: usize, qos: QoS) -> bool {
        self.course == Some((path, qos))
    }

    /// The path of a run that leads to batches alone.
    pub(super) fn path_in_batches(&self) -> Option<(usize, QoS)> {
        self.course.filter(|_| !self.singly)
    }

    /// Adds a message to a run that leads to [batches alone](Self::path_in_batches), as it arrived. Whether the run has become long.
    #[inline]
    pub(super) fn add_plain(
        &mut self,
        arrived: Arrived<'_>,
        publish: &InboundPublish<'_>,
        queue: &QueueLimits,
    ) -> bool {
        let Arrived { frame, layout } = arrived;
        self.builders.iter_mut().for_each(|builder| builder.push_plain(frame, layout, publish));
        self.is_long(queue)
    }

    /// The path of the run.
    pub(super) fn path(&self) -> Option<usize> {
        self.course.map(|(path, _)| path)
    }

    /// Begins a run on a path. The run before must have been handed over.
    pub(super) fn start(&mut self, path: usize, qos: QoS, route: &Route) {
        self.course = Some((path, qos));
        for target in &route.targets {
            let way = self.way_to(target, qos);
            self.ways.push(way);
        }
        self.singly = !route.groups.is_empty() || self.ways.contains(&Way::Singly);
    }

    fn way_to(&mut self, target: &Target, qos: QoS) -> Way {
        let qos = qos.min(target.qos); // [MQTT-3.8.4-8]
        match target.outbox.batch_layout(qos) {
            Some(layout) if target.subscription_ids.is_none() && target.rights.is_all() => {
                Way::Batch(self.builder_for(layout, qos))
            }
            _ => Way::Singly,
        }
    }

    /// Number of the builder for a layout and quality of service; there are six at most.
    fn builder_for(&mut self, layout: Layout, qos: QoS) -> u8 {
        let known = self.builders.iter().position(|one| one.layout() == layout && one.qos() == qos);
        let number = known.unwrap_or_else(|| {
            let buffer = spare::buffer(self.last_bytes);
            self.builders.push(BatchBuilder::new(layout, qos).into_buffer(buffer));
            self.builders.len() - 1
        });
        u8::try_from(number).expect("two layouts and three qualities of service")
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
                core.push(target, &message, publish.qos, false, now, touched);
            }
            core.deliver_to_groups(route, &message, publish.qos, false, now, touched);
        }
        self.builders.iter_mut().for_each(|builder| builder.push(publish));
        self.is_long(&core.outbox_limits.queue)
    }

    /// A run stays small against a queue, so that its receivers can slow the publisher down before they
    /// have to refuse a batch.
    fn is_long(&self, queue: &QueueLimits) -> bool {
        let (bytes_max, messages_max) = (RUN_BYTES_MAX.min(queue.bytes_max / 4), queue.messages_max / 4);
        let is_long =
            |builder: &BatchBuilder| builder.len_bytes() >= bytes_max || builder.messages() >= messages_max;
        self.builders.iter().any(is_long)
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
        for (number, builder) in (0..).zip(&mut self.builders) {
            self.last_bytes = builder.len_bytes();
            let Some(batch) = builder.finish_with(publisher, spare::share) else { continue };
            for (way, target) in self.ways.iter().zip(&route.targets) {
                if *way == Way::Batch(number) {
                    core.push_batch(&target.outbox, &batch, now, touched);
                }
            }
        }
        self.course = None;
        self.builders.clear();
        self.ways.clear();
        if self.ways.capacity() > WAYS_SPARE {
            self.ways = Vec::new();
        }
    }
}
