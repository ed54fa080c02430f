//! The set of retained messages: found by filter, within limits, removed when they expire.

use core::fmt;
use core::ops::ControlFlow;
use std::collections::BTreeSet;
use std::time::Instant;

use mqtt_session::Message;
use mqtt_topic::{NameTree, Scanned, TopicFilter, TopicName};
use parking_lot::RwLock;

use crate::{RetainOutcome, Retained, RetainedLimits, RetainedPage, RetainedTotals, StoreError};

/// All retained messages, of which a store may have some bodies elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    set: RwLock<RetainedSet>,
    limits: RetainedLimits,
}

#[derive(Default)]
struct RetainedSet {
    tree: NameTree<Slot>,
    bytes: usize,
    /// Those that have an expiry, the next one first, so that expiry looks at nothing else.
    expiring: BTreeSet<(Instant, Box<str>)>,
}

struct Slot {
    retained: Retained,
    /// The store's name for this state of the topic.
    version: u64,
}

impl Slot {
    /// Bytes, and when it expires.
    fn charge(&self) -> (usize, Option<Instant>) {
        (self.retained.message.size_bytes(), self.retained.message.expires_at())
    }
}

/// A message of a page whose body is elsewhere.
#[derive(Debug)]
pub(crate) struct Hole {
    /// Which of the page's messages it is.
    pub(crate) index: usize,
    pub(crate) topic: Box<str>,
    pub(crate) version: u64,
}

/// Names that one scan looks at, matching or not, so that a filter that finds little keeps no writer waiting.
const SCAN_STEPS_MAX: usize = 4096;
/// Messages that are removed at a time when they have expired.
const EXPIRED_MAX: usize = 64;

impl Shelf {
    pub(crate) fn new(limits: RetainedLimits) -> Self {
        Self { limits, set: RwLock::default() }
    }

    /// Keeps a message, whose body may be absent, or clears its topic if it is empty. What was there before.
    pub(crate) fn retain(
        &self,
        topic: TopicName<&str>,
        retained: Retained,
        version: u64,
    ) -> Result<(RetainOutcome, Option<Retained>), StoreError> {
        let mut set = self.set.write();
        if retained.message.payload().is_empty() && !retained.message.is_absent() {
            let old = set.remove(topic);
            let outcome = if old.is_some() { RetainOutcome::Cleared } else { RetainOutcome::NothingToClear };
            return Ok((outcome, old));
        }
        if !set.fits(topic, &retained, &self.limits) {
            return Err(StoreError::Full);
        }
        let old = set.insert(topic, Slot { retained, version });
        Ok((if old.is_some() { RetainOutcome::Replaced } else { RetainOutcome::Added }, old))
    }

