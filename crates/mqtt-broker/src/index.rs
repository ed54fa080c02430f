//! Who is subscribed to what.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use mqtt_codec::QoS;
use mqtt_session::{Rights, Subscription};
use mqtt_topic::{FilterTree, TopicFilter, TopicName};
use parking_lot::{Mutex, RwLock};

use crate::SharedStrategy;
use crate::group::Group;
use crate::outbox::Outbox;
use crate::peers::Peers;

/// The subscription index: one tree for all sessions, and a generation that counts its changes.
#[derive(Debug)]
pub(crate) struct Index {
    state: RwLock<IndexState>,
    /// Changes whenever a route may have changed; routes that were looked up are stamped with it.
    generation: AtomicU64,
    next_key: AtomicU64,
    strategy: SharedStrategy,
    /// Only where there are other nodes.
    interest: Option<Interest>,
}

/// Tells other nodes of the first and of the last subscription with each filter.
#[derive(Debug)]
struct Interest {
    peers: Arc<dyn Peers>,
    /// Subscriptions by filter. Locked while the peers are told, so that they hear everything in its order.
    counts: Mutex<HashMap<Box<str>, usize>>,
}

#[derive(Default)]
struct IndexState {
    tree: FilterTree<u64, Entry>,
    /// Shared subscriptions by their whole text.
    groups: HashMap<Box<str>, Arc<Group>>,
    groups_by_key: HashMap<u64, Arc<Group>>,
}

impl fmt::Debug for IndexState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexState").field("filters", &self.tree.len()).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
enum Entry {
    Session(Member),
    Group(Arc<Group>),
}

/// One session's part in a subscription.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) subscription: Subscription,
}

/// Where messages of one publisher on one topic go.
#[derive(Debug, Default)]
pub(crate) struct Route {
    pub(crate) targets: Box<[Target]>,
    pub(crate) groups: Box<[Arc<Group>]>,
    /// Members of the groups that may not get the topic.
    pub(crate) denied: Box<[u64]>,
}

/// One session on a route: all its matching subscriptions joined.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) outbox: Arc<Outbox>,
    /// The highest granted ([MQTT-3.3.4-2]).
    pub(crate) qos: QoS,
    pub(crate) retain_as_published: bool,
    pub(crate) subscription_ids: Option<Arc<[u32]>>,
    /// The group that chose it; 0 for none.
    pub(crate) share: u64,
    /// What it may get on this topic.
    pub(crate) rights: Rights,
}

impl Route {
    /// Whether it leads nowhere.
    pub(crate) fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.groups.is_empty()
    }
}

impl Index {
    pub(crate) fn new(strategy: SharedStrategy, peers: Option<Arc<dyn Peers>>) -> Self {
        Self {
            state: RwLock::default(),
            generation: AtomicU64::new(1),
            next_key: AtomicU64::new(1),
            strategy,
            interest: peers.map(|peers| Interest { peers, counts: Mutex::default() }),
        }
    }

