//! A client's publications: authorise, retain, route.

use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use mqtt_codec::{QoS, ReasonCode};
use mqtt_session::{DropReason, InboundPublish};
use mqtt_topic::TopicName;

use crate::access::Identity;
use crate::core::{Core, Touched};
use crate::index::Route;

/// The publishing half of a client.
pub(super) struct Publisher {
    core: Arc<Core>,
    identity: Arc<Identity>,
    /// Key of the client's session.
    key: u64,
    /// Whether its acknowledgements carry reasons; without, what cannot be kept is still delivered.
    refusals_are_heard: bool,
    paths: Paths,
    pub(super) touched: Touched,
}

/// Where one topic leads for this client, and whether it may publish there.
#[derive(Debug, Default)]
struct Path {
    refused: Option<ReasonCode>,
    route: Route,
}

/// Paths that were looked up, good for one generation of the index.
#[derive(Debug, Default)]
struct Paths {
    generation: u64,
    by_topic: HashMap<Box<str>, Path>,
    /// Targets in `by_topic`, which bounds its memory.
    targets: usize,
    /// A path too large to keep.
    uncached: Path,
}

const CACHED_TOPICS_MAX: usize = 256;
const CACHED_TARGETS_MAX: usize = 4096;

impl Publisher {
    pub(super) fn new(core: Arc<Core>, identity: Arc<Identity>, key: u64, refusals_are_heard: bool) -> Self {
        let (paths, touched) = (Paths::default(), Touched::default());
        Self { core, identity, key, refusals_are_heard, paths, touched }
    }

    /// Routes one message; the reason is what its acknowledgement says. When this returns, the message is
    /// in every outbox it belongs to.
    pub(super) fn publish(&mut self, publish: &InboundPublish<'_>, now: Instant) -> ReasonCode {
        let Self { core, identity, key, refusals_are_heard, paths, touched } = self;
        let path = paths.find(core, identity, *key, publish.topic);
        if let Some(reason) = path.refused {
            let (id, topic) = (&identity.client_id, publish.topic.as_str());
            core.drops.record_for(&core.metrics, DropReason::PublishNotAuthorized, id, topic, publish.qos);
            return reason;
        }
        if path.route.is_empty() && !publish.retain && core.peers.is_none() {
            return unmatched(publish.qos);
        }
        let message = publish.message(*key);
        core.tell_peers(&message, publish.qos, publish.retain);
        let kept = !publish.retain || core.retain(&message, publish.qos, &identity.client_id).is_ok();
        if !kept && *refusals_are_heard && publish.qos > QoS::AtMostOnce {
            return ReasonCode::QuotaExceeded; // refused as a whole: the publisher may try again
        }
        let routed = core.deliver(&path.route, &message, publish.qos, publish.retain, now, touched);
        // Other nodes may have subscribers that this one does not know of.
        let somebody = routed.matched || publish.retain || core.peers.is_some();
        if somebody { ReasonCode::Success } else { unmatched(publish.qos) }
    }
}

/// What a publisher above QoS 0 is told when nobody subscribed (section 3.4.2.1).
fn unmatched(qos: QoS) -> ReasonCode {
    if qos == QoS::AtMostOnce { ReasonCode::Success } else { ReasonCode::NoMatchingSubscribers }
}

impl Paths {
    fn find(&mut self, core: &Core, identity: &Identity, key: u64, topic: TopicName<&str>) -> &Path {
        let generation = core.index.generation();
        if generation != self.generation {
            self.clear();
            self.generation = generation;
        }
        if !self.by_topic.contains_key(topic.as_str()) {
            let path = Path::look_up(core, identity, key, topic);
            if path.route.targets.len() > CACHED_TARGETS_MAX {
                self.uncached = path;
                return &self.uncached;
            }
            self.insert(topic, path);
        }
        &self.by_topic[topic.as_str()]
    }

    fn insert(&mut self, topic: TopicName<&str>, path: Path) {
        let targets = path.route.targets.len();
        if self.by_topic.len() >= CACHED_TOPICS_MAX || self.targets + targets > CACHED_TARGETS_MAX {
            self.clear();
        }
        self.targets += targets;
        self.by_topic.insert(topic.as_str().into(), path);
    }

    fn clear(&mut self) {
        self.by_topic.clear();
        self.targets = 0;
    }
}

impl Path {
    fn look_up(core: &Core, identity: &Identity, key: u64, topic: TopicName<&str>) -> Self {
        match refusal(core, identity, topic) {
            Some(reason) => Self { refused: Some(reason), route: Route::default() },
            None => Self { refused: None, route: core.index.route(topic, key) },
        }
    }
}

/// Why a client may not publish to a topic; `None` if it may.
pub(super) fn refusal(core: &Core, identity: &Identity, topic: TopicName<&str>) -> Option<ReasonCode> {
    let limits = &core.settings.limits;
    let text = topic.as_str();
    if text.len() > limits.topic_bytes_max || topic.levels().count() > limits.topic_levels_max {
        return Some(ReasonCode::TopicNameInvalid);
    }
    // The broker's own tree is not for clients (section 4.7.2).
    let reserved = text == "$SYS" || text.starts_with("$SYS/");
    (reserved || !core.access.may_publish(identity, topic)).then_some(ReasonCode::NotAuthorized)
}
