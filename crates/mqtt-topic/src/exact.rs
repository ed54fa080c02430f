//! Filters without wildcards.

use core::hash::{BuildHasher, Hash};

use hashbrown::DefaultHashBuilder;

use crate::id_index::{IdIndex, fold};
use crate::slab::{Id, Slab};
use crate::subscribers::Subscribers;

/// A map from the text of a filter, which is the one name that it matches, to its subscribers.
#[derive(Debug)]
pub(crate) struct Exact<K, V> {
    filters: Slab<Filter<K, V>>,
    by_text: IdIndex,
    hash_builder: DefaultHashBuilder,
    /// Bytes behind the texts and the subscribers.
    heap_bytes: usize,
}

#[derive(Debug)]
struct Filter<K, V> {
    text: Box<str>,
    subscribers: Subscribers<K, V>,
}

/// What [`Exact::candidate`] hands to [`Exact::confirm`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    id: Id,
    hash: u32,
}

impl<K: Eq + Hash, V> Exact<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            filters: Slab::new(),
            by_text: IdIndex::new(),
            hash_builder: DefaultHashBuilder::default(),
            heap_bytes: 0,
        }
    }

    pub(crate) fn find(&self, text: &str) -> Option<&Subscribers<K, V>> {
        self.confirm(self.candidate(text)?, text)
    }

    /// The first half of [`find`](Self::find): a filter that is very likely the wanted one, as its hash says.
    #[inline]
    pub(crate) fn candidate(&self, text: &str) -> Option<Candidate> {
        let hash = self.hash(text);
        let id = self.by_text.find(hash, |_| true)?;
        Some(Candidate { id, hash })
    }

    /// The second half of [`find`](Self::find).
    #[inline]
    pub(crate) fn confirm(&self, candidate: Candidate, text: &str) -> Option<&Subscribers<K, V>> {
        let filter = &self.filters[candidate.id];
        if *filter.text == *text {
            return Some(&filter.subscribers);
        }
        let id = self.find_id(text, candidate.hash)?;
        Some(&self.filters[id].subscribers)
    }

    pub(crate) fn insert(&mut self, text: &str, key: K, value: V) -> Option<V> {
        let hash = self.hash(text);
        let Some(id) = self.find_id(text, hash) else {
            let filter = Filter { text: text.into(), subscribers: Subscribers::One(key, value) };
            self.by_text.insert(hash, self.filters.insert(filter));
            self.heap_bytes += text.len();
            return None;
        };
        let subscribers = &mut self.filters[id].subscribers;
        self.heap_bytes -= subscribers.heap_bytes();
        let old = subscribers.insert(key, value);
        self.heap_bytes += subscribers.heap_bytes();
        old
    }

    pub(crate) fn remove(&mut self, text: &str, key: &K) -> Option<V> {
        let hash = self.hash(text);
        let id = self.find_id(text, hash)?;
        let subscribers = &mut self.filters[id].subscribers;
        let heap_bytes_before = subscribers.heap_bytes();
        let old = subscribers.remove(key)?;
        self.heap_bytes -= heap_bytes_before;
        self.heap_bytes += subscribers.heap_bytes();
        if subscribers.is_empty() {
            self.by_text.remove(hash, id);
            self.filters.remove(id);
            self.heap_bytes -= text.len();
            self.compact_if_sparse();
        }
        Some(old)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.filters.capacity_bytes() + self.by_text.heap_bytes() + self.heap_bytes
    }

    #[inline]
    fn find_id(&self, text: &str, hash: u32) -> Option<Id> {
        self.by_text.find(hash, |id| *self.filters[id].text == *text)
    }

    #[inline]
    fn hash(&self, text: &str) -> u32 {
        fold(self.hash_builder.hash_one(text))
    }

    /// Gives memory back after many removals; see [`Slab::is_sparse`].
    fn compact_if_sparse(&mut self) {
        if !self.filters.is_sparse() {
            return;
        }
        self.filters.compact();
        self.by_text = IdIndex::new();
        for (id, filter) in self.filters.iter() {
            self.by_text.insert(fold(self.hash_builder.hash_one(&*filter.text)), id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_that_only_shares_the_hash_is_not_taken() {
        let mut exact = Exact::new();
        exact.insert("a", 1_u64, 1_u64);
        exact.insert("b", 2, 2);
        let [a, b] = ["a", "b"].map(|text| exact.candidate(text).expect("it was inserted"));
        let mistaken = Candidate { id: a.id, hash: b.hash };
        assert_eq!(exact.confirm(mistaken, "b").and_then(|subscribers| subscribers.find(&2)), Some(&2));
        assert!(exact.confirm(a, "c").is_none());
    }
}
