//! Many filters, one name.

use core::hash::Hash;

use crate::exact::Exact;
use crate::trie::Trie;
use crate::{TopicFilter, TopicName};

/// Subscriptions by topic filter; answers which of them a message belongs to.
///
/// A subscription is a filter, a key `K` that says whose it is, and a value `V`, such as its options. Only
/// [`TopicFilter::filter`] counts: whether it is shared, and in which group, belongs into the key.
///
/// Filters without wildcards lie in one hash table, so they cost one look-up per name however many there are. The others
/// lie in a trie, where a look-up follows at most two ways from each level. Hashing is seeded at random, because the
/// texts come from clients. Memory is given back as subscriptions go; no operation recurses.
///
/// ```
/// use mqtt_topic::{FilterTree, TopicFilter, TopicName};
///
/// let mut subscriptions = FilterTree::new();
/// subscriptions.insert(&TopicFilter::parse("jobs/+")?, "ada", 1);
/// subscriptions.insert(&TopicFilter::parse("#")?, "bob", 0);
/// let mut receivers = Vec::new();
/// subscriptions.for_each_match(TopicName::parse("jobs/7")?, |client, qos| receivers.push((*client, *qos)));
/// receivers.sort();
/// assert_eq!(receivers, [("ada", 1), ("bob", 0)]);
/// assert_eq!(subscriptions.remove(&TopicFilter::parse("#")?, &"bob"), Some(0));
/// # Ok::<(), mqtt_topic::TopicError>(())
/// ```
#[derive(Debug)]
pub struct FilterTree<K, V> {
    exact: Exact<K, V>,
    wildcards: Trie<K, V>,
    len: usize,
}

impl<K: Eq + Hash, V> FilterTree<K, V> {
    /// An empty tree; allocates nothing.
    pub fn new() -> Self {
        Self { exact: Exact::new(), wildcards: Trie::new(), len: 0 }
    }

    /// Adds a subscription and returns the value that the same key had on the same filter before.
    pub fn insert(&mut self, filter: &TopicFilter<impl AsRef<str>>, key: K, value: V) -> Option<V> {
        let old = if filter.has_wildcards() {
            self.wildcards.insert(filter.filter(), key, value)
        } else {
            self.exact.insert(filter.filter(), key, value)
        };
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes a subscription and returns its value.
    pub fn remove(&mut self, filter: &TopicFilter<impl AsRef<str>>, key: &K) -> Option<V> {
        let old = if filter.has_wildcards() {
            self.wildcards.remove(filter.filter(), key)
        } else {
            self.exact.remove(filter.filter(), key)
        };
        self.len -= usize::from(old.is_some());
        old
    }

    /// The value of `key` on exactly this filter.
    pub fn get(&self, filter: &TopicFilter<impl AsRef<str>>, key: &K) -> Option<&V> {
        if filter.has_wildcards() {
            self.wildcards.find(filter.filter(), key)
        } else {
            self.exact.find(filter.filter())?.find(key)
        }
    }

    /// Calls `visit` for every subscription whose filter matches `name`, in no particular order. A key with several
    /// matching filters is visited once for each of them. Allocates nothing for names of up to 32 levels.
    pub fn for_each_match(&self, name: TopicName<&str>, mut visit: impl FnMut(&K, &V)) {
        // A match mostly waits for memory. Asking for the exact filter first and looking at it last lets the two waits
        // overlap, which saves a sixth of the time among a million filters.
        let candidate = self.exact.candidate(name.as_str());
        self.wildcards.for_each_match(name, &mut visit);
        if let Some(subscribers) =
            candidate.and_then(|candidate| self.exact.confirm(candidate, name.as_str()))
        {
            subscribers.for_each(&mut visit);
        }
    }

    /// Subscriptions, that is pairs of filter and key.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no subscription.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that the tree has asked the allocator for, unused capacity included. Constant time. What a `K` or `V`
    /// owns elsewhere is not counted.
    pub fn state_bytes(&self) -> usize {
        size_of::<Self>() + self.exact.heap_bytes() + self.wildcards.heap_bytes()
    }
}

impl<K: Eq + Hash, V> Default for FilterTree<K, V> {
    fn default() -> Self {
        Self::new()
    }
}
