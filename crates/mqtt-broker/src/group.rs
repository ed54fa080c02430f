//! Shared subscriptions: who gets a message.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::DefaultHashBuilder;
use mqtt_session::Rights;
use parking_lot::RwLock;

use crate::SharedStrategy;
use crate::index::{Member, Target};
use crate::outbox::Outbox;

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

impl Group {
    pub(crate) fn new(key: u64) -> Self {
        Self {
            key,
            members: RwLock::default(),
            turn: AtomicUsize::new(0),
            sticky: AtomicU64::new(0),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Whether the session was not a member before.
    pub(crate) fn join(&self, member: Member) -> bool {
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
    pub(crate) fn leave(&self, session: u64) -> (bool, bool) {
        let mut members = self.members.write();
        let before = members.len();
        members.retain(|member| member.outbox.key != session);
        (members.len() < before, members.is_empty())
    }

    /// Outboxes of all members.
    pub(crate) fn outboxes(&self) -> Vec<Arc<Outbox>> {
        self.members.read().iter().map(|member| member.outbox.clone()).collect()
    }

    /// The member that gets a message; `None` if there is none. Sessions in `denied` do not count.
    pub(crate) fn choose(
        &self,
        strategy: SharedStrategy,
        topic: &str,
        publisher: u64,
        denied: &[u64],
    ) -> Option<Target> {
        let members = self.members.read();
        if denied.is_empty() {
            return self.choose_among(&members, strategy, topic, publisher);
        }
        let may = |member: &&Member| !denied.contains(&member.outbox.key);
        let members: Vec<Member> = members.iter().filter(may).cloned().collect();
        self.choose_among(&members, strategy, topic, publisher)
    }

    fn choose_among(
        &self,
        members: &[Member],
        strategy: SharedStrategy,
        topic: &str,
        publisher: u64,
    ) -> Option<Target> {
        let member = match strategy {
            SharedStrategy::RoundRobin => self.next_in_turn(members),
            SharedStrategy::Random => pick(members, self.hash(&self.take_turn())),
            SharedStrategy::HashClient => pick(members, self.hash(&publisher)),
            SharedStrategy::HashTopic => pick(members, self.hash(topic)),
            SharedStrategy::Sticky => self.stick(members),
        }?;
        Some(self.target(member))
    }

    fn target(&self, member: &Member) -> Target {
        Target {
            outbox: member.outbox.clone(),
            qos: member.subscription.options.qos,
            retain_as_published: member.subscription.options.retain_as_published,
            subscription_ids: member.subscription.identifier.map(|id| Arc::from([id])),
            share: self.key,
            rights: Rights::ALL,
        }
    }

    /// The member in the place that `choose` picks from their client identifiers.
    pub(crate) fn choose_by(
        &self,
        denied: &[u64],
        choose: impl FnOnce(&[&str]) -> Option<usize>,
    ) -> Option<Target> {
        let mut members = self.members.read().clone(); // a hook is not called under a lock
        members.retain(|member| !denied.contains(&member.outbox.key));
        let ids: Vec<&str> = members.iter().map(|member| &*member.outbox.client_id).collect();
        choose(&ids).and_then(|place| members.get(place)).map(|member| self.target(member))
    }

    fn take_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Passes over members that are away, as long as one is there.
    fn next_in_turn<'a>(&self, members: &'a [Member]) -> Option<&'a Member> {
        for _ in members {
            let member = &members[self.take_turn() % members.len()];
            if member.outbox.is_online() {
                return Some(member);
            }
        }
        members.get(self.take_turn() % members.len().max(1))
    }

    fn stick<'a>(&self, members: &'a [Member]) -> Option<&'a Member> {
        let stuck_to = self.sticky.load(Ordering::Relaxed);
        let stuck = members.iter().find(|member| member.outbox.key == stuck_to);
        if let Some(member) = stuck.filter(|member| member.outbox.is_online()) {
            return Some(member);
        }
        let next = members.iter().find(|member| member.outbox.is_online()).or(stuck).or(members.first())?;
        self.sticky.store(next.outbox.key, Ordering::Relaxed);
        Some(next)
    }

    /// Spreads evenly; seeded anew for each group, so that clients cannot aim at a member.
    fn hash<T: Hash + ?Sized>(&self, of: &T) -> usize {
        // Truncation keeps the low bits, which are as good as the high ones.
        self.hasher.hash_one(of) as usize
    }
}

/// The member at this place; if it is away, one of those that are there. So what belongs to the others stays
/// with them.
fn pick(members: &[Member], place: usize) -> Option<&Member> {
    let first = members.get(place % members.len().max(1))?;
    if first.outbox.is_online() {
        return Some(first);
    }
    let is_there = |member: &&Member| member.outbox.is_online();
    let there = members.iter().filter(is_there).count();
    // Who was there may have left since: then it waits for whom it was meant first.
    let other = members.iter().filter(is_there).nth(place % there.max(1));
    other.or(Some(first))
}
