//! Many filters, one name.

use core::hash::Hash;

use hashbrown::HashMap;

use crate::{TopicFilter, TopicName};

/// Subscriptions by topic filter; answers which of them a name belongs to.
pub struct FilterTree<K, V> {
    filters: HashMap<Box<str>, HashMap<K, V>>,
    len: usize,
}

impl<K, V> Default for FilterTree<K, V> {
    fn default() -> Self {
        Self { filters: HashMap::new(), len: 0 }
    }
}

impl<K: Eq + Hash + Clone, V> FilterTree<K, V> {
    /// An empty tree; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a subscription and returns the value that the same key had on the same filter before.
    pub fn insert(&mut self, filter: &TopicFilter<impl AsRef<str>>, key: K, value: V) -> Option<V> {
        let old = self.filters.entry(filter.filter().into()).or_default().insert(key, value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes a subscription and returns its value.
    pub fn remove(&mut self, filter: &TopicFilter<impl AsRef<str>>, key: &K) -> Option<V> {
        let keys = self.filters.get_mut(filter.filter())?;
        let old = keys.remove(key)?;
        if keys.is_empty() {
            self.filters.remove(filter.filter());
        }
        self.len -= 1;
        Some(old)
    }

    /// The value of `key` on exactly this filter.
    pub fn get(&self, filter: &TopicFilter<impl AsRef<str>>, key: &K) -> Option<&V> {
        self.filters.get(filter.filter())?.get(key)
    }

    /// Calls `visit` for every subscription whose filter matches `name`, in no particular order; a key with several
    /// matching filters is visited once for each.
    pub fn for_each_match(&self, name: TopicName<&str>, mut visit: impl FnMut(&K, &V)) {
        for (text, keys) in &self.filters {
            if TopicFilter::parse(text).is_ok_and(|filter| filter.matches(&name)) {
                keys.iter().for_each(|(key, value)| visit(key, value));
            }
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

    /// Bytes that the tree holds on to, unused capacity included.
    pub fn state_bytes(&self) -> usize {
        self.filters.allocation_size()
    }
}
