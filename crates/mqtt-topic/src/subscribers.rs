//! The values of one filter, by key.

use core::hash::Hash;
use core::mem;

use hashbrown::HashMap;

/// Up to this many are searched one by one; above it a hash map takes over.
const FEW_MAX: usize = 16;
/// At this many a hash map is given up again. Less than [`FEW_MAX`], so that one key coming and going converts nothing.
const FEW_AGAIN: usize = 8;
const VEC_CAPACITY_FIRST: usize = 2;

/// Most filters have one subscriber, which lives inline; a popular one has many, which must come and go in constant
/// time.
#[derive(Debug)]
pub(crate) enum Subscribers<K, V> {
    One(K, V),
    Few(Vec<(K, V)>),
    Many(Box<HashMap<K, V>>),
}

impl<K: Eq + Hash, V> Subscribers<K, V> {
    pub(crate) fn find(&self, key: &K) -> Option<&V> {
        match self {
            Self::One(k, value) => (k == key).then_some(value),
            Self::Few(few) => few.iter().find(|(k, _)| k == key).map(|(_, value)| value),
            Self::Many(many) => many.get(key),
        }
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self {
            Self::One(k, old) if *k == key => return Some(mem::replace(old, value)),
            Self::One(..) => self.become_few(VEC_CAPACITY_FIRST),
            Self::Few(few) => {
                if let Some((_, old)) = few.iter_mut().find(|(k, _)| *k == key) {
                    return Some(mem::replace(old, value));
                }
                if few.len() == FEW_MAX {
                    self.become_many();
                }
            }
            Self::Many(_) => {}
        }
        match self {
            Self::One(..) => unreachable!("one became few"),
            Self::Few(few) => few.push((key, value)),
            Self::Many(many) => return many.insert(key, value),
        }
        None
    }

    /// Removes a key. When it was the last one, [`is_empty`](Self::is_empty) holds and the value must be dropped.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        match self {
            Self::One(k, _) if k != key => None,
            Self::One(..) => match mem::replace(self, Self::Few(Vec::new())) {
                Self::One(_, value) => Some(value),
                _ => unreachable!("it was one"),
            },
            Self::Few(few) => {
                let place = few.iter().position(|(k, _)| k == key)?;
                let (_, value) = few.swap_remove(place);
                self.shrink_few();
                Some(value)
            }
            Self::Many(many) => {
                let value = many.remove(key)?;
                self.shrink_many();
                Some(value)
            }
        }
    }

    #[inline]
    pub(crate) fn for_each(&self, visit: &mut impl FnMut(&K, &V)) {
        match self {
            Self::One(key, value) => visit(key, value),
            Self::Few(few) => few.iter().for_each(|(key, value)| visit(key, value)),
            Self::Many(many) => many.iter().for_each(|(key, value)| visit(key, value)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Few(few) if few.is_empty())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::One(..) => 0,
            Self::Few(few) => few.capacity() * size_of::<(K, V)>(),
            Self::Many(many) => size_of::<HashMap<K, V>>() + many.allocation_size(),
        }
    }

    fn become_few(&mut self, capacity: usize) {
        let mut few = Vec::with_capacity(capacity);
        match mem::replace(self, Self::Few(Vec::new())) {
            Self::One(key, value) => few.push((key, value)),
            Self::Few(old) => few.extend(old),
            Self::Many(many) => few.extend(*many),
        }
        *self = Self::Few(few);
    }

    fn become_many(&mut self) {
        if let Self::Few(few) = mem::replace(self, Self::Few(Vec::new())) {
            *self = Self::Many(Box::new(few.into_iter().collect()));
        }
    }

    fn shrink_few(&mut self) {
        let Self::Few(few) = self else { return };
        if few.len() == 1
            && let Some((key, value)) = few.pop()
        {
            *self = Self::One(key, value);
        } else if few.len() < few.capacity() / 4 {
            few.shrink_to(few.len() * 2);
        }
    }

    fn shrink_many(&mut self) {
        let Self::Many(many) = self else { return };
        if many.len() <= FEW_AGAIN {
            self.become_few(FEW_MAX);
        } else if many.len() < many.capacity() / 4 {
            many.shrink_to(many.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_shrinks_through_every_form() {
        let mut subscribers = Subscribers::One(0_u64, 0_u64);
        for key in 1..1000 {
            assert_eq!(subscribers.insert(key, key), None);
            assert_eq!(subscribers.insert(key, key + 1), Some(key));
            assert!((0..=key).all(|k| subscribers.find(&k).is_some()) || key > 20);
        }
        assert!(matches!(subscribers, Subscribers::Many(_)));
        let bytes_full = subscribers.heap_bytes();
        for key in 1..1000 {
            assert_eq!(subscribers.remove(&key), Some(key + 1));
            assert_eq!(subscribers.remove(&key), None);
            let mut seen = 0;
            subscribers.for_each(&mut |_, _| seen += 1);
            assert_eq!(seen, 1000 - key);
        }
        assert!(bytes_full > 1000 * 16);
        assert!(matches!(subscribers, Subscribers::One(0, 0)));
        assert_eq!(subscribers.heap_bytes(), 0);
        assert_eq!(subscribers.remove(&0), Some(0));
        assert!(subscribers.is_empty());
    }

    #[test]
    fn one_small_subscriber_costs_no_more_than_a_vector() {
        assert_eq!(size_of::<Subscribers<u64, u8>>(), size_of::<Vec<u8>>());
        assert_eq!(size_of::<Subscribers<u64, u64>>(), size_of::<Vec<u8>>());
    }
}
