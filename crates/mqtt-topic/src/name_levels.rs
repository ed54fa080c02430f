//! The levels of a name on its way through the trie.

use crate::inline_vec::InlineVec;
use crate::interner::{Interner, LevelHash};

/// Names up to this many levels are matched without allocating.
pub(crate) const LEVELS_INLINE: usize = 32;

/// A level text with its hash.
#[derive(Clone, Copy)]
pub(crate) struct LevelKey<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) hash: LevelHash,
}

impl<'a> LevelKey<'a> {
    #[inline]
    pub(crate) fn new(text: &'a [u8], interner: &Interner) -> Self {
        Self { text, hash: interner.hash(text) }
    }
}

/// The levels of one name, split and hashed once and only as far as the trie reaches.
pub(crate) struct NameLevels<'a> {
    interner: &'a Interner,
    name: &'a [u8],
    levels: InlineVec<NameLevel, LEVELS_INLINE>,
}

/// Where a level lies in its name, which has at most 65,535 bytes.
#[derive(Clone, Copy)]
struct NameLevel {
    start: u16,
    end: u16,
    hash: LevelHash,
}

impl<'a> NameLevels<'a> {
    pub(crate) fn new(interner: &'a Interner, name: &'a str) -> Self {
        let filler = NameLevel { start: 0, end: 0, hash: interner.hash(b"") };
        Self { interner, name: name.as_bytes(), levels: InlineVec::new(filler) }
    }

    /// The level at `depth`, `None` past the end of the name.
    #[inline]
    pub(crate) fn at(&mut self, depth: u32) -> Option<LevelKey<'a>> {
        let depth = depth as usize;
        while self.levels.len() <= depth {
            self.split_next()?;
        }
        let NameLevel { start, end, hash } = *self.levels.at(depth);
        Some(LevelKey { text: &self.name[usize::from(start)..usize::from(end)], hash })
    }

    #[inline]
    fn split_next(&mut self) -> Option<()> {
        let start = match self.levels.len().checked_sub(1) {
            None => 0,
            Some(last) => usize::from(self.levels.at(last).end) + 1,
        };
        let rest = self.name.get(start..)?;
        let text = &rest[..level_len(rest)];
        let [start, end] = [start, start + text.len()].map(|place| place as u16);
        self.levels.push(NameLevel { start, end, hash: self.interner.hash(text) });
        Some(())
    }
}

/// Bytes before the first `/`, eight at a time: a match mostly waits for memory, and the fewer instructions lie
/// between two waits, the more of them the processor lets overlap.
#[inline]
fn level_len(text: &[u8]) -> usize {
    const LOW_BITS: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    const SEPARATORS: u64 = u64::from_ne_bytes([b'/'; 8]);
    let mut at = 0;
    while let Some(chunk) = text[at..].first_chunk() {
        let differing = u64::from_le_bytes(*chunk) ^ SEPARATORS;
        // The high bit of the lowest byte that is zero, and nothing below it.
        let equal = differing.wrapping_sub(LOW_BITS) & !differing & HIGH_BITS;
        if equal != 0 {
            return at + equal.trailing_zeros() as usize / 8;
        }
        at += size_of::<u64>();
    }
    text[at..].iter().position(|byte| *byte == b'/').map_or(text.len(), |place| at + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_separator_is_found_at_every_place() {
        for len in 0..40 {
            for place in 0..=len {
                // The bytes next to `/`, and 0xAF, which differs from it in the high bit only.
                for other in [b'.', b'0', 0xAF, 0xFF, 1] {
                    let mut text = vec![other; len];
                    text.iter_mut().skip(place).step_by(3).for_each(|byte| *byte = b'/');
                    assert_eq!(level_len(&text), place, "{text:?}");
                }
            }
        }
    }

    #[test]
    fn levels_are_the_texts_between_separators() {
        let interner = Interner::new();
        let deep = "/".repeat(100);
        for name in ["a", "/", "a/", "/a", "//", "first/second level/third", "\u{e9}/\u{1f600}", &deep] {
            let mut levels = NameLevels::new(&interner, name);
            for (depth, text) in (0..).zip(name.split('/')) {
                let key = levels.at(depth).expect("one level more");
                assert_eq!((key.text, key.hash), (text.as_bytes(), interner.hash(text.as_bytes())));
            }
            assert!(levels.at(name.split('/').count() as u32).is_none());
        }
    }
}
