//! What past sequences have left in the cache, found by their tokens.
//!
//! A page of keys and values depends on its own tokens and on all before them, so pages form a tree: a node is a page
//! and the tokens of its positions, below the page that came before. A sequence is a path from the root, and what two
//! sequences begin with is one path for both. Nodes without children may be cut off, the one least recently used first.
//! Variants of the model (adapters) have roots of their own, for with the same tokens their pages differ.
//!
//! Children are kept in the order of their tokens. Those that have most in common with a given run of tokens are then
//! its neighbours in this order, so that also the first part of a page is found by a search of logarithmic time.

use dino_kernels::{KvPage, PAGE};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// Fewer tokens of a page than this are not worth the copy of it that their user has to make.
const WORTH_COPYING: usize = 4;

#[derive(Debug, Default)]
pub(super) struct PrefixTree {
    nodes: Vec<Option<Node>>,
    vacant: Vec<usize>,
    /// Of each variant; none that is empty.
    roots: BTreeMap<u64, Children>,
    /// Nodes without children, the least recently used first.
    leaves: BTreeSet<(u64, usize)>,
    /// Counts uses.
    now: u64,
}

type Children = BTreeMap<Box<[u32]>, usize>;

#[derive(Debug)]
struct Node {
    /// Those of the page's positions: [`PAGE`], or fewer in the last page of a sequence.
    tokens: Box<[u32]>,
    page: Arc<KvPage>,
    parent: Parent,
    children: Children,
    used: u64,
}

/// What a page comes behind.
#[derive(Clone, Copy, Debug)]
enum Parent {
    /// Nothing: it is the first page of a sequence of this variant.
    Root(u64),
    Node(usize),
}

impl PrefixTree {
    /// Pages that it holds.
    pub(super) fn len(&self) -> usize {
        self.nodes.len() - self.vacant.len()
    }

    /// Pages that nobody else holds.
    pub(super) fn idle(&self) -> usize {
        let nodes = self.nodes.iter().flatten();
        nodes
            .filter(|node| Arc::strong_count(&node.page) == 1)
            .count()
    }

    /// How many tokens of `tokens` are known of a variant.
    pub(super) fn known(&self, variant: u64, tokens: &[u32]) -> usize {
        self.walk(variant, tokens).1
    }

    /// The pages of the longest known beginning of `tokens`, and how many tokens it has.
    pub(super) fn find(&mut self, variant: u64, tokens: &[u32]) -> (Vec<Arc<KvPage>>, usize) {
        let (path, known) = self.walk(variant, tokens);
        self.now += 1;
        for &index in &path {
            self.touch(index);
        }
        let pages = path.iter().map(|&index| Arc::clone(&self.node(index).page));
        (pages.collect(), known)
    }

    /// Adds the pages of a sequence, except those that it knows; all but the last are full. Gives back the pages that
    /// longer ones have replaced.
    pub(super) fn insert(
        &mut self,
        variant: u64,
        tokens: &[u32],
        pages: &[Arc<KvPage>],
    ) -> Vec<Arc<KvPage>> {
        self.now += 1;
        let (mut parent, mut replaced) = (Parent::Root(variant), Vec::new());
        for (tokens, page) in tokens.chunks(PAGE).zip(pages) {
            let (found, common) = self.nearest(parent, tokens);
            let index = match found {
                // It is there already, or a longer one that begins with it.
                Some(index) if common == tokens.len() => index,
                // It goes on where that one ends.
                Some(index) if common == self.node(index).tokens.len() => {
                    replaced.push(self.remove(index).page);
                    self.add(parent, tokens, page)
                }
                _ => self.add(parent, tokens, page),
            };
            self.touch(index);
            parent = Parent::Node(index);
        }
        replaced
    }

    /// Cuts off the least recently used page that nobody else holds and on which no other rests.
    pub(super) fn evict(&mut self) -> Option<Arc<KvPage>> {
        let mut leaves = self.leaves.iter().map(|&(_, index)| index);
        let idle = leaves.find(|&index| Arc::strong_count(&self.node(index).page) == 1)?;
        Some(self.remove(idle).page)
    }

