//! A vector whose first elements live on the stack.

/// Pushes up to `N` elements without allocating; the rest go to the heap.
pub(crate) struct InlineVec<T, const N: usize> {
    inline: [T; N],
    spilled: Vec<T>,
    len: usize,
}

impl<T: Copy, const N: usize> InlineVec<T, N> {
    /// An empty vector; `filler` only occupies the unused places.
    pub(crate) fn new(filler: T) -> Self {
        Self { inline: [filler; N], spilled: Vec::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, value: T) {
        match self.inline.get_mut(self.len) {
            Some(place) => *place = value,
            None => self.spilled.push(value),
        }
        self.len += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        self.spilled.pop().or_else(|| self.inline.get(self.len).copied())
    }

    pub(crate) fn at(&mut self, index: usize) -> &mut T {
        debug_assert!(index < self.len);
        if index < N { &mut self.inline[index] } else { &mut self.spilled[index - N] }
    }
}

#[cfg(test)]
mod tests {
    use super::InlineVec;

    #[test]
    fn elements_past_the_inline_part_keep_their_order() {
        let mut vec = InlineVec::<u32, 4>::new(0);
        (0..4).for_each(|value| vec.push(value));
        assert_eq!(vec.spilled.capacity(), 0, "nothing is allocated yet");
        (4..9).for_each(|value| vec.push(value));
        assert_eq!(vec.len(), 9);
        assert_eq!((0..9).map(|index| *vec.at(index)).collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
        assert_eq!(core::iter::from_fn(|| vec.pop()).collect::<Vec<_>>(), (0..9).rev().collect::<Vec<_>>());
        vec.push(7);
        assert_eq!((vec.pop(), vec.pop()), (Some(7), None));
    }
}
