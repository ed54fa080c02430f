//! Filters with wildcards, level by level.

use core::hash::{BuildHasher, Hash, Hasher};

use hashbrown::DefaultHashBuilder;

use crate::TopicName;
use crate::id_index::{IdIndex, fold};
use crate::inline_vec::InlineVec;
use crate::interner::{Interner, LevelHash};
use crate::name_levels::{LEVELS_INLINE, LevelKey, NameLevels};
use crate::slab::{Id, Slab};
use crate::subscribers::Subscribers;

/// A trie over filter levels whose nodes lie in one vector. No method recurses, dropping included, since a filter may
/// have 32,768 levels.
#[derive(Debug)]
pub(crate) struct Trie<K, V> {
    root: Option<Id>,
    nodes: Slab<Node>,
    /// The literal children of all nodes with several, found by their own parent and level.
    literals: IdIndex,
    hash_builder: DefaultHashBuilder,
    interner: Interner,
    subscribers: Slab<Subscribers<K, V>>,
    /// Heap bytes of all `subscribers`.
    subscribers_heap_bytes: usize,
}

#[derive(Debug)]
struct Node {
    /// The root is its own parent.
    parent: Id,
    /// The text of this level; `None` for the root and for a node below `+`.
    level: Option<(Id, LevelHash)>,
    plus: Option<Id>,
    literals: Literals,
    /// Of the filter that ends here.
    subscribers: Option<Id>,
    /// Of the filter that goes on with `/#` and ends there.
    multi_level: Option<Id>,
}

/// The children of a node that stand for a text. Long filters mostly have one way on, which is found without hashing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Literals {
    None,
    One(Id),
    /// So many, all of them in [`Trie::literals`].
    Indexed(u32),
}

impl Node {
    fn new(parent: Id) -> Self {
        Self {
            parent,
            level: None,
            plus: None,
            literals: Literals::None,
            subscribers: None,
            multi_level: None,
        }
    }

    fn is_unused(&self) -> bool {
        self.literals == Literals::None
            && self.plus.is_none()
            && self.subscribers.is_none()
            && self.multi_level.is_none()
    }

    fn subscribers_mut(&mut self, multi_level: bool) -> &mut Option<Id> {
        if multi_level { &mut self.multi_level } else { &mut self.subscribers }
    }
}