    /// Keeps messages that were kept before, whatever the limits are now; quick if they come in the order of their topics.
    pub(crate) fn restore<'a>(&self, all: impl Iterator<Item = (&'a str, Retained, u64)>) {
        let mut set = self.set.write();
        for (topic, retained, version) in all {
            set.restore(TopicName::assume_valid(topic), Slot { retained, version });
        }
    }

    /// Gives a message its body, unless its topic has changed.
    pub(crate) fn fill(&self, hole: &Hole, message: &Message) -> bool {
        let mut set = self.set.write();
        let topic = TopicName::assume_valid(&*hole.topic);
        let Some(slot) = set.tree.get(topic).filter(|slot| slot.version == hole.version) else {
            return false;
        };
        if !slot.retained.message.is_absent() {
            return false;
        }
        let retained = Retained { message: message.clone(), ..slot.retained.clone() };
        set.insert(topic, Slot { retained, version: hole.version });
        true
    }

    /// What stands on a topic that has changed, with its version.
    pub(crate) fn successor(&self, hole: &Hole) -> Option<(Retained, u64)> {
        let set = self.set.read();
        let slot = set.tree.get(TopicName::assume_valid(&*hole.topic))?;
        (slot.version != hole.version).then(|| (slot.retained.clone(), slot.version))
    }

    /// A part of what matches, and which of its bodies are absent.
    pub(crate) fn scan(
        &self,
        filter: &TopicFilter<&str>,
        after: Option<&TopicName<Box<str>>>,
        messages_max: usize,
        now: Instant,
    ) -> (RetainedPage, Vec<Hole>) {
        let mut page = RetainedPage::default();
        let mut holes: Vec<Hole> = Vec::new();
        let set = self.set.read();
        let after = after.map(TopicName::as_ref);
        let scanned = set.tree.scan_some(filter, after, SCAN_STEPS_MAX, |topic, slot| {
            let message = &slot.retained.message;
            if page.messages.len() == messages_max {
                return ControlFlow::Break(());
            }
            if !message.is_expired(now) {
                if message.is_absent() {
                    let index = page.messages.len();
                    holes.push(Hole { index, topic: topic.into(), version: slot.version });
                }
                page.messages.push(slot.retained.clone());
            }
            ControlFlow::Continue(())
        });
        page.next = match scanned {
            Scanned::Finished => None,
            Scanned::Paused { after } => Some(after.to_boxed()),
            Scanned::Stopped => last_topic(&page, &holes).map(|topic| topic.to_boxed()),
        };
        (page, holes)
    }

    pub(crate) fn totals(&self) -> RetainedTotals {
        let set = self.set.read();
        RetainedTotals { messages: set.tree.len(), bytes: set.bytes }
    }

    /// Removes and returns some of what has expired: not all at once, as others wait meanwhile.
    pub(crate) fn take_expired(&self, now: Instant) -> Vec<(Box<str>, Retained)> {
        let mut expired = Vec::new();
        if self.set.read().expiring.first().is_none_or(|(at, _)| *at > now) {
            return expired;
        }
        let mut set = self.set.write();
        while expired.len() < EXPIRED_MAX
            && let Some(topic) = set.next_expired(now)
        {
            let old = set.remove(TopicName::assume_valid(&*topic)).expect("what expires is kept");
            expired.push((topic, old));
        }
        expired
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.set.read().expiring.first().map(|(at, _)| *at)
    }
}

impl fmt::Debug for RetainedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetainedSet")
            .field("messages", &self.tree.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl RetainedSet {
    fn remove(&mut self, topic: TopicName<&str>) -> Option<Retained> {
        let old = self.tree.remove(topic)?.retained;
        self.forget(topic, &old);
        Some(old)
    }

    fn forget(&mut self, topic: TopicName<&str>, old: &Retained) {
        self.bytes -= old.message.size_bytes();
        if let Some(at) = old.message.expires_at() {
            self.expiring.remove(&(at, topic.as_str().into()));
        }
    }

    fn insert(&mut self, topic: TopicName<&str>, slot: Slot) -> Option<Retained> {
        let (bytes, expires_at) = slot.charge();
        let old = self.tree.insert(topic, slot).map(|old| old.retained);
        if let Some(old) = &old {
            self.forget(topic, old);
        }
        self.charge(topic, bytes, expires_at);
        old
    }

    /// As [`insert`](Self::insert), for topics that were not there and come in their order.
    fn restore(&mut self, topic: TopicName<&str>, slot: Slot) {
        let (bytes, expires_at) = slot.charge();
        let old = self.tree.insert_in_order(topic, slot);
        debug_assert!(old.is_none(), "a topic has one message");
        self.charge(topic, bytes, expires_at);
    }

    fn charge(&mut self, topic: TopicName<&str>, bytes: usize, expires_at: Option<Instant>) {
        self.bytes += bytes;
        if let Some(at) = expires_at {
            self.expiring.insert((at, topic.as_str().into()));
        }
    }

    fn next_expired(&self, now: Instant) -> Option<Box<str>> {
        self.expiring.first().filter(|(at, _)| *at <= now).map(|(_, topic)| topic.clone())
    }

    fn fits(&self, topic: TopicName<&str>, retained: &Retained, limits: &RetainedLimits) -> bool {
        let old = self.tree.get(topic);
        let freed_bytes = old.map_or(0, |old| old.retained.message.size_bytes());
        self.tree.len() - usize::from(old.is_some()) < limits.messages_max
            && self.bytes - freed_bytes + retained.message.size_bytes() <= limits.bytes_max
    }
}

fn last_topic<'p>(page: &'p RetainedPage, holes: &'p [Hole]) -> Option<TopicName<&'p str>> {
    let last = page.messages.last()?;
    if last.message.is_absent() {
        return holes.last().map(|hole| TopicName::assume_valid(&*hole.topic));
    }
    Some(topic_of(&last.message))
}

pub(crate) fn topic_of(message: &Message) -> TopicName<&str> {
    TopicName::assume_valid(message.topic())
}
