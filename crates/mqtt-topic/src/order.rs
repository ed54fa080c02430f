//! The names of a tree in the order of their bytes.

use crate::slab::Id;

/// Ids per block. Small enough to move half of a block when a name comes in, large enough that the list of blocks
/// stays in the processor's caches.
const BLOCK_IDS: usize = 256;
const MERGE_BELOW: usize = BLOCK_IDS / 4;
const MERGED_MAX: usize = BLOCK_IDS * 3 / 4;

/// A sorted sequence of ids, cut into blocks. Texts live elsewhere and come in as `text_of`.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// None of them is empty.
    blocks: Vec<Block>,
    /// Bytes of all [`Block::low`].
    low_bytes: usize,
}

#[derive(Debug)]
struct Block {
    /// At least every text of the block before, at most every text of this one; means nothing in the first block.
    low: Box<str>,
    /// Sorted; its capacity is [`BLOCK_IDS`] from the start.
    ids: Vec<Id>,
}

/// A place in the sequence: `slot` may be the end of its block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    block: usize,
    slot: usize,
}

/// Which of the two places next to an equal text is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

impl Side {
    /// Whether a place on this side of `name` lies behind `text`.
    #[inline]
    fn is_past(self, text: &str, name: &str) -> bool {
        match self {
            Self::Before => text < name,
            Self::After => text <= name,
        }
    }
}

impl Order {
    pub(crate) const fn new() -> Self {
        Self { blocks: Vec::new(), low_bytes: 0 }
    }

    pub(crate) const fn start() -> Place {
        Place { block: 0, slot: 0 }
    }

    /// The id at the end.
    pub(crate) fn last(&self) -> Option<Id> {
        self.blocks.last()?.ids.last().copied()
    }

    /// The place behind all.
    pub(crate) fn end(&self) -> Place {
        let slot = self.blocks.last().map_or(0, |block| block.ids.len());
        Place { block: self.blocks.len().saturating_sub(1), slot }
    }

    /// The place next to `name`, whether or not it is in the sequence.
    pub(crate) fn find<'a>(&self, name: &str, side: Side, text_of: impl Fn(Id) -> &'a str) -> Place {
        let block = self.blocks.partition_point(|block| *block.low <= *name).saturating_sub(1);
        let ids = self.blocks.get(block).map_or(&[][..], |block| &block.ids);
        Place { block, slot: ids.partition_point(|id| side.is_past(text_of(*id), name)) }
    }

    /// Like [`find`](Self::find) with [`Side::Before`] for a name that is not before `from`; quick if it is near.
    pub(crate) fn find_forward<'a>(&self, from: Place, name: &str, text_of: impl Fn(Id) -> &'a str) -> Place {
        let ids = self.blocks.get(from.block).map_or(&[][..], |block| &block.ids[from.slot..]);
        let is_past = |id: &Id| Side::Before.is_past(text_of(*id), name);
        if ids.last().is_none_or(is_past) {
            return self.find(name, Side::Before, text_of);
        }
        let mut reach = 1;
        while ids.get(reach).is_some_and(is_past) {
            reach *= 2;
        }
        let known = reach / 2;
        let near = &ids[known..ids.len().min(reach + 1)];
        Place { block: from.block, slot: from.slot + known + near.partition_point(is_past) }
    }

    /// The id at a place and the place behind it; `None` at the end.
    pub(crate) fn next(&self, place: Place) -> Option<(Id, Place)> {
        let Place { mut block, mut slot } = place;
        if self.blocks.get(block)?.ids.len() <= slot {
            (block, slot) = (block + 1, 0);
        }
        let id = *self.blocks.get(block)?.ids.get(slot)?;
        Some((id, Place { block, slot: slot + 1 }))
    }

    /// Puts an id where [`find`](Self::find) has found its text to belong.
    pub(crate) fn insert<'a>(&mut self, place: Place, id: Id, text_of: impl Fn(Id) -> &'a str) {
        let Place { block, slot } = place;
        match self.blocks.get_mut(block) {
            None => self.add_block(block, vec![id], text_of),
            Some(full) if full.ids.len() == BLOCK_IDS => self.insert_into_full(place, id, text_of),
            Some(block) => block.ids.insert(slot, id),
        }
    }

    /// Takes the id out that lies at a place.
    pub(crate) fn remove(&mut self, place: Place) {
        let ids = &mut self.blocks[place.block].ids;
        ids.remove(place.slot);
        if ids.is_empty() {
            self.remove_block(place.block);
        } else if ids.len() < MERGE_BELOW {
            let _ = self.merge_with_next(place.block) || self.merge_with_next(place.block.wrapping_sub(1));
        }
    }

    /// Gives the text at a place another id.
    pub(crate) fn rename(&mut self, place: Place, id: Id) {
        self.blocks[place.block].ids[place.slot] = id;
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let block_bytes = BLOCK_IDS * size_of::<Id>();
        self.blocks.capacity() * size_of::<Block>() + self.blocks.len() * block_bytes + self.low_bytes
    }

    fn insert_into_full<'a>(&mut self, place: Place, id: Id, text_of: impl Fn(Id) -> &'a str) {
        let Place { block, slot } = place;
        let ids = &mut self.blocks[block].ids;
        if slot == ids.len() {
            // Names that come in order fill their blocks.
            return self.add_block(block + 1, vec![id], text_of);
        }
        ids.insert(slot, id);
        let upper = ids.split_off(BLOCK_IDS / 2);
        ids.shrink_to(BLOCK_IDS);
        self.add_block(block + 1, upper, text_of);
    }

    fn add_block<'a>(&mut self, place: usize, mut ids: Vec<Id>, text_of: impl Fn(Id) -> &'a str) {
        ids.reserve_exact(BLOCK_IDS - ids.len());
        let low: Box<str> = text_of(ids[0]).into();
        self.low_bytes += low.len();
        self.blocks.insert(place, Block { low, ids });
    }

    fn remove_block(&mut self, place: usize) -> Block {
        let block = self.blocks.remove(place);
        self.low_bytes -= block.low.len();
        if self.blocks.len() < self.blocks.capacity() / 4 {
            self.blocks.shrink_to(self.blocks.len() * 2);
        }
        block
    }

    /// Joins a block with the one behind it if both exist and leave room for more.
    fn merge_with_next(&mut self, block: usize) -> bool {
        let Some([left, right]) = self.blocks.get(block..).and_then(|blocks| blocks.first_chunk()) else {
            return false;
        };
        let fits = left.ids.len() + right.ids.len() <= MERGED_MAX;
        if fits {
            let right = self.remove_block(block + 1);
            self.blocks[block].ids.extend(right.ids);
        }
        fits
    }
}
