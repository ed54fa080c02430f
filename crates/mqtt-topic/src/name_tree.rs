//! Many names, one filter.

use core::hash::BuildHasher;
use core::mem;
use core::ops::ControlFlow;

use hashbrown::DefaultHashBuilder;

use crate::id_index::{IdIndex, fold};
use crate::order::{Order, Place, Side};
use crate::skip::{Skipper, Step};
use crate::slab::{Id, Slab};
use crate::{TopicFilter, TopicName};

/// Values that are moved together with each removal from a tree that is mostly holes.
const PACKED_MAX: usize = 8;

/// Values by topic name, such as retained messages; answers which names a filter selects.
///
/// A name is found by its hash, so setting, reading and removing the value of a known name does not depend on how many
/// there are. Beside that the names are kept in the order of their bytes, where everything below a level lies together:
/// a scan goes through this order and jumps over all that the filter cannot match. Nothing recurses, and a name costs
/// memory by its bytes, not by its levels.
///
/// ```
/// use std::ops::ControlFlow;
/// use mqtt_topic::{NameTree, TopicFilter, TopicName};
///
/// let mut kept = NameTree::new();
/// kept.insert(TopicName::parse("jobs/7")?, "open");
/// kept.insert(TopicName::parse("jobs/8")?, "done");
/// let mut found = Vec::new();
/// let all = kept.scan(&TopicFilter::parse("jobs/+")?, None, |name, state| {
///     found.push(format!("{name} is {state}"));
///     ControlFlow::Continue(())
/// });
/// assert!(all.is_continue());
/// found.sort();
/// assert_eq!(found, ["jobs/7 is open", "jobs/8 is done"]);
/// # Ok::<(), mqtt_topic::TopicError>(())
/// ```
#[derive(Debug)]
pub struct NameTree<V> {
    entries: Slab<Entry<V>>,
    by_name: IdIndex,
    order: Order,
    hash_builder: DefaultHashBuilder,
    /// Bytes of all names.
    name_bytes: usize,
}

#[derive(Debug)]
struct Entry<V> {
    name: Box<str>,
    value: V,
}

/// How [`NameTree::scan_some`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Scanned<'a> {
    /// Every matching name has been visited.
    Finished,
    /// `visit` has answered `Break`; what follows the name it saw last is left.
    Stopped,
    /// The allowed number of steps is used up; the scan goes on behind this name.
    Paused {
        /// The last name looked at, to be given as `after` the next time.
        after: TopicName<&'a str>,
    },
}

impl<V> NameTree<V> {
    /// An empty tree; allocates nothing.
    pub fn new() -> Self {
        Self {
            entries: Slab::new(),
            by_name: IdIndex::new(),
            order: Order::new(),
            hash_builder: DefaultHashBuilder::default(),
            name_bytes: 0,
        }
    }

    /// Sets the value of a name and returns the one it had before. Copies the text of a new name only.
    pub fn insert(&mut self, name: TopicName<&str>, value: V) -> Option<V> {
        let name = name.as_str();
        if let Some(id) = self.find(name) {
            return Some(mem::replace(&mut self.entries[id].value, value));
        }
        let place = self.order.find(name, Side::Before, |id| &self.entries[id].name);
        self.add(place, name, value);
        None
    }

    /// The same for names that mostly come in the order of their bytes: one behind all others needs no search.
    pub fn insert_in_order(&mut self, name: TopicName<&str>, value: V) -> Option<V> {
        let last = self.order.last().map(|id| &*self.entries[id].name);
        if last.is_some_and(|last| last >= name.as_str()) {
            return self.insert(name, value);
        }
        self.add(self.order.end(), name.as_str(), value);
        None
    }

    fn add(&mut self, place: Place, name: &str, value: V) {
        let id = self.entries.insert(Entry { name: name.into(), value });
        self.name_bytes += name.len();
        self.order.insert(place, id, |id| &self.entries[id].name);
        self.by_name.insert(self.hash(name), id);
    }

    /// Removes a name and returns its value.
    pub fn remove(&mut self, name: TopicName<&str>) -> Option<V> {
        let name = name.as_str();
        let id = self.find(name)?;
        self.by_name.remove(self.hash(name), id);
        self.order.remove(self.order.find(name, Side::Before, |id| &self.entries[id].name));
        self.name_bytes -= name.len();
        let value = self.entries.remove(id).value;
        self.pack();
        Some(value)
    }

