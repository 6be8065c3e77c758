//! Tests of the cache.

use super::*;
use dino_kernels::KvType;
use ndarray::array;

fn cache(limit: Option<usize>) -> Cache {
    let layout = KvLayout {
        layers: 1,
        kv_heads: 1,
        head_dim: 16,
        types: KvType::F16.into(),
    };
    Cache::new(layout, limit)
}

fn fill_state(cache: &mut Cache, id: SequenceId, value: f32) {
    cache.states_mut(1).row_mut(id.row()).fill(value);
}

fn grow(cache: &mut Cache, id: SequenceId, tokens: usize) {
    cache.reserve(id, tokens).unwrap();
    cache.advance(id, tokens).unwrap();
}

#[test]
fn a_fork_shares_until_it_writes() {
    let mut cache = cache(None);
    let first = cache.add();
    grow(&mut cache, first, PAGE + 5);
    let second = cache.fork(first).unwrap();
    grow(&mut cache, second, 1);
    let (a, b) = (cache.pages(first).unwrap(), cache.pages(second).unwrap());
    assert!(Arc::ptr_eq(&a[0], &b[0]), "the full page is shared");
    assert!(
        !Arc::ptr_eq(&a[1], &b[1]),
        "the page that is written is not"
    );
}

#[test]
fn a_shared_page_counts_once_and_its_copy_again() {
    let mut cache = cache(Some(3));
    let first = cache.add();
    grow(&mut cache, first, PAGE + 5);
    let second = cache.fork(first).unwrap();
    assert_eq!((cache.held(), cache.available()), (2, 1));
    grow(&mut cache, second, 1);
    assert_eq!((cache.held(), cache.available()), (3, 0));
    let third = cache.fork(first).unwrap();
    let error = cache.reserve(third, 1).unwrap_err();
    assert!(matches!(error, ModelError::CacheFull { needed: 1, .. }));
    for id in [first, third] {
        cache.remove(id);
    }
    assert_eq!(cache.held(), 2);
    cache.remove(second);
    assert_eq!(cache.held(), 0);
}

#[test]
fn what_is_remembered_is_shared_and_makes_way() {
    let mut cache = cache(Some(3));
    let tokens: Vec<u32> = (0..100).collect();
    let first = cache.add();
    grow(&mut cache, first, 100);
    let pages = cache.pages(first).unwrap().to_vec();
    cache.retire(first, 0, &tokens).unwrap();
    assert_eq!((cache.held(), cache.remembered()), (2, 2));

    assert_eq!(cache.recallable(0, &tokens[..90]), 90);
    let (second, known) = cache.recall(0, &tokens[..90]);
    assert_eq!(
        (known, cache.len(second).unwrap(), cache.held()),
        (90, 90, 2)
    );
    assert!(Arc::ptr_eq(&pages[0], &cache.pages(second).unwrap()[0]));
    drop(pages);
    // Writing goes to a copy.
    grow(&mut cache, second, 1);
    assert_eq!((cache.held(), cache.available()), (3, 1));
    let third = cache.add();
    grow(&mut cache, third, 1);
    assert_eq!(
        cache.recallable(0, &tokens),
        64,
        "the page that nobody uses made way"
    );
    assert!(cache.reserve(third, PAGE).is_err());
    cache.remove(second);
    cache.forget();
    assert_eq!((cache.held(), cache.remembered()), (1, 0));
}

#[test]
fn a_sequence_may_fill_the_cache_though_its_own_past_is_remembered() {
    let mut cache = cache(Some(2));
    let tokens: Vec<u32> = (0..100).collect();
    let first = cache.add();
    grow(&mut cache, first, 100);
    cache.retire(first, 0, &tokens).unwrap();
    let (second, known) = cache.recall(0, &tokens);
    assert_eq!(known, 100);
    grow(&mut cache, second, 28);
    assert_eq!(cache.held(), 2);
    cache.remove(second);
    assert_eq!(cache.held(), 0);
}

#[test]
fn a_remembered_page_that_went_on_gives_its_beginning_back() {
    let mut cache = cache(None);
    for tokens in [70, 80, 100, 90] {
        let id = cache.add();
        grow(&mut cache, id, tokens);
        cache.retire(id, 0, &vec![7; tokens]).unwrap();
        assert_eq!((cache.held(), cache.remembered()), (2, 2));
    }
}

