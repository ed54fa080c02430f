//! Where a client's messages lead: looked up once per topic, kept while the index does not change.

use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use mqtt_access::consult::Consulted;
use mqtt_codec::{QoS, ReasonCode};
use mqtt_session::Rights;
use mqtt_store::Durability;
use mqtt_topic::TopicName;

use crate::access::Identity;
use crate::consulting::Question;
use crate::core::Core;
use crate::index::Route;

/// Where one topic leads for this client, and whether it may publish there.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) topic: Arc<str>,
    /// Why nothing may be published there.
    pub(super) refused: Option<ReasonCode>,
    /// What may be published there.
    pub(super) rights: Rights,
    /// What somebody else has to be asked about before it may be published.
    pub(super) open: Rights,
    pub(super) route: Route,
    /// What the acknowledgement of a message promises.
    pub(super) durability: Durability,
}

/// Paths that were looked up, good for one generation of the index.
#[derive(Debug, Default)]
pub(super) struct Paths {
    generation: u64,
    paths: Vec<Path>,
    by_topic: HashMap<Arc<str>, usize>,
    /// Targets of all paths, which bound their memory.
    targets: usize,
    /// When the first answer of somebody else ends that a path relies on.
    relies_until: Option<Instant>,
    /// The path that was asked for last: most publishers stay with one topic for a while.
    last: usize,
    /// Number and quality of service of the path that the latest run took, if it led to batches alone.
    pub(super) run_before: Option<(usize, QoS)>,
}

const TOPICS_MAX: usize = 256;
const TARGETS_MAX: usize = 4096;

impl Paths {
    /// Whether the index has changed since the paths were looked up, or what they rely on holds no more.
    #[inline]
    pub(super) fn is_outdated(&self, core: &Core, now: Instant) -> bool {
        core.index.generation() != self.generation || self.relies_until.is_some_and(|until| until <= now)
    }

    /// Notes what was answered about one kind of message on a path, for as long as it holds.
    pub(super) fn learn(&mut self, number: usize, kind: Rights, allowed: bool, until: Instant) {
        let path = &mut self.paths[number];
        path.open = path.open.without(kind);
        if allowed {
            path.rights = path.rights.or(kind);
        }
        self.relies_until = Some(self.relies_until.map_or(until, |other| other.min(until)));
    }

    /// Forgets all paths; the next ones belong to the index as it is now.
    pub(super) fn renew(&mut self, core: &Core) {
        self.clear();
        self.generation = core.index.generation();
    }

    /// Number of the path of a topic that was looked up before. Valid until paths are forgotten.
    pub(super) fn known(&mut self, topic: TopicName<&str>) -> Option<usize> {
        let text = topic.as_str();
        if self.paths.get(self.last).is_none_or(|path| *path.topic != *text) {
            self.last = *self.by_topic.get(text)?;
        }
        Some(self.last)
    }

    /// Looks a path up and returns its number. May forget all others.
    pub(super) fn look_up(
        &mut self,
        core: &Core,
        identity: &Identity,
        key: u64,
        topic: TopicName<&str>,
    ) -> usize {
        if self.paths.len() >= TOPICS_MAX || self.targets >= TARGETS_MAX {
            self.clear();
        }
        let path = Path::look_up(core, identity, key, topic);
        self.last = self.paths.len();
        self.targets += path.route.targets.len();
        self.by_topic.insert(path.topic.clone(), self.last);
        self.paths.push(path);
        self.last
    }

    pub(super) fn path(&self, number: usize) -> &Path {
        &self.paths[number]
    }

    /// Forgets paths that take more memory than one client may hold between bursts.
    pub(super) fn trim(&mut self) {
        if self.targets > TARGETS_MAX {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.by_topic.clear();
        self.paths.clear();
        self.targets = 0;
        self.last = 0;
        self.run_before = None;
        self.relies_until = None;
    }
}

impl Path {
    fn look_up(core: &Core, identity: &Identity, key: u64, topic: TopicName<&str>) -> Self {
        let (refused, (rights, open)) = match publish_rights(core, identity, topic) {
            Ok(rights) => (None, rights),
            Err(reason) => (Some(reason), (Rights::NONE, Rights::NONE)),
        };
        let route = if refused.is_some() { Route::default() } else { core.route(topic, key) };
        let durability = core.durability(topic.as_str());
        Self { topic: topic.as_str().into(), refused, rights, open, route, durability }
    }
}

/// Why a client may not publish such a message; `None` if it may. What is open counts as allowed: a will that is due, whose
/// client was asked about when it came.
pub(crate) fn refuse_publish(
    core: &Core,
    identity: &Identity,
    topic: TopicName<&str>,
    qos: QoS,
    retain: bool,
) -> Option<ReasonCode> {
    match publish_rights(core, identity, topic) {
        Ok((rights, open)) => (!rights.or(open).allow(qos, retain)).then_some(ReasonCode::NotAuthorized),
        Err(reason) => Some(reason),
    }
}

/// The same, where there is time to ask.
pub(crate) async fn ask_to_publish(
    core: &Arc<Core>,
    identity: &Arc<Identity>,
    topic: TopicName<&str>,
    qos: QoS,
    retain: bool,
) -> Result<(), ReasonCode> {
    let (rights, open) = publish_rights(core, identity, topic)?;
    if rights.allow(qos, retain) {
        return Ok(());
    }
    if !open.allow(qos, retain) {
        return Err(ReasonCode::NotAuthorized);
    }
    let question = Question::about_message(identity, topic, qos, retain);
    said(core.consult(question).await)
}

/// An answer as it is told to a client.
pub(crate) fn said(consulted: Consulted) -> Result<(), ReasonCode> {
    match consulted.verdict {
        Ok(true) => Ok(()),
        Ok(false) => Err(ReasonCode::NotAuthorized),
        Err(_) => Err(ReasonCode::ImplementationSpecificError),
    }
}

/// What a client may publish to a topic, and what somebody else has to be asked about; or why nothing.
fn publish_rights(
    core: &Core,
    identity: &Identity,
    topic: TopicName<&str>,
) -> Result<(Rights, Rights), ReasonCode> {
    if identity.privileged {
        return Ok((Rights::ALL, Rights::NONE));
    }
    let limits = &core.settings.limits;
    let text = topic.as_str();
    if text.len() > limits.topic_bytes_max || topic.levels().count() > limits.topic_levels_max {
        return Err(ReasonCode::TopicNameInvalid);
    }
    // The broker's own tree is not for clients (section 4.7.2).
    if text == "$SYS" || text.starts_with("$SYS/") {
        return Err(ReasonCode::NotAuthorized);
    }
    let rights = core.access.publish_rights(identity, topic);
    let open = if rights.is_all() { Rights::NONE } else { core.access.open_rights(identity, topic) };
    if rights.or(open).is_none() { Err(ReasonCode::NotAuthorized) } else { Ok((rights, open)) }
}
