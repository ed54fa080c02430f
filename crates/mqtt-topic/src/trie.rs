//! Filters with wildcards, level by level.

use core::hash::{BuildHasher, Hash, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::TopicName;
use crate::inline_vec::InlineVec;
use crate::interner::Interner;
use crate::slab::{Id, Slab};
use crate::subscribers::Subscribers;

/// Names up to this many levels are matched without allocating.
const LEVELS_INLINE: usize = 32;

/// A trie over filter levels whose nodes lie in one vector. No method recurses, dropping included, since a filter may
/// have 32,768 levels.
#[derive(Debug)]
pub(crate) struct Trie<K, V> {
    root: Option<Id>,
    nodes: Slab<Node>,
    /// The nodes below a `/text` level, found by their own parent and level.
    literal_children: HashTable<Id>,
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
    level: Option<Id>,
    plus: Option<Id>,
    literal_children: u32,
    /// Of the filter that ends here.
    subscribers: Option<Id>,
    /// Of the filter that goes on with `/#` and ends there.
    multi_level: Option<Id>,
}

impl Node {
    fn new(parent: Id) -> Self {
        Self { parent, level: None, plus: None, literal_children: 0, subscribers: None, multi_level: None }
    }

    fn is_unused(&self) -> bool {
        self.literal_children == 0
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
            literal_children: HashTable::new(),
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
            levels.at(0).and_then(|level| self.literal_child(root, level?)).map(|node| (node, 1))
        } else {
            Some((root, 0))
        };
        while let Some((id, depth)) = current {
            let node = &self.nodes[id];
            self.visit_subscribers(node.multi_level, visit); // `a/#` matches `a` and all below (section 4.7.1.2)
            let (literal, plus) = match levels.at(depth) {
                Some(Some(level)) if node.literal_children > 0 => (self.literal_child(id, level), node.plus),
                Some(_) => (None, node.plus),
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
            + self.literal_children.allocation_size()
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

    #[inline]
    fn literal_child(&self, parent: Id, level: Id) -> Option<Id> {
        let hash = edge_hash(&self.hash_builder, parent, level);
        let is_child = |id: &Id| {
            let node = &self.nodes[*id];
            node.parent == parent && node.level == Some(level)
        };
        self.literal_children.find(hash, is_child).copied()
    }

    fn child(&self, parent: Id, level: &str) -> Option<Id> {
        match level {
            "+" => self.nodes[parent].plus,
            literal => self.literal_child(parent, self.interner.find(literal)?),
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
        let level = self.interner.acquire(level);
        node.level = Some(level);
        let child = self.nodes.insert(node);
        self.nodes[parent].literal_children += 1;
        self.index_literal(child);
        child
    }

    fn index_literal(&mut self, child: Id) {
        let Self { nodes, hash_builder, literal_children, .. } = self;
        let hash = |id: &Id| {
            let node = &nodes[*id];
            edge_hash(hash_builder, node.parent, node.level.expect("only literal nodes are indexed"))
        };
        literal_children.insert_unique(hash(&child), child, hash);
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

    fn unlink_literal(&mut self, id: Id, parent: Id, level: Id) {
        let hash = edge_hash(&self.hash_builder, parent, level);
        let entry = self.literal_children.find_entry(hash, |child| *child == id);
        entry.expect("every literal node is indexed").remove();
        self.nodes[parent].literal_children -= 1;
        self.interner.release(level);
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
            level_moves.apply_option(&mut node.level);
            node_moves.apply_option(&mut node.plus);
            subscriber_moves.apply_option(&mut node.subscribers);
            subscriber_moves.apply_option(&mut node.multi_level);
        }
        let literals: Vec<Id> =
            self.nodes.iter().filter(|(_, node)| node.level.is_some()).map(|(id, _)| id).collect();
        self.literal_children = HashTable::with_capacity(literals.len());
        literals.into_iter().for_each(|id| self.index_literal(id));
    }
}

/// The levels of one name as interned ids, looked up once and only as far as the trie reaches.
struct NameLevels<'a> {
    interner: &'a Interner,
    rest: core::str::Split<'a, char>,
    ids: InlineVec<Option<Id>, LEVELS_INLINE>,
}

impl<'a> NameLevels<'a> {
    fn new(interner: &'a Interner, name: &'a str) -> Self {
        Self { interner, rest: name.split('/'), ids: InlineVec::new(None) }
    }

    /// The level at `depth`: `None` past the end of the name, `Some(None)` for a text that no filter holds.
    #[inline]
    fn at(&mut self, depth: u32) -> Option<Option<Id>> {
        let depth = depth as usize;
        while self.ids.len() <= depth {
            let text = self.rest.next()?;
            self.ids.push(self.interner.find(text));
        }
        Some(self.ids.at(depth))
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
fn edge_hash(hash_builder: &DefaultHashBuilder, parent: Id, level: Id) -> u64 {
    let mut hasher = hash_builder.build_hasher();
    hasher.write_u64(u64::from(parent.number()) << 32 | u64::from(level.number()));
    hasher.finish()
}
