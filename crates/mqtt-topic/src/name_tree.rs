//! Many names, one filter.

use core::ops::{Bound, ControlFlow};
use std::collections::BTreeMap;

use crate::{TopicFilter, TopicName};

/// Values by topic name, such as retained messages; answers which names a filter selects.
pub struct NameTree<V> {
    names: BTreeMap<Box<str>, V>,
}

impl<V> Default for NameTree<V> {
    fn default() -> Self {
        Self { names: BTreeMap::new() }
    }
}

impl<V> NameTree<V> {
    /// An empty tree; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of a name and returns the one it had before.
    pub fn insert(&mut self, name: TopicName<&str>, value: V) -> Option<V> {
        self.names.insert(name.as_str().into(), value)
    }

    /// Removes a name and returns its value.
    pub fn remove(&mut self, name: TopicName<&str>) -> Option<V> {
        self.names.remove(name.as_str())
    }

    /// The value of exactly this name.
    pub fn get(&self, name: TopicName<&str>) -> Option<&V> {
        self.names.get(name.as_str())
    }

    /// Calls `visit` for every name that `filter` matches, in the byte order of the names, starting strictly after
    /// `after`, until `visit` breaks. `after` need not be in the tree, so a scan may be resumed from the last name seen
    /// even when that has been removed since. Answers `Break` if `visit` did.
    pub fn scan(
        &self,
        filter: &TopicFilter<impl AsRef<str>>,
        after: Option<TopicName<&str>>,
        mut visit: impl FnMut(&str, &V) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let start = after.as_ref().map_or(Bound::Unbounded, |name| Bound::Excluded(name.as_str()));
        self.names
            .range::<str, _>((start, Bound::Unbounded))
            .filter(|(text, _)| filter.matches(&TopicName::assume_valid(&***text)))
            .try_for_each(|(text, value)| visit(text, value))
    }

    /// Names with a value.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no name has a value.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Bytes that the tree holds on to.
    pub fn state_bytes(&self) -> usize {
        self.names.len() * size_of::<(Box<str>, V)>()
    }
}
