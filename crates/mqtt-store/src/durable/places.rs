//! What is known by place: the places of one queue go up one by one, and mostly the lowest leaves first.

use std::collections::VecDeque;

use hashbrown::HashMap;

/// A map from places, dense ones next to each other.
#[derive(Debug)]
pub(crate) struct Places<T> {
    /// The place of the first slot.
    first: u64,
    slots: VecDeque<Option<T>>,
    /// Slots that hold something.
    filled: usize,
    /// Far from all others, so that holes between do not take memory.
    apart: HashMap<u64, T>,
}

/// Slots that are there whatever they hold, besides [`SPARSE_FACTOR`] for each that is filled.
const GAP_MAX: u64 = 1024;
/// Below so many slots, holes are left alone.
const SPARSE_SLOTS_MIN: usize = 1024;
/// Once more than so many slots stand for one that is filled, the oldest are put apart.
const SPARSE_FACTOR: usize = 4;
/// Slots that an empty map keeps room for.
const SPARE_SLOTS: usize = 64;

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { first: 0, slots: VecDeque::new(), filled: 0, apart: HashMap::new() }
    }
}

impl<T> Places<T> {
    pub(crate) fn len(&self) -> usize {
        self.filled + self.apart.len()
    }

    fn index(&self, place: u64) -> Option<usize> {
        let index = usize::try_from(place.checked_sub(self.first)?).ok()?;
        (index < self.slots.len()).then_some(index)
    }

    pub(crate) fn get(&self, place: u64) -> Option<&T> {
        let near = self.index(place).and_then(|index| self.slots[index].as_ref());
        near.or_else(|| self.apart.get(&place))
    }

    pub(crate) fn find_mut(&mut self, place: u64) -> Option<&mut T> {
        match self.index(place) {
            Some(index) if self.slots[index].is_some() => self.slots[index].as_mut(),
            _ => self.apart.get_mut(&place),
        }
    }

    /// What is there, which is made if nothing is.
    pub(crate) fn find_or_default(&mut self, place: u64) -> &mut T
    where
        T: Default,
    {
        self.find_or_insert(place, T::default)
    }

    /// What is there, which is made in this way if nothing is.
    pub(crate) fn find_or_insert(&mut self, place: u64, make: impl FnOnce() -> T) -> &mut T {
        match self.index(place) {
            Some(index) if self.slots[index].is_some() => {}
            _ if self.apart.contains_key(&place) => return self.apart.get_mut(&place).expect("it is there"),
            _ => match self.make_slot(place) {
                Some(index) => {
                    self.slots[index] = Some(make());
                    self.filled += 1;
                    return self.slots[index].as_mut().expect("it was put there");
                }
                None => return self.apart.entry(place).or_insert_with(make),
            },
        }
        self.find_mut(place).expect("it is there")
    }

    /// What was there before.
    pub(crate) fn insert(&mut self, place: u64, value: T) -> Option<T> {
        if let Some(old) = self.find_mut(place) {
            return Some(std::mem::replace(old, value));
        }
        match self.make_slot(place) {
            Some(index) => {
                self.slots[index] = Some(value);
                self.filled += 1;
                None
            }
            None => self.apart.insert(place, value),
        }
    }

    /// The slot of a place; `None` if it is too far from the others.
    fn make_slot(&mut self, place: u64) -> Option<usize> {
        if self.slots.is_empty() {
            self.first = place;
        }
        let wanted = GAP_MAX + (self.filled * SPARSE_FACTOR) as u64;
        let gap_max = wanted.saturating_sub(self.slots.len() as u64);
        let end = self.first.saturating_add(self.slots.len() as u64);
        if place >= end && place - end > gap_max && self.filled < SPARSE_SLOTS_MIN {
            self.begin_at(place);
            return self.make_slot(place);
        }
        if place < self.first {
            let gap = self.first - place;
            if gap > gap_max {
                return None;
            }
            (0..gap).for_each(|_| self.slots.push_front(None));
            self.first = place;
        } else if place >= end {
            if place - end > gap_max {
                return None;
            }
            (end..=place).for_each(|_| self.slots.push_back(None));
        }
        self.index(place)
    }

