//! Many filters, one name.

use core::hash::Hash;

use hashbrown::HashMap;

use crate::subscribers::Subscribers;
use crate::trie::Trie;
use crate::{TopicFilter, TopicName};

/// Below this capacity the map of exact filters is not worth shrinking.
const EXACT_CAPACITY_MIN: usize = 64;

/// Subscriptions by topic filter; answers which of them a message belongs to.
///
/// A subscription is a filter, a key `K` that says whose it is, and a value `V`, such as its options. Only
/// [`TopicFilter::filter`] counts: whether it is shared, and in which group, belongs into the key.
///
/// Filters without wildcards lie in one hash map, so they cost one look-up per name however many there are. The others
/// lie in a trie, where a look-up follows at most two ways from each level. Hashing is seeded at random, because the
/// texts come from clients. Memory is given back as subscriptions go; no operation recurses.
#[derive(Debug)]
pub struct FilterTree<K, V> {
    exact: HashMap<Box<str>, Subscribers<K, V>>,
    /// Bytes behind the texts and the values of `exact`.
    exact_heap_bytes: usize,
    wildcards: Trie<K, V>,
    len: usize,
}

impl<K: Eq + Hash, V> FilterTree<K, V> {
    /// An empty tree; allocates nothing.
    pub fn new() -> Self {
        Self { exact: HashMap::new(), exact_heap_bytes: 0, wildcards: Trie::new(), len: 0 }
    }

    /// Adds a subscription and returns the value that the same key had on the same filter before.
    pub fn insert(&mut self, filter: &TopicFilter<impl AsRef<str>>, key: K, value: V) -> Option<V> {
        let old = if filter.has_wildcards() {
            self.wildcards.insert(filter.filter(), key, value)
        } else {
            self.insert_exact(filter.filter(), key, value)
        };
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes a subscription and returns its value.
    pub fn remove(&mut self, filter: &TopicFilter<impl AsRef<str>>, key: &K) -> Option<V> {
        let old = if filter.has_wildcards() {
            self.wildcards.remove(filter.filter(), key)
        } else {
            self.remove_exact(filter.filter(), key)
        };
        self.len -= usize::from(old.is_some());
        old
    }

    /// The value of `key` on exactly this filter.
    pub fn get(&self, filter: &TopicFilter<impl AsRef<str>>, key: &K) -> Option<&V> {
        if filter.has_wildcards() {
            self.wildcards.find(filter.filter(), key)
        } else {
            self.exact.get(filter.filter())?.find(key)
        }
    }

    /// Calls `visit` for every subscription whose filter matches `name`, in no particular order. A key with several
    /// matching filters is visited once for each of them. Allocates nothing for names of up to 32 levels.
    pub fn for_each_match(&self, name: TopicName<&str>, mut visit: impl FnMut(&K, &V)) {
        self.wildcards.for_each_match(name, &mut visit);
        if let Some(subscribers) = self.exact.get(name.as_str()) {
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
        size_of::<Self>() + self.exact.allocation_size() + self.exact_heap_bytes + self.wildcards.heap_bytes()
    }

    fn insert_exact(&mut self, filter: &str, key: K, value: V) -> Option<V> {
        let Some(subscribers) = self.exact.get_mut(filter) else {
            self.exact.insert(filter.into(), Subscribers::One(key, value));
            self.exact_heap_bytes += filter.len();
            return None;
        };
        self.exact_heap_bytes -= subscribers.heap_bytes();
        let old = subscribers.insert(key, value);
        self.exact_heap_bytes += subscribers.heap_bytes();
        old
    }

    fn remove_exact(&mut self, filter: &str, key: &K) -> Option<V> {
        let subscribers = self.exact.get_mut(filter)?;
        let heap_bytes_before = subscribers.heap_bytes();
        let old = subscribers.remove(key)?;
        self.exact_heap_bytes -= heap_bytes_before;
        self.exact_heap_bytes += subscribers.heap_bytes();
        if subscribers.is_empty() {
            self.exact.remove(filter);
            self.exact_heap_bytes -= filter.len();
            self.shrink_exact();
        }
        Some(old)
    }

    fn shrink_exact(&mut self) {
        if self.exact.capacity() >= EXACT_CAPACITY_MIN && self.exact.len() < self.exact.capacity() / 4 {
            self.exact.shrink_to(self.exact.len() * 2);
        }
    }
}

impl<K: Eq + Hash, V> Default for FilterTree<K, V> {
    fn default() -> Self {
        Self::new()
    }
}
