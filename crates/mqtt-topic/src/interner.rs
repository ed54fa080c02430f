//! Every distinct level text of a tree, kept once.

use core::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::slab::{Id, Moves, Slab};

const INLINE_BYTES: usize = 22;

/// Level texts by id, counted by the nodes that use them. Hashing is seeded at random, since texts come from clients.
#[derive(Debug)]
pub(crate) struct Interner {
    levels: Slab<Level>,
    by_text: HashTable<Id>,
    hash_builder: DefaultHashBuilder,
    /// Bytes of the texts that are too long to lie inside [`Level`].
    heap_bytes: usize,
}

#[derive(Debug)]
struct Level {
    text: Text,
    uses: u32,
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
            by_text: HashTable::new(),
            hash_builder: DefaultHashBuilder::default(),
            heap_bytes: 0,
        }
    }

    /// The id of a level that is in use.
    #[inline]
    pub(crate) fn find(&self, text: &str) -> Option<Id> {
        let hash = hash(&self.hash_builder, text.as_bytes());
        self.by_text.find(hash, |id| self.levels[*id].text.as_bytes() == text.as_bytes()).copied()
    }

    /// The id of a level, which counts as used once more until it is [released](Self::release).
    pub(crate) fn acquire(&mut self, text: &str) -> Id {
        if let Some(id) = self.find(text) {
            self.levels[id].uses += 1;
            return id;
        }
        let text = Text::new(text.as_bytes());
        self.heap_bytes += text.heap_bytes();
        let key = hash(&self.hash_builder, text.as_bytes());
        let id = self.levels.insert(Level { text, uses: 1 });
        let Self { levels, hash_builder, .. } = self;
        self.by_text.insert_unique(key, id, |other| hash(hash_builder, levels[*other].text.as_bytes()));
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
        let key = hash(&self.hash_builder, level.text.as_bytes());
        let entry = self.by_text.find_entry(key, |other| *other == id);
        entry.expect("every level in use is in the index").remove();
    }

    pub(crate) fn is_sparse(&self) -> bool {
        self.levels.is_sparse()
    }

    /// Frees unused memory and answers the new ids of all levels.
    pub(crate) fn compact(&mut self) -> Moves {
        let moves = self.levels.compact();
        let Self { levels, hash_builder, .. } = self;
        let mut by_text = HashTable::with_capacity(levels.len());
        for (id, level) in levels.iter() {
            by_text.insert_unique(hash(hash_builder, level.text.as_bytes()), id, |other| {
                hash(hash_builder, levels[*other].text.as_bytes())
            });
        }
        self.by_text = by_text;
        moves
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.levels.capacity_bytes() + self.by_text.allocation_size() + self.heap_bytes
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

#[inline]
fn hash(hash_builder: &DefaultHashBuilder, text: &[u8]) -> u64 {
    let mut hasher = hash_builder.build_hasher();
    hasher.write(text);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_forgotten_with_its_last_use() {
        let long = "x".repeat(INLINE_BYTES + 1);
        for text in ["", "a", &"y".repeat(INLINE_BYTES), &long] {
            let mut interner = Interner::new();
            let id = interner.acquire(text);
            assert_eq!((interner.acquire(text), interner.find(text), interner.len()), (id, Some(id), 1));
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
