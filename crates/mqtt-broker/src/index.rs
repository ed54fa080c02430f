//! Who is subscribed to what.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::{DefaultHashBuilder, HashMap};
use mqtt_codec::QoS;
use mqtt_session::Subscription;
use mqtt_topic::{FilterTree, TopicFilter, TopicName};
use parking_lot::RwLock;

use crate::SharedStrategy;
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
    peers: Option<Arc<dyn Peers>>,
}

#[derive(Default)]
struct IndexState {
    tree: FilterTree<u64, Entry>,
    /// Shared subscriptions by their whole text.
    groups: HashMap<Box<str>, Arc<Group>>,
    groups_by_key: HashMap<u64, Arc<Group>>,
    /// Subscriptions by filter. Kept only where other nodes have to know of each first and last one.
    interest: HashMap<Box<str>, usize>,
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

/// A shared subscription: one share name with one filter (section 4.8.2).
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) key: u64,
    members: RwLock<Vec<Member>>,
    /// Position for round robin, or for the random sequence.
    turn: AtomicUsize,
    /// Key of the member that a sticky group stays with.
    sticky: AtomicU64,
    hasher: DefaultHashBuilder,
}

/// Where messages of one publisher on one topic go.
#[derive(Debug, Default)]
pub(crate) struct Route {
    pub(crate) targets: Box<[Target]>,
    pub(crate) groups: Box<[Arc<Group>]>,
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
            peers,
        }
    }

    /// A key for a session or group, never given before.
    pub(crate) fn new_key(&self) -> u64 {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn changed(&self) {
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
        let is_first = is_new && self.peers.is_some() && state.add_interest(filter.as_str());
        drop(state);
        self.changed();
        if is_first && let Some(peers) = &self.peers {
            peers.interest_began(&filter.as_ref());
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
        let was_last = existed && self.peers.is_some() && state.remove_interest(filter.as_str());
        drop(state);
        self.changed();
        if was_last && let Some(peers) = &self.peers {
            peers.interest_ended(&filter.as_ref());
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
        Route { targets, groups: groups.into() }
    }

    /// The member of a group that gets a message; `None` if the group has none.
    pub(crate) fn choose(&self, group: &Group, topic: &str, publisher: u64) -> Option<Target> {
        group.choose(self.strategy, topic, publisher)
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

    /// Whether it is the first of its filter.
    fn add_interest(&mut self, filter: &str) -> bool {
        let count = self.interest.entry(filter.into()).or_insert(0);
        *count += 1;
        *count == 1
    }

    /// Whether it was the last of its filter.
    fn remove_interest(&mut self, filter: &str) -> bool {
        let Some(count) = self.interest.get_mut(filter) else { return false };
        *count -= 1;
        let was_last = *count == 0;
        if was_last {
            self.interest.remove(filter);
        }
        was_last
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
        }
    }
}

impl Group {
    fn new(key: u64) -> Self {
        Self {
            key,
            members: RwLock::default(),
            turn: AtomicUsize::new(0),
            sticky: AtomicU64::new(0),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Whether the session was not a member before.
    fn join(&self, member: Member) -> bool {
        let mut members = self.members.write();
        let same = members.iter_mut().find(|other| other.outbox.key == member.outbox.key);
        let is_new = same.is_none();
        match same {
            Some(same) => *same = member,
            None => members.push(member),
        }
        is_new
    }

    /// Whether the session was a member, and whether nobody is left.
    fn leave(&self, session: u64) -> (bool, bool) {
        let mut members = self.members.write();
        let before = members.len();
        members.retain(|member| member.outbox.key != session);
        (members.len() < before, members.is_empty())
    }

    fn choose(&self, strategy: SharedStrategy, topic: &str, publisher: u64) -> Option<Target> {
        let members: Vec<Member> = self.members.read().clone();
        let online: Vec<&Member> = members.iter().filter(|member| member.outbox.is_online()).collect();
        let candidates = if online.is_empty() { members.iter().collect() } else { online };
        if candidates.is_empty() {
            return None;
        }
        let position = self.position(strategy, topic, publisher, &candidates) % candidates.len();
        let member = candidates[position];
        Some(Target {
            outbox: member.outbox.clone(),
            qos: member.subscription.options.qos,
            retain_as_published: member.subscription.options.retain_as_published,
            subscription_ids: member.subscription.identifier.map(|id| Arc::from([id])),
            share: self.key,
        })
    }

    fn position(&self, strategy: SharedStrategy, topic: &str, publisher: u64, members: &[&Member]) -> usize {
        match strategy {
            SharedStrategy::RoundRobin => self.turn.fetch_add(1, Ordering::Relaxed),
            SharedStrategy::Random => self.hash(&self.turn.fetch_add(1, Ordering::Relaxed)),
            SharedStrategy::HashClient => self.hash(&publisher),
            SharedStrategy::HashTopic => self.hash(topic),
            SharedStrategy::Sticky => {
                let stuck = self.sticky.load(Ordering::Relaxed);
                let found = members.iter().position(|member| member.outbox.key == stuck);
                found.unwrap_or_else(|| {
                    self.sticky.store(members[0].outbox.key, Ordering::Relaxed);
                    0
                })
            }
        }
    }

    /// Spreads evenly; seeded anew for each group, so that clients cannot aim at a member.
    fn hash<T: Hash + ?Sized>(&self, of: &T) -> usize {
        // Truncation keeps the low bits, which are as good as the high ones.
        self.hasher.hash_one(of) as usize
    }
}