impl<K: Eq + Hash, V> Trie<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            root: None,
            nodes: Slab::new(),
            literals: IdIndex::new(),
            hash_builder: DefaultHashBuilder::default(),
            interner: Interner::new(),
            subscribers: Slab::new(),
            subscribers_heap_bytes: 0,
        }
    }

    pub(crate) fn insert(&mut self, filter: &str, key: K, value: V) -> Option<V> {
        let (path, multi_level) = split_multi_level(filter);
        let node = self.grow(path);
        let place = self.nodes[node].subscribers_mut(multi_level);
        let Some(id) = *place else {
            *place = Some(self.subscribers.insert(Subscribers::One(key, value)));
            return None;
        };
        let subscribers = &mut self.subscribers[id];
        self.subscribers_heap_bytes -= subscribers.heap_bytes();
        let old = subscribers.insert(key, value);
        self.subscribers_heap_bytes += subscribers.heap_bytes();
        old
    }

    pub(crate) fn remove(&mut self, filter: &str, key: &K) -> Option<V> {
        let (path, multi_level) = split_multi_level(filter);
        let node = self.find_node(path)?;
        let place = self.nodes[node].subscribers_mut(multi_level);
        let id = (*place)?;
        let subscribers = &mut self.subscribers[id];
        let heap_bytes_before = subscribers.heap_bytes();
        let old = subscribers.remove(key)?;
        self.subscribers_heap_bytes -= heap_bytes_before;
        self.subscribers_heap_bytes += subscribers.heap_bytes();
        if subscribers.is_empty() {
            *place = None;
            self.subscribers.remove(id);
            self.prune(node);
        }
        Some(old)
    }

    pub(crate) fn find(&self, filter: &str, key: &K) -> Option<&V> {
        let (path, multi_level) = split_multi_level(filter);
        let node = &self.nodes[self.find_node(path)?];
        let id = if multi_level { node.multi_level } else { node.subscribers };
        self.subscribers[id?].find(key)
    }

    /// Visits the subscribers of every filter that matches. Depth first: the next node is taken at once, and only
    /// where both a literal and a `+` lead on, the second waits on a stack.
    pub(crate) fn for_each_match(&self, name: TopicName<&str>, visit: &mut impl FnMut(&K, &V)) {
        let Some(root) = self.root else { return };
        let mut levels = NameLevels::new(&self.interner, name.as_str());
        let mut waiting = InlineVec::<(Id, u32), LEVELS_INLINE>::new((root, 0));
        let mut current = if name.is_dollar() {
            // Wildcards at the first level do not see the name [MQTT-4.7.2-1].
            levels.at(0).and_then(|level| self.literal_child(root, level)).map(|node| (node, 1))
        } else {
            Some((root, 0))
        };
        while let Some((id, depth)) = current {
            let node = &self.nodes[id];
            self.visit_subscribers(node.multi_level, visit); // `a/#` matches `a` and all below (section 4.7.1.2)
            let (literal, plus) = match levels.at(depth) {
                Some(level) => (self.literal_child(id, level), node.plus),
                None => {
                    self.visit_subscribers(node.subscribers, visit);
                    (None, None)
                }
            };
            if let (Some(_), Some(plus)) = (literal, plus) {
                waiting.push((plus, depth + 1));
            }
            current = literal.or(plus).map(|child| (child, depth + 1)).or_else(|| waiting.pop());
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.nodes.capacity_bytes()
            + self.literals.heap_bytes()
            + self.interner.heap_bytes()
            + self.subscribers.capacity_bytes()
            + self.subscribers_heap_bytes
    }

    #[inline]
    fn visit_subscribers(&self, id: Option<Id>, visit: &mut impl FnMut(&K, &V)) {
        if let Some(id) = id {
            self.subscribers[id].for_each(visit);
        }
    }

    /// The child of `parent` for a level text.
    #[inline]
    fn literal_child(&self, parent: Id, level: LevelKey<'_>) -> Option<Id> {
        match self.nodes[parent].literals {
            Literals::None => None,
            Literals::One(only) => self.is_literal(&self.nodes[only], level).then_some(only),
            Literals::Indexed(_) => {
                self.literals.find(edge_hash(&self.hash_builder, parent, level.hash), |id| {
                    let node = &self.nodes[id];
                    node.parent == parent && self.is_literal(node, level)
                })
            }
        }
    }

    #[inline]
    fn is_literal(&self, node: &Node, level: LevelKey<'_>) -> bool {
        let Some((id, hash)) = node.level else { return false };
        hash == level.hash && self.interner.is_text_of(id, level.text)
    }

    fn child(&self, parent: Id, level: &str) -> Option<Id> {
        match level {
            "+" => self.nodes[parent].plus,
            text => self.literal_child(parent, LevelKey::new(text.as_bytes(), &self.interner)),
        }
    }

    /// The node at the end of a path of levels; `None` is the path of `#` alone, which ends at the root.
    fn find_node(&self, path: Option<&str>) -> Option<Id> {
        let mut levels = path.into_iter().flat_map(|path| path.split('/'));
        levels.try_fold(self.root?, |node, level| self.child(node, level))
    }

    /// Like [`find_node`](Self::find_node), but makes what is missing.
    fn grow(&mut self, path: Option<&str>) -> Id {
        let root = self.root.unwrap_or_else(|| self.add_root());
        let levels = path.into_iter().flat_map(|path| path.split('/'));
        levels.fold(root, |node, level| match self.child(node, level) {
            Some(child) => child,
            None => self.add_child(node, level),
        })
    }

    fn add_root(&mut self) -> Id {
        let root = self.nodes.insert(Node::new(Id::FIRST));
        self.nodes[root].parent = root;
        self.root = Some(root);
        root
    }

    fn add_child(&mut self, parent: Id, level: &str) -> Id {
        let mut node = Node::new(parent);
        if level == "+" {
            let child = self.nodes.insert(node);
            self.nodes[parent].plus = Some(child);
            return child;
        }
        let LevelKey { text, hash } = LevelKey::new(level.as_bytes(), &self.interner);
        node.level = Some((self.interner.acquire(text, hash), hash));
        let child = self.nodes.insert(node);
        self.link_literal(parent, child);
        child
    }

    fn link_literal(&mut self, parent: Id, child: Id) {
        self.nodes[parent].literals = match self.nodes[parent].literals {
            Literals::None => Literals::One(child),
            Literals::One(only) => {
                self.index_literal(only);
                self.index_literal(child);
                Literals::Indexed(2)
            }
            Literals::Indexed(count) => {
                self.index_literal(child);
                Literals::Indexed(count + 1)
            }
        };
    }

    fn index_literal(&mut self, child: Id) {
        let node = &self.nodes[child];
        let (_, level) = node.level.expect("only literal nodes are indexed");
        self.literals.insert(edge_hash(&self.hash_builder, node.parent, level), child);
    }

    /// Removes a node and its ancestors as far as nothing needs them.
    fn prune(&mut self, mut id: Id) {
        while self.nodes[id].is_unused() {
            let node = self.nodes.remove(id);
            if node.parent == id {
                self.root = None;
                break;
            }
            match node.level {
                None => self.nodes[node.parent].plus = None,
                Some(level) => self.unlink_literal(id, node.parent, level),
            }
            id = node.parent;
        }
        if self.nodes.is_sparse() || self.interner.is_sparse() || self.subscribers.is_sparse() {
            self.compact();
        }
    }

    fn unlink_literal(&mut self, id: Id, parent: Id, (level, hash): (Id, LevelHash)) {
        self.interner.release(level);
        let Literals::Indexed(count) = self.nodes[parent].literals else {
            self.nodes[parent].literals = Literals::None;
            return;
        };
        self.literals.remove(edge_hash(&self.hash_builder, parent, hash), id);
        self.nodes[parent].literals = if count == 1 { Literals::None } else { Literals::Indexed(count - 1) };
    }

    /// Gives memory back after many removals. Costs as much as growing to this size did, and happens only after three
    /// quarters of it have been removed.
    fn compact(&mut self) {
        let node_moves = self.nodes.compact();
        let level_moves = self.interner.compact();
        let subscriber_moves = self.subscribers.compact();
        node_moves.apply_option(&mut self.root);
        for node in self.nodes.values_mut() {
            node_moves.apply(&mut node.parent);
            if let Some((level, _)) = &mut node.level {
                level_moves.apply(level);
            }
            node_moves.apply_option(&mut node.plus);
            if let Literals::One(only) = &mut node.literals {
                node_moves.apply(only);
            }
            subscriber_moves.apply_option(&mut node.subscribers);
            subscriber_moves.apply_option(&mut node.multi_level);
        }
        self.literals = IdIndex::new();
        for (id, node) in self.nodes.iter() {
            if let Some((_, level)) = node.level
                && matches!(self.nodes[node.parent].literals, Literals::Indexed(_))
            {
                self.literals.insert(edge_hash(&self.hash_builder, node.parent, level), id);
            }
        }
    }
}

