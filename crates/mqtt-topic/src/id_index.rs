//! Ids by hash, for keys that lie elsewhere.

use crate::slab::Id;

/// At most three of four slots are taken, so that a search ends within a cache line.
const LOAD_MAX: (usize, usize) = (3, 4);
const SLOTS_MIN: usize = 8;
/// Indexes with fewer slots than this never shrink.
const SPARSE_SLOTS_MIN: usize = 64;

/// A hash table with linear probing that keeps 32 bits of hash beside each id. A search touches one cache line and the
/// id it finds is nearly always the right one; growing reads no keys. The table has any number of slots, so it grows by
/// half.
#[derive(Debug, Default)]
pub(crate) struct IdIndex {
    slots: Vec<Slot>,
    len: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    hash: u32,
    id: Option<Id>,
}

impl IdIndex {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), len: 0 }
    }

    /// The id under `hash` that `is_wanted`.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut is_wanted: impl FnMut(Id) -> bool) -> Option<Id> {
        if self.slots.is_empty() {
            return None;
        }
        let mut place = home(hash, self.slots.len());
        loop {
            let slot = self.slots[place];
            let id = slot.id?;
            if slot.hash == hash && is_wanted(id) {
                return Some(id);
            }
            place = self.behind(place);
        }
    }

    /// Adds an id, which must not be there yet.
    pub(crate) fn insert(&mut self, hash: u32, id: Id) {
        if (self.len + 1) * LOAD_MAX.1 > self.slots.len() * LOAD_MAX.0 {
            self.resize((self.slots.len() / 2 * 3).max(SLOTS_MIN));
        }
        self.place(Slot { hash, id: Some(id) });
        self.len += 1;
    }

    /// Removes an id, which must be there.
    pub(crate) fn remove(&mut self, hash: u32, id: Id) {
        let mut hole = home(hash, self.slots.len());
        while self.slots[hole].id != Some(id) {
            assert!(self.slots[hole].id.is_some(), "an id that is removed has been inserted");
            hole = self.behind(hole);
        }
        self.close(hole);
        self.len -= 1;
        if self.slots.len() >= SPARSE_SLOTS_MIN && self.len < self.slots.len() / 8 {
            self.resize(self.len * 3);
        }
    }

    /// Gives an id, which must be there, another name.
    pub(crate) fn rename(&mut self, hash: u32, old: Id, new: Id) {
        let mut place = home(hash, self.slots.len());
        while self.slots[place].id != Some(old) {
            assert!(self.slots[place].id.is_some(), "an id that is renamed has been inserted");
            place = self.behind(place);
        }
        self.slots[place].id = Some(new);
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    /// Moves back what would no longer be found past a hole.
    fn close(&mut self, mut hole: usize) {
        let count = self.slots.len();
        let distance = |from: usize, to: usize| if to >= from { to - from } else { to + count - from };
        let mut place = self.behind(hole);
        while self.slots[place].id.is_some() {
            let slot = self.slots[place];
            if distance(home(slot.hash, count), place) >= distance(hole, place) {
                self.slots[hole] = slot;
                hole = place;
            }
            place = self.behind(place);
        }
        self.slots[hole].id = None;
    }

    fn resize(&mut self, count: usize) {
        let slots = core::mem::replace(&mut self.slots, vec![Slot::default(); count]);
        slots.into_iter().filter(|slot| slot.id.is_some()).for_each(|slot| self.place(slot));
    }

    fn place(&mut self, slot: Slot) {
        let mut place = home(slot.hash, self.slots.len());
        while self.slots[place].id.is_some() {
            place = self.behind(place);
        }
        self.slots[place] = slot;
    }

    #[inline]
    fn behind(&self, place: usize) -> usize {
        if place + 1 == self.slots.len() { 0 } else { place + 1 }
    }
}

/// Where the search for a hash starts: the hash scaled to the number of slots.
#[inline]
fn home(hash: u32, slots: usize) -> usize {
    ((u64::from(hash) * slots as u64) >> u32::BITS) as usize
}

/// 32 bits out of a hash of 64.
#[inline]
pub(crate) fn fold(hash: u64) -> u32 {
    (hash >> 32) as u32 ^ hash as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Slab;

    #[track_caller]
    fn check(hash_of: impl Fn(u32) -> u32) {
        let mut keys = Slab::new();
        let mut index = IdIndex::new();
        let mut ids = Vec::new();
        for key in 0..2_000_u32 {
            let id = keys.insert(key);
            index.insert(hash_of(key), id);
            ids.push(id);
        }
        let bytes_full = index.heap_bytes();
        for (key, id) in (0..).zip(&ids).filter(|(key, _)| key % 3 != 0) {
            index.remove(hash_of(key), *id);
            assert_eq!(index.find(hash_of(key), |other| other == *id), None);
        }
        for (key, id) in (0..).zip(&ids) {
            let expected = (key % 3 == 0).then_some(*id);
            assert_eq!(index.find(hash_of(key), |other| keys[other] == key), expected);
        }
        for (key, id) in (0..).zip(&ids).filter(|(key, _)| key % 3 == 0) {
            index.remove(hash_of(key), *id);
        }
        assert_eq!((index.len, index.find(0, |_| true)), (0, None));
        assert!(index.heap_bytes() < bytes_full / 20);
    }

    #[test]
    fn ids_are_found_until_they_are_removed() {
        check(|key| key.wrapping_mul(0x9E37_79B9));
    }

    #[test]
    fn equal_hashes_and_hashes_at_the_end_are_found_too() {
        check(|key| key % 5);
        check(|key| u32::MAX - key % 7);
        check(|key| if key % 2 == 0 { u32::MAX } else { 0 });
    }

    #[test]
    fn an_entry_has_8_bytes() {
        assert_eq!(size_of::<Slot>(), 8);
    }
}