    /// Forgets everything, and gives the pages back.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Arc<KvPage>> + use<> {
        let nodes = std::mem::take(self).nodes.into_iter().flatten();
        nodes.map(|node| node.page)
    }

    /// The nodes of the longest known beginning of `tokens`, and its length.
    fn walk(&self, variant: u64, tokens: &[u32]) -> (Vec<usize>, usize) {
        let (mut path, mut known) = (Vec::new(), 0);
        let mut parent = Parent::Root(variant);
        for part in tokens.chunks(PAGE) {
            let (found, common) = self.nearest(parent, part);
            let Some(index) = found.filter(|_| common >= WORTH_COPYING.min(part.len())) else {
                break;
            };
            path.push(index);
            parent = Parent::Node(index);
            known += common;
            if common < PAGE {
                break;
            }
        }
        (path, known)
    }

    /// The child that has most in common with `tokens`, and how many tokens that are.
    fn nearest(&self, parent: Parent, tokens: &[u32]) -> (Option<usize>, usize) {
        let children = match parent {
            Parent::Node(parent) => Some(&self.node(parent).children),
            Parent::Root(variant) => self.roots.get(&variant),
        };
        let Some(children) = children else {
            return (None, 0);
        };
        let up_to = (Bound::Unbounded, Bound::Included(tokens));
        let behind = (Bound::Excluded(tokens), Bound::Unbounded);
        let before = children.range::<[u32], _>(up_to).next_back();
        let after = children.range::<[u32], _>(behind).next();
        let candidates = [after, before].into_iter().flatten();
        let measured = candidates.map(|(found, &index)| (common(found, tokens), index));
        match measured.max_by_key(|&(common, _)| common) {
            Some((common, index)) if common > 0 => (Some(index), common),
            _ => (None, 0),
        }
    }

    fn add(&mut self, parent: Parent, tokens: &[u32], page: &Arc<KvPage>) -> usize {
        let node = Node {
            tokens: tokens.into(),
            page: Arc::clone(page),
            parent,
            children: Children::new(),
            used: self.now,
        };
        let index = self.vacant.pop().unwrap_or(self.nodes.len());
        if index == self.nodes.len() {
            self.nodes.push(None);
        }
        self.nodes[index] = Some(node);
        if let Parent::Node(parent) = parent {
            self.leaves.remove(&(self.node(parent).used, parent));
        }
        self.children_mut(parent).insert(tokens.into(), index);
        self.leaves.insert((self.now, index));
        index
    }

    /// Takes out a node without children.
    fn remove(&mut self, index: usize) -> Node {
        let node = self.nodes[index].take().expect("a node of the tree");
        self.vacant.push(index);
        self.leaves.remove(&(node.used, index));
        let siblings = self.children_mut(node.parent);
        siblings.remove(&node.tokens);
        if siblings.is_empty() {
            match node.parent {
                Parent::Node(parent) => {
                    self.leaves.insert((self.node(parent).used, parent));
                }
                Parent::Root(variant) => {
                    self.roots.remove(&variant);
                }
            }
        }
        node
    }

    fn touch(&mut self, index: usize) {
        let now = self.now;
        let node = self.node_mut(index);
        let before = std::mem::replace(&mut node.used, now);
        if self.leaves.remove(&(before, index)) {
            self.leaves.insert((now, index));
        }
    }

    fn children_mut(&mut self, parent: Parent) -> &mut Children {
        match parent {
            Parent::Node(parent) => &mut self.node_mut(parent).children,
            Parent::Root(variant) => self.roots.entry(variant).or_default(),
        }
    }

    fn node(&self, index: usize) -> &Node {
        self.nodes[index].as_ref().expect("a node of the tree")
    }

    fn node_mut(&mut self, index: usize) -> &mut Node {
        self.nodes[index].as_mut().expect("a node of the tree")
    }
}