/// Takes a last level `#` off. Nothing is left of `#` alone, and one empty level of `/#`.
fn split_multi_level(filter: &str) -> (Option<&str>, bool) {
    match filter.strip_suffix('#') {
        None => (Some(filter), false),
        Some(path) => (path.strip_suffix('/'), true),
    }
}

#[inline]
fn edge_hash(hash_builder: &DefaultHashBuilder, parent: Id, level: LevelHash) -> u32 {
    let mut hasher = hash_builder.build_hasher();
    hasher.write_u64(u64::from(parent.number()) << 32 | u64::from(level.number()));
    fold(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_32_bytes_in_its_slab() {
        let mut nodes = Slab::new();
        nodes.insert(Node::new(Id::FIRST));
        assert_eq!((size_of::<Node>(), nodes.capacity_bytes() % 32), (32, 0));
    }

    #[test]
    fn the_last_subscription_takes_every_node_and_level_with_it() {
        let mut trie = Trie::new();
        for (filter, key) in ["a/+/b", "a/#", "#", "+/+", "a/c/+", "a/d/+", "a/d/e/#"].iter().zip(0..) {
            trie.insert(filter, key, ());
            trie.insert("x/+", key, ());
        }
        for (filter, key) in ["a/+/b", "a/#", "#", "+/+", "a/c/+", "a/d/+", "a/d/e/#"].iter().zip(0..) {
            assert_eq!(trie.remove(filter, &key), Some(()));
            assert_eq!(trie.remove("x/+", &key), Some(()));
        }
        assert_eq!(
            (trie.root, trie.nodes.len(), trie.interner.len(), trie.subscribers.len()),
            (None, 0, 0, 0)
        );
        assert_eq!(trie.subscribers_heap_bytes, 0);
    }
}