#[test]
fn states_are_remembered_whole_and_by_all_their_tokens() {
    let ids: Vec<u32> = (0..200).collect();
    let mut cache = cache(None).with_states(vec![3, 2]).with_snapshots(10_000);
    let first = cache.add();
    grow(&mut cache, first, 100);
    fill_state(&mut cache, first, 1.0);
    cache.remember(first, 0, &ids).unwrap();
    grow(&mut cache, first, 20);
    fill_state(&mut cache, first, 2.0);
    cache.retire(first, 0, &ids).unwrap();
    // Neither less nor another beginning.
    assert_eq!(cache.recallable(0, &ids[..99]), 0);
    assert_eq!(cache.recallable(7, &ids), 0);
    assert_eq!(cache.recallable(0, &ids[1..]), 0);
    assert_eq!(cache.recallable(0, &ids[..119]), 100);
    assert_eq!(cache.recallable(0, &ids), 120);
    // The second page was copied when the sequence went on.
    assert_eq!((cache.held(), cache.remembered()), (3, 3));

    let (one, len) = cache.recall(0, &ids[..110]);
    let (two, longer) = cache.recall(0, &ids);
    let (new, none) = cache.recall(7, &ids);
    assert_eq!((len, longer, none), (100, 120, 0));
    let rows = [one, two, new].map(|id| cache.states_mut(1)[[id.row(), 0]]);
    assert_eq!(rows, [1.0, 2.0, 0.0]);
    assert_eq!(cache.len(one).unwrap(), 100);
    grow(&mut cache, one, 5);
    assert_eq!(cache.held(), 4, "what is remembered is not written");
    for id in [one, two, new] {
        cache.remove(id);
    }
    cache.forget();
    assert_eq!((cache.held(), cache.recallable(0, &ids)), (0, 0));
}

#[test]
fn remembered_states_make_way_for_others_and_for_pages() {
    let mut cache = cache(Some(4)).with_states(vec![10]).with_snapshots(400);
    let keep = |cache: &mut Cache, token: u32| {
        let id = cache.add();
        grow(cache, id, 60);
        cache.retire(id, 0, &[token; 60]).unwrap();
    };
    // 280 bytes each: there is room for one.
    keep(&mut cache, 1);
    keep(&mut cache, 2);
    let known = |cache: &Cache| [1, 2].map(|token| cache.recallable(0, &[token; 70]));
    assert_eq!((known(&cache), cache.held()), ([0, 60], 1));
    assert_eq!(cache.available(), 4);
    let id = cache.add();
    grow(&mut cache, id, 4 * PAGE);
    assert_eq!((known(&cache), cache.held()), ([0, 0], 4));

    let mut none = Cache::new(cache.layout(), None).with_states(vec![10]);
    let id = none.add();
    grow(&mut none, id, 60);
    none.retire(id, 0, &[1; 60]).unwrap();
    assert_eq!((none.recallable(0, &[1; 70]), none.held()), (0, 0));
}

#[test]
fn removed_pages_are_used_again_and_a_full_cache_says_so() {
    let mut cache = cache(Some(2));
    let first = cache.add();
    grow(&mut cache, first, 2 * PAGE);
    let second = cache.add();
    let error = cache.reserve(second, 1).unwrap_err();
    assert!(matches!(
        error,
        ModelError::CacheFull {
            needed: 1,
            available: 0
        }
    ));
    cache.truncate(first, PAGE).unwrap();
    grow(&mut cache, second, 1);
    cache.remove(first);
    assert!(matches!(cache.len(first), Err(ModelError::UnknownSequence)));
    assert_eq!(cache.byte_size(), 2 * cache.layout().page_bytes());
}

#[test]
fn states_are_copied_by_forks_and_forgotten_whole() {
    let mut cache = cache(None).with_states(vec![3, 2]);
    let first = cache.add();
    grow(&mut cache, first, 5);
    fill_state(&mut cache, first, 1.0);
    let second = cache.fork(first).unwrap();
    fill_state(&mut cache, second, 2.0);
    let new = cache.add();
    assert_eq!(
        cache.states_mut(1),
        array![[1.0, 1.0], [2.0, 2.0], [0.0, 0.0]]
    );
    assert_eq!(cache.truncate(first, 9).unwrap(), 5);
    assert_eq!(cache.truncate(first, 5).unwrap(), 5);
    assert_eq!(cache.states_mut(1).row(first.row()), array![1.0, 1.0]);
    assert_eq!(cache.truncate(first, 4).unwrap(), 0);
    assert_eq!(cache.len(first).unwrap(), 0);
    assert_eq!(
        cache.states_mut(1),
        array![[0.0, 0.0], [2.0, 2.0], [0.0, 0.0]]
    );
    // The next sequence in a removed one's place begins with nothing.
    cache.remove(second);
    let next = cache.add();
    assert_eq!(next.row(), second.row());
    assert_eq!(cache.states_mut(1).row(next.row()), array![0.0, 0.0]);
    cache.remove(next);
    cache.remove(new);
    cache.shrink();
    assert_eq!(cache.states_mut(1).dim(), (1, 2));
}

#[test]
fn without_states_a_sequence_goes_back_where_it_is_told() {
    let mut cache = cache(None);
    let id = cache.add();
    grow(&mut cache, id, PAGE + 5);
    assert_eq!(cache.truncate(id, PAGE + 9).unwrap(), PAGE + 5);
    assert_eq!(cache.truncate(id, 3).unwrap(), 3);
    assert_eq!(cache.pages(id).unwrap().len(), 1);
}