    /// The value of exactly this name.
    pub fn get(&self, name: TopicName<&str>) -> Option<&V> {
        Some(&self.entries[self.find(name.as_str())?].value)
    }

    /// Calls `visit` for every name that `filter` matches, in the order of their bytes and starting strictly after
    /// `after`, until `visit` breaks. `after` need not be in the tree, so a scan can be resumed behind the last name seen
    /// even when that has been removed since. Answers `Break` if `visit` did.
    pub fn scan(
        &self,
        filter: &TopicFilter<impl AsRef<str>>,
        after: Option<TopicName<&str>>,
        visit: impl FnMut(&str, &V) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self.scan_some(filter, after, usize::MAX, visit) {
            Scanned::Stopped => ControlFlow::Break(()),
            Scanned::Finished | Scanned::Paused { .. } => ControlFlow::Continue(()),
        }
    }

    /// Like [`scan`](Self::scan), but looks at no more than `steps_max` names, matching or not. A filter such as
    /// `+/+/+/x` may have to look at one name in every branch of the tree without finding any; this bounds how long the
    /// caller waits.
    pub fn scan_some(
        &self,
        filter: &TopicFilter<impl AsRef<str>>,
        after: Option<TopicName<&str>>,
        steps_max: usize,
        mut visit: impl FnMut(&str, &V) -> ControlFlow<()>,
    ) -> Scanned<'_> {
        if !filter.has_wildcards() {
            return self.scan_one(filter.filter(), after, visit);
        }
        let text_of = |id| &*self.entries[id].name;
        let mut skipper = Skipper::new(filter.filter());
        let mut place =
            after.map_or(Order::start(), |name| self.order.find(name.as_str(), Side::After, text_of));
        let mut steps = 0;
        while let Some((id, behind)) = self.order.next(place) {
            let Entry { name, value } = &self.entries[id];
            place = behind;
            match skipper.examine(name) {
                Step::Visit if visit(name, value).is_break() => return Scanned::Stopped,
                Step::Visit | Step::Pass => {}
                Step::Seek => place = self.order.find_forward(behind, skipper.target(), text_of),
                Step::Finish => return Scanned::Finished,
            }
            steps += 1;
            if steps >= steps_max {
                return Scanned::Paused { after: TopicName::assume_valid(name) };
            }
        }
        Scanned::Finished
    }

    /// Names with a value.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no name has a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the tree has asked the allocator for, unused capacity included. Constant time. What a `V` owns
    /// elsewhere is not counted.
    pub fn state_bytes(&self) -> usize {
        size_of::<Self>()
            + self.entries.capacity_bytes()
            + self.by_name.heap_bytes()
            + self.order.heap_bytes()
            + self.name_bytes
    }

    fn scan_one(
        &self,
        name: &str,
        after: Option<TopicName<&str>>,
        mut visit: impl FnMut(&str, &V) -> ControlFlow<()>,
    ) -> Scanned<'_> {
        let is_left = after.is_none_or(|after| after.as_str() < name);
        match self.find(name).filter(|_| is_left).map(|id| &self.entries[id]) {
            Some(entry) if visit(&entry.name, &entry.value).is_break() => Scanned::Stopped,
            _ => Scanned::Finished,
        }
    }

    fn find(&self, name: &str) -> Option<Id> {
        self.by_name.find(self.hash(name), |id| *self.entries[id].name == *name)
    }

    fn hash(&self, name: &str) -> u32 {
        fold(self.hash_builder.hash_one(name))
    }

    /// Gives memory back after many removals, a little with each of them, so that nobody waits for it; see [`Slab::pack`].
    fn pack(&mut self) {
        for _ in 0..PACKED_MAX {
            let Some((old, new)) = self.entries.pack() else { return };
            let name = &*self.entries[new].name;
            // Its texts are compared with by the order, where it still has its old id.
            let text_of = |id| &*self.entries[if id == old { new } else { id }].name;
            self.order.rename(self.order.find(name, Side::Before, text_of), new);
            self.by_name.rename(self.hash(name), old, new);
        }
    }
}

impl<V> Default for NameTree<V> {
    fn default() -> Self {
        Self::new()
    }
}