    /// A key for a session or group, never given before.
    pub(crate) fn new_key(&self) -> u64 {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Something has changed that routes depend on.
    pub(crate) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Adds or replaces a subscription. When this returns, every later publication sees it.
    pub(crate) fn subscribe<S: AsRef<str>>(&self, filter: &TopicFilter<S>, member: Member) {
        let key = member.outbox.key;
        let mut state = self.state.write();
        let is_new = if filter.share_name().is_none() {
            state.tree.insert(filter, key, Entry::Session(member)).is_none()
        } else {
            let group = match state.groups.get(filter.as_str()) {
                Some(group) => group.clone(),
                None => self.add_group(&mut state, filter),
            };
            group.join(member)
        };
        drop(state);
        self.changed();
        if is_new && let Some(interest) = &self.interest {
            interest.add(&filter.as_ref());
        }
    }

    fn add_group<S: AsRef<str>>(&self, state: &mut IndexState, filter: &TopicFilter<S>) -> Arc<Group> {
        let group = Arc::new(Group::new(self.new_key()));
        state.groups.insert(filter.as_str().into(), group.clone());
        state.groups_by_key.insert(group.key, group.clone());
        state.tree.insert(filter, group.key, Entry::Group(group.clone()));
        group
    }

    /// Removes a session's subscription.
    pub(crate) fn unsubscribe<S: AsRef<str>>(&self, filter: &TopicFilter<S>, session: u64) {
        let mut state = self.state.write();
        let existed = if filter.share_name().is_none() {
            state.tree.remove(filter, &session).is_some()
        } else {
            state.leave_group(filter, session)
        };
        drop(state);
        self.changed();
        if existed && let Some(interest) = &self.interest {
            interest.remove(&filter.as_ref());
        }
    }

    /// Where a message of `publisher` on `topic` goes now.
    pub(crate) fn route(&self, topic: TopicName<&str>, publisher: u64) -> Route {
        let mut members: Vec<(Member, u64)> = Vec::new();
        let mut groups: Vec<Arc<Group>> = Vec::new();
        let state = self.state.read();
        state.tree.for_each_match(topic, |key, entry| match entry {
            // [MQTT-3.8.3-3]: No Local keeps a client's own messages from it.
            Entry::Session(member) if member.subscription.options.no_local && *key == publisher => {}
            Entry::Session(member) => members.push((member.clone(), *key)),
            Entry::Group(group) => groups.push(group.clone()),
        });
        drop(state);
        members.sort_unstable_by_key(|(_, key)| *key);
        let targets = members.chunk_by(|(_, a), (_, b)| a == b).map(Target::join).collect();
        Route { targets, groups: groups.into(), denied: Box::default() }
    }

    /// The member of a group that gets a message; `None` if the group has none.
    pub(crate) fn choose(
        &self,
        group: &Group,
        topic: &str,
        publisher: u64,
        denied: &[u64],
    ) -> Option<Target> {
        group.choose(self.strategy, topic, publisher, denied)
    }

    /// The group of a shared subscription; `None` if it has no members.
    pub(crate) fn group_of<S: AsRef<str>>(&self, filter: &TopicFilter<S>) -> Option<Arc<Group>> {
        self.state.read().groups.get(filter.as_str()).cloned()
    }

    pub(crate) fn group(&self, key: u64) -> Option<Arc<Group>> {
        self.state.read().groups_by_key.get(&key).cloned()
    }

    /// Filters of ordinary subscriptions, one for each session; and shared subscriptions.
    pub(crate) fn len(&self) -> (usize, usize) {
        let state = self.state.read();
        (state.tree.len() - state.groups.len(), state.groups.len())
    }
}

impl IndexState {
    /// Whether the session was a member. A group without members is removed.
    fn leave_group<S: AsRef<str>>(&mut self, filter: &TopicFilter<S>, session: u64) -> bool {
        let Some(group) = self.groups.get(filter.as_str()).cloned() else { return false };
        let (was_member, is_empty) = group.leave(session);
        if is_empty {
            self.groups.remove(filter.as_str());
            self.groups_by_key.remove(&group.key);
            self.tree.remove(filter, &group.key);
        }
        was_member
    }
}

impl Interest {
    fn add(&self, filter: &TopicFilter<&str>) {
        let mut counts = self.counts.lock();
        let count = counts.entry(filter.as_str().into()).or_insert(0);
        *count += 1;
        if *count == 1 {
            self.peers.interest_began(filter);
        }
    }

    fn remove(&self, filter: &TopicFilter<&str>) {
        let mut counts = self.counts.lock();
        let Some(count) = counts.get_mut(filter.as_str()) else { return };
        *count -= 1;
        if *count == 0 {
            counts.remove(filter.as_str());
            self.peers.interest_ended(filter);
        }
    }
}

impl Target {
    /// One copy for a session with several matching subscriptions, with all their identifiers
    /// ([MQTT-3.3.4-2], [MQTT-3.3.4-4], [MQTT-3.3.4-5]).
    fn join(same_session: &[(Member, u64)]) -> Self {
        let subscriptions = || same_session.iter().map(|(member, _)| member.subscription);
        let ids: Vec<u32> = subscriptions().filter_map(|subscription| subscription.identifier).collect();
        Self {
            outbox: same_session[0].0.outbox.clone(),
            qos: subscriptions().map(|s| s.options.qos).max().unwrap_or(QoS::AtMostOnce),
            retain_as_published: subscriptions().any(|s| s.options.retain_as_published),
            subscription_ids: if ids.is_empty() { None } else { Some(ids.into()) },
            share: 0,
            rights: Rights::ALL,
        }
    }
}
