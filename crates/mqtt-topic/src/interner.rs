//! Every distinct level text of a tree, kept once.

use core::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;

use crate::id_index::{IdIndex, fold};
use crate::slab::{Id, Moves, Slab};

const INLINE_BYTES: usize = 22;

/// Level texts by id, counted by the nodes that use them. Hashing is seeded at random, since texts come from clients.
#[derive(Debug)]
pub(crate) struct Interner {
    levels: Slab<Level>,
    by_text: IdIndex,
    hash_builder: DefaultHashBuilder,
    /// Bytes of the texts that are too long to lie inside [`Level`].
    heap_bytes: usize,
}

#[derive(Debug)]
struct Level {
    text: Text,
    hash: LevelHash,
    uses: u32,
}

/// The seeded hash of a level text. Of two levels with equal hashes [`Interner::is_text_of`] tells whether they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LevelHash(u32);

impl LevelHash {
    /// The hash as a number, for combining with others.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// Most levels are short, and comparing one should not cost another cache miss.
#[derive(Debug)]
enum Text {
    Inline { len: u8, bytes: [u8; INLINE_BYTES] },
    Heap(Box<[u8]>),
}

impl Interner {
    pub(crate) fn new() -> Self {
        Self {
            levels: Slab::new(),
            by_text: IdIndex::new(),
            hash_builder: DefaultHashBuilder::default(),
            heap_bytes: 0,
        }
    }

    #[inline]
    pub(crate) fn hash(&self, text: &[u8]) -> LevelHash {
        let mut hasher = self.hash_builder.build_hasher();
        hasher.write(text);
        LevelHash(fold(hasher.finish()))
    }

    /// Whether `id` stands for `text`.
    #[inline]
    pub(crate) fn is_text_of(&self, id: Id, text: &[u8]) -> bool {
        self.levels[id].text.as_bytes() == text
    }

    /// The id of a level, which counts as used once more until it is [released](Self::release).
    pub(crate) fn acquire(&mut self, text: &[u8], hash: LevelHash) -> Id {
        if let Some(id) = self.by_text.find(hash.0, |id| self.is_text_of(id, text)) {
            self.levels[id].uses += 1;
            return id;
        }
        let text = Text::new(text);
        self.heap_bytes += text.heap_bytes();
        let id = self.levels.insert(Level { text, hash, uses: 1 });
        self.by_text.insert(hash.0, id);
        id
    }

    /// Gives one use back; the last one forgets the text.
    pub(crate) fn release(&mut self, id: Id) {
        self.levels[id].uses -= 1;
        if self.levels[id].uses > 0 {
            return;
        }
        let level = self.levels.remove(id);
        self.heap_bytes -= level.text.heap_bytes();
        self.by_text.remove(level.hash.0, id);
    }

    pub(crate) fn is_sparse(&self) -> bool {
        self.levels.is_sparse()
    }

    /// Frees unused memory and answers the new ids of all levels.
    pub(crate) fn compact(&mut self) -> Moves {
        let moves = self.levels.compact();
        self.by_text = IdIndex::new();
        self.levels.iter().for_each(|(id, level)| self.by_text.insert(level.hash.0, id));
        moves
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.levels.capacity_bytes() + self.by_text.heap_bytes() + self.heap_bytes
    }

    #[cfg(test)]
    fn find(&self, text: &[u8]) -> Option<Id> {
        let hash = self.hash(text);
        self.by_text.find(hash.0, |id| self.is_text_of(id, text))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.levels.len()
    }
}

impl Text {
    fn new(text: &[u8]) -> Self {
        let mut bytes = [0; INLINE_BYTES];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(text);
                Self::Inline { len, bytes }
            }
            _ => Self::Heap(text.into()),
        }
    }

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Heap(bytes) => bytes,
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Heap(bytes) => bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_forgotten_with_its_last_use() {
        let long = "x".repeat(INLINE_BYTES + 1);
        for text in ["", "a", &"y".repeat(INLINE_BYTES), &long] {
            let text = text.as_bytes();
            let mut interner = Interner::new();
            let hash = interner.hash(text);
            let id = interner.acquire(text, hash);
            assert_eq!(
                (interner.acquire(text, hash), interner.find(text), interner.len()),
                (id, Some(id), 1)
            );
            interner.release(id);
            assert_eq!(interner.find(text), Some(id));
            interner.release(id);
            assert_eq!((interner.find(text), interner.len(), interner.heap_bytes), (None, 0, 0));
        }
    }

    #[test]
    fn a_level_has_32_bytes() {
        assert_eq!(size_of::<Level>(), 32);
    }
}
