//! Values in one vector, addressed by small ids that stay the same while the value lives.

use core::num::NonZeroU32;

/// Slabs with fewer slots than this are never worth compacting.
const SPARSE_SLOTS_MIN: usize = 64;
/// Slots that [`Slab::pack`] looks at.
const PACK_STEPS: usize = 16;

/// The address of a value in a [`Slab`]: its slot plus one, so that `Option<Id>` has four bytes too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(NonZeroU32);

impl Id {
    /// Of the first slot.
    pub(crate) const FIRST: Self = Self(NonZeroU32::MIN);

    fn of_slot(slot: usize) -> Self {
        let number = u32::try_from(slot + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("memory ends long before four thousand million values"))
    }

    fn slot(self) -> usize {
        self.0.get() as usize - 1
    }

    /// The id as a number, for hashing.
    pub(crate) fn number(self) -> u32 {
        self.0.get()
    }
}

#[derive(Debug)]
enum Slot<T> {
    Full(T),
    /// The next free slot.
    Free(Option<Id>),
}

/// A vector of values with a list of the free slots threaded through it.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Option<Id>,
    len: usize,
    /// While values are moved together: all slots before this one are settled. Free ones behind it are not in the list.
    packing: Option<usize>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: None, len: 0, packing: None }
    }

    pub(crate) fn insert(&mut self, value: T) -> Id {
        self.len += 1;
        let Some(id) = self.free else {
            return self.push(value);
        };
        let slot = &mut self.slots[id.slot()];
        let Slot::Free(next) = *slot else { unreachable!("the free list holds free slots only") };
        self.free = next;
        *slot = Slot::Full(value);
        id
    }

    pub(crate) fn remove(&mut self, id: Id) -> T {
        let slot = core::mem::replace(&mut self.slots[id.slot()], Slot::Free(self.free));
        let Slot::Full(value) = slot else { unreachable!("an id is given up when its value is removed") };
        if self.packing.is_none_or(|settled| id.slot() < settled) {
            self.free = Some(id);
        }
        self.len -= 1;
        value
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Full(value) => Some(value),
            Slot::Free(_) => None,
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, content)| match content {
            Slot::Full(value) => Some((Id::of_slot(slot), value)),
            Slot::Free(_) => None,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn capacity_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<T>>()
    }

    /// Whether less than a quarter of the memory is in use, so that [`compact`](Self::compact) pays.
    pub(crate) fn is_sparse(&self) -> bool {
        self.slots.capacity() >= SPARSE_SLOTS_MIN && self.len < self.slots.capacity() / 4
    }

    /// Moves the values together, frees the rest of the memory and answers where every value has gone.
    /// All ids given out before are void.
    pub(crate) fn compact(&mut self) -> Moves {
        let mut packed = Vec::with_capacity(self.len);
        let mut new_ids = Vec::with_capacity(self.slots.len());
        for slot in core::mem::take(&mut self.slots) {
            new_ids.push(Id::of_slot(packed.len()));
            if matches!(slot, Slot::Full(_)) {
                packed.push(slot);
            }
        }
        self.slots = packed;
        (self.free, self.packing) = (None, None);
        Moves(new_ids)
    }

    /// Does a small part of what [`compact`](Self::compact) does at once, if it pays: moves one value from the end into a
    /// hole, or finds out that there is nothing to move yet. The id that the value had, and the one that it has now.
    pub(crate) fn pack(&mut self) -> Option<(Id, Id)> {
        let mut settled = match self.packing {
            Some(settled) => settled,
            None if self.is_sparse() => {
                self.free = None;
                0
            }
            None => return None,
        };
        for _ in 0..PACK_STEPS {
            self.packing = Some(settled);
            match (self.slots.get(settled), self.slots.last()) {
                (None, _) | (_, None) => {
                    self.packing = None;
                    self.slots.shrink_to(self.slots.len() / 4 * 5);
                    return None;
                }
                (_, Some(Slot::Free(_))) => drop(self.slots.pop()),
                (Some(Slot::Full(_)), _) => settled += 1,
                (Some(Slot::Free(_)), Some(Slot::Full(_))) => {
                    let old = Id::of_slot(self.slots.len() - 1);
                    self.slots.swap_remove(settled);
                    self.packing = Some(settled + 1);
                    return Some((old, Id::of_slot(settled)));
                }
            }
        }
        self.packing = Some(settled);
        None
    }

    /// Grows by a quarter, not by doubling: large vectors are moved by the kernel and idle capacity is dear.
    fn push(&mut self, value: T) -> Id {
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(self.slots.len() / 4 + 4);
        }
        self.slots.push(Slot::Full(value));
        Id::of_slot(self.slots.len() - 1)
    }
}