    /// Puts the few that are there apart: what comes now is far from them.
    fn begin_at(&mut self, place: u64) {
        let slots = std::mem::take(&mut self.slots).into_iter();
        let old = slots.zip(self.first..).filter_map(|(slot, place)| Some((place, slot?)));
        self.apart.extend(old);
        (self.first, self.filled) = (place, 0);
    }

    pub(crate) fn remove(&mut self, place: u64) -> Option<T> {
        let taken = self.index(place).and_then(|index| self.slots[index].take());
        let Some(taken) = taken else { return self.apart.remove(&place) };
        self.filled -= 1;
        self.trim();
        self.thin_out();
        Some(taken)
    }

    fn trim(&mut self) {
        while matches!(self.slots.front(), Some(None)) {
            self.slots.pop_front();
            self.first += 1;
        }
        if self.slots.is_empty() && self.slots.capacity() > SPARE_SLOTS {
            self.slots = VecDeque::new();
        }
    }

    /// Puts the oldest apart while there are far more holes than entries: two at a time, so that nobody waits long and
    /// it is still done before twice as many have come.
    fn thin_out(&mut self) {
        for _ in 0..2 {
            if self.slots.len() < SPARSE_SLOTS_MIN || self.filled * SPARSE_FACTOR > self.slots.len() {
                return;
            }
            if let Some(Some(value)) = self.slots.pop_front() {
                self.apart.insert(self.first, value);
                self.filled -= 1;
            }
            self.first += 1;
            self.trim();
        }
    }

    /// All, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let near =
            self.slots.iter().zip(self.first..).filter_map(|(slot, place)| Some((place, slot.as_ref()?)));
        near.chain(self.apart.iter().map(|(place, value)| (*place, value)))
    }

    /// All, in no order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().flatten().chain(self.apart.values_mut())
    }

    /// Keeps those for which `keep` says so.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(u64, &mut T) -> bool) {
        for (slot, place) in self.slots.iter_mut().zip(self.first..) {
            if slot.as_mut().is_some_and(|value| !keep(place, value)) {
                *slot = None;
                self.filled -= 1;
            }
        }
        self.apart.retain(|place, value| keep(*place, value));
        self.trim();
    }

    /// The highest place; 0 if there is none.
    pub(crate) fn last(&self) -> u64 {
        self.iter().map(|(place, _)| place).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn sorted(places: &Places<u64>) -> Vec<(u64, u64)> {
        let mut all: Vec<_> = places.iter().map(|(place, value)| (place, *value)).collect();
        all.sort_unstable();
        all
    }

    proptest::proptest! {
        #[test]
        fn places_behave_like_a_map(steps: Vec<(bool, u8, u16)>) {
            let (mut places, mut model) = (Places::default(), BTreeMap::new());
            for (number, (insert, far, near)) in (0_u64..).zip(steps) {
                let place = u64::from(far % 4) * 1_000_000 + u64::from(near % 64);
                if insert {
                    proptest::prop_assert_eq!(places.insert(place, number), model.insert(place, number));
                } else {
                    proptest::prop_assert_eq!(places.remove(place), model.remove(&place));
                }
                proptest::prop_assert_eq!(places.get(place), model.get(&place));
                proptest::prop_assert_eq!(places.len(), model.len());
            }
            proptest::prop_assert_eq!(places.last(), model.keys().last().copied().unwrap_or(0));
            proptest::prop_assert_eq!(sorted(&places), model.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn places_far_apart_take_memory_by_their_number_and_what_follows_them_lies_together() {
        let mut places = Places::default();
        for step in 0..40 {
            places.insert(1 << step, step);
        }
        assert!(places.slots.len() <= GAP_MAX as usize + 40 * SPARSE_FACTOR, "{} slots", places.slots.len());
        for place in 1 << 50..(1 << 50) + 5000 {
            places.insert(place, place);
        }
        assert!(places.slots.len() >= 5000 && places.apart.len() <= 40);
        assert_eq!((places.get(1), places.len()), (Some(&0), 5040));
    }

    #[test]
    fn one_that_stays_does_not_keep_the_places_of_those_that_left() {
        let mut places = Places::default();
        places.insert(1, 1);
        for place in 2..1_000_000 {
            places.insert(place, place);
            if place > 10 {
                places.remove(place - 8);
            }
        }
        assert!(places.slots.len() <= SPARSE_SLOTS_MIN, "{} slots for {}", places.slots.len(), places.len());
        assert_eq!(places.get(1), Some(&1));
    }
}