fn common(one: &[u32], other: &[u32]) -> usize {
    let pairs = one.iter().zip(other);
    pairs.take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dino_kernels::{KvLayout, KvType};
    use proptest::prelude::*;

    fn page() -> Arc<KvPage> {
        Arc::new(KvPage::new(KvLayout {
            layers: 1,
            kv_heads: 1,
            head_dim: 16,
            types: KvType::F16.into(),
        }))
    }

    fn insert(tree: &mut PrefixTree, tokens: &[u32]) {
        let pages: Vec<_> = tokens.chunks(PAGE).map(|_| page()).collect();
        tree.insert(0, tokens, &pages);
    }

    /// `runs` of one token each, of these lengths.
    fn tokens(runs: &[(u32, usize)]) -> Vec<u32> {
        let runs = runs
            .iter()
            .map(|&(token, count)| std::iter::repeat_n(token, count));
        runs.flatten().collect()
    }

    #[test]
    fn what_two_begin_with_is_one_path() {
        let mut tree = PrefixTree::default();
        insert(&mut tree, &tokens(&[(1, 128), (2, 10)]));
        insert(&mut tree, &tokens(&[(1, 128), (3, 80)]));
        assert_eq!(tree.len(), 2 + 1 + 2);
        let (pages, known) = tree.find(0, &tokens(&[(1, 128), (3, 70), (4, 9)]));
        assert_eq!((pages.len(), known), (4, 128 + 70));
        // The first part of a page is known, too.
        assert_eq!(tree.find(0, &tokens(&[(1, 128), (2, 5), (9, 9)])).1, 133);
        assert_eq!(tree.find(0, &tokens(&[(1, 100), (2, 5)])).1, 100);
        assert_eq!(tree.find(0, &tokens(&[(2, 100)])).1, 0);
    }

    #[test]
    fn a_page_that_went_on_replaces_its_beginning() {
        let mut tree = PrefixTree::default();
        insert(&mut tree, &tokens(&[(1, 70)]));
        insert(&mut tree, &tokens(&[(1, 90)]));
        insert(&mut tree, &tokens(&[(1, 80)]));
        assert_eq!(tree.len(), 2);
        assert_eq!(tree.find(0, &tokens(&[(1, 100)])).1, 90);
    }

    #[test]
    fn the_least_recently_used_leaf_goes_first_and_one_in_use_stays() {
        let mut tree = PrefixTree::default();
        insert(&mut tree, &tokens(&[(1, 128)]));
        insert(&mut tree, &tokens(&[(2, 64)]));
        let (used, _) = tree.find(0, &tokens(&[(1, 64)]));
        assert_eq!(tree.idle(), 2);
        assert!(tree.evict().is_some());
        let left = |tree: &PrefixTree| [1, 2].map(|token| tree.known(0, &tokens(&[(token, 128)])));
        assert_eq!(left(&tree), [64, 64], "the second page of the first");
        assert!(tree.evict().is_some());
        assert_eq!(left(&tree), [64, 0]);
        assert!(tree.evict().is_none(), "the only page left is in use");
        drop(used);
        assert!(tree.evict().is_some());
        assert_eq!(tree.len(), 0);
    }

    #[test]
    fn variants_share_nothing_and_make_way_together() {
        let mut tree = PrefixTree::default();
        let ids = tokens(&[(1, 100)]);
        for variant in [7, 0] {
            tree.insert(variant, &ids, &[page(), page()]);
        }
        assert_eq!((tree.len(), tree.known(8, &ids)), (4, 0));
        tree.find(7, &ids);
        assert!(tree.evict().is_some() && tree.evict().is_some());
        assert_eq!([7, 0].map(|variant| tree.known(variant, &ids)), [100, 0]);
        assert!(tree.evict().is_some() && tree.evict().is_some());
        assert!(
            tree.roots.is_empty(),
            "nothing is kept of a variant that is gone"
        );
    }

    proptest! {
        /// Against the longest common beginning with any sequence, searched one by one.
        #[test]
        fn finds_the_longest_beginning(
            sequences in prop::collection::vec(prop::collection::vec((0u32..3, 1usize..90), 1..4), 1..8),
            wanted in prop::collection::vec((0u32..3, 1usize..90), 1..4),
        ) {
            let mut tree = PrefixTree::default();
            let sequences: Vec<_> = sequences.iter().map(|runs| tokens(runs)).collect();
            for sequence in &sequences {
                insert(&mut tree, sequence);
            }
            let wanted = tokens(&wanted);
            let longest = sequences.iter().map(|sequence| common(sequence, &wanted)).max().unwrap();
            let (pages, known) = tree.find(0, &wanted);
            prop_assert_eq!(pages.len(), known.div_ceil(PAGE));
            let whole_pages = longest / PAGE * PAGE;
            prop_assert!(known == longest || (longest - whole_pages < WORTH_COPYING && known == whole_pages));
            while tree.evict().is_some() {}
            prop_assert_eq!(tree.len(), pages.len());
        }
    }
}