impl<T> core::ops::Index<Id> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, id: Id) -> &T {
        match &self.slots[id.slot()] {
            Slot::Full(value) => value,
            Slot::Free(_) => unreachable!("an id is given up when its value is removed"),
        }
    }
}

impl<T> core::ops::IndexMut<Id> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, id: Id) -> &mut T {
        match &mut self.slots[id.slot()] {
            Slot::Full(value) => value,
            Slot::Free(_) => unreachable!("an id is given up when its value is removed"),
        }
    }
}

/// New ids by old ids, made by [`Slab::compact`].
pub(crate) struct Moves(Vec<Id>);

impl Moves {
    pub(crate) fn apply(&self, id: &mut Id) {
        *id = self.0[id.slot()];
    }

    pub(crate) fn apply_option(&self, id: &mut Option<Id>) {
        if let Some(id) = id {
            self.apply(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_costs_no_more_than_its_value() {
        assert_eq!(size_of::<Slot<(Id, u32)>>(), 8);
        assert_eq!(size_of::<Slot<Box<str>>>(), 16);
    }

    #[test]
    fn freed_slots_are_used_again() {
        let mut slab = Slab::new();
        let ids: Vec<Id> = (0..10).map(|value| slab.insert(value)).collect();
        let capacity_bytes = slab.capacity_bytes();
        assert_eq!(slab.remove(ids[3]), 3);
        assert_eq!(slab.remove(ids[7]), 7);
        assert_eq!(slab.insert(70), ids[7]);
        assert_eq!(slab.insert(30), ids[3]);
        assert_eq!((slab.len(), slab.capacity_bytes()), (10, capacity_bytes));
    }

    proptest::proptest! {
        #[test]
        fn packing_in_small_parts_loses_nothing_and_ends_dense(steps: Vec<(u8, u16)>, keep in 1_usize..200) {
            let mut slab = Slab::new();
            let mut ids: Vec<Id> = (0..1000_u16).map(|value| slab.insert(value)).collect();
            let mut values: Vec<u16> = (0..1000).collect();
            let mut steps = steps.into_iter();
            while ids.len() > keep || slab.packing.is_some() {
                let (kind, value) = steps.next().unwrap_or((1, 7));
                if kind % 4 == 0 {
                    ids.push(slab.insert(value));
                    values.push(value);
                } else if ids.len() > 1 {
                    let index = usize::from(value) % ids.len();
                    proptest::prop_assert_eq!(slab.remove(ids.swap_remove(index)), values.swap_remove(index));
                }
                if let Some((old, new)) = slab.pack() {
                    *ids.iter_mut().find(|id| **id == old).expect("what is moved is there") = new;
                }
                let found: Vec<u16> = ids.iter().map(|id| slab[*id]).collect();
                proptest::prop_assert_eq!((&found, slab.len()), (&values, ids.len()));
            }
            proptest::prop_assert!(slab.slots.len() <= 1000 / 4 + ids.len() * 4, "{} slots", slab.slots.len());
        }
    }

    #[test]
    fn compaction_keeps_values_in_order_and_tells_their_new_ids() {
        let mut slab = Slab::new();
        let mut ids: Vec<Id> = (0..100).map(|value| slab.insert(value)).collect();
        for id in ids.iter().skip(10) {
            slab.remove(*id);
        }
        slab.remove(ids[0]);
        assert!(slab.is_sparse());
        let moves = slab.compact();
        ids[1..10].iter_mut().for_each(|id| moves.apply(id));
        assert_eq!(ids[1..10].iter().map(|id| slab[*id]).collect::<Vec<_>>(), (1..10).collect::<Vec<_>>());
        assert!(!slab.is_sparse());
    }
}
