//! Both trees against the oracle, driven by random sequences.

mod oracle;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use mqtt_topic::{FilterTree, NameTree, Scanned, TopicFilter, TopicName};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::sample::select;
use proptest::{prop_assert_eq, prop_oneof, proptest};

/// Few texts, so that sequences meet; among them the bytes next to `/`, texts that are prefixes of others and one too
/// long to lie inside a level.
const LEVELS: [&str; 12] =
    ["", "a", "b", "a!", "a.", "a0", "ab", "$", "$SYS", "\u{e9}", "\u{1}", "a level with many characters"];

fn name() -> impl Strategy<Value = String> {
    vec(select(&LEVELS[..]), 1..6)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("empty", |name| !name.is_empty())
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => select(&LEVELS[..]), 2 => Just("+")];
    (vec(level, 0..6), any::<bool>())
        .prop_map(|(mut levels, multi_level)| {
            levels.extend(multi_level.then_some("#"));
            levels.join("/")
        })
        .prop_filter("empty", |filter| !filter.is_empty())
}

#[derive(Clone, Debug)]
enum Change {
    Insert(String, u8, u16),
    Remove(String, u8),
    /// Takes the subscription at this place of the sorted list, so that removals hit.
    RemoveNth(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        5 => (filter(), 0..40_u8, any::<u16>()).prop_map(|(filter, key, value)| Change::Insert(filter, key, value)),
        1 => (filter(), 0..40_u8).prop_map(|(filter, key)| Change::Remove(filter, key)),
        3 => any::<usize>().prop_map(Change::RemoveNth),
    ]
}

type Subscriptions = BTreeMap<(String, u8), u16>;

fn apply(change: Change, tree: &mut FilterTree<u8, u16>, model: &mut Subscriptions) {
    let remove = |tree: &mut FilterTree<u8, u16>, model: &mut Subscriptions, filter: String, key: u8| {
        let parsed = TopicFilter::parse(&*filter).expect("valid");
        assert_eq!(tree.remove(&parsed, &key), model.remove(&(filter.clone(), key)));
        assert_eq!(tree.get(&parsed, &key), None);
    };
    match change {
        Change::Insert(filter, key, value) => {
            let parsed = TopicFilter::parse(&*filter).expect("valid");
            let old = model.insert((filter.clone(), key), value);
            assert_eq!(tree.insert(&parsed, key, value), old);
            assert_eq!(tree.get(&parsed, &key), Some(&value));
        }
        Change::Remove(filter, key) => remove(tree, model, filter, key),
        Change::RemoveNth(nth) => {
            if let Some((filter, key)) = model.keys().nth(nth % model.len().max(1)).cloned() {
                remove(tree, model, filter, key);
            }
        }
    }
    assert_eq!((tree.len(), tree.is_empty()), (model.len(), model.is_empty()));
}

fn matches_in_tree(tree: &FilterTree<u8, u16>, name: &str) -> Vec<(u8, u16)> {
    let mut found = Vec::new();
    tree.for_each_match(TopicName::parse(name).expect("valid"), |key, value| found.push((*key, *value)));
    found.sort_unstable();
    found
}

fn matches_in_model(model: &Subscriptions, name: &str) -> Vec<(u8, u16)> {
    let matching = model.iter().filter(|((filter, _), _)| oracle::matches(filter, name));
    let mut found: Vec<(u8, u16)> = matching.map(|((_, key), value)| (*key, *value)).collect();
    found.sort_unstable();
    found
}

fn scan<V: Copy>(
    tree: &NameTree<V>,
    filter: &str,
    after: Option<&str>,
    count_max: usize,
) -> Vec<(String, V)> {
    let filter = TopicFilter::parse(filter).expect("valid");
    let after = after.map(|name| TopicName::parse(name).expect("valid"));
    let mut found = Vec::new();
    let flow = tree.scan(&filter, after, |name, value| {
        found.push((name.to_owned(), *value));
        if found.len() < count_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert_eq!(flow.is_break(), found.len() == count_max);
    found
}

proptest! {
    #[test]
    fn a_filter_matches_as_the_oracle_says(filter in filter(), name in name()) {
        let parsed = TopicFilter::parse(&*filter).expect("valid");
        prop_assert_eq!(parsed.matches(&TopicName::parse(&*name).expect("valid")), oracle::matches(&filter, &name));
    }

    #[test]
    fn a_filter_tree_matches_as_the_oracle_says(
        changes in vec(change(), 1..120),
        names in vec(name(), 1..20),
    ) {
        let mut tree = FilterTree::new();
        let empty_bytes = tree.state_bytes();
        let mut model = Subscriptions::new();
        for (change, name) in changes.into_iter().zip(names.iter().cycle()) {
            apply(change, &mut tree, &mut model);
            prop_assert_eq!(matches_in_tree(&tree, name), matches_in_model(&model, name));
        }
        for name in &names {
            prop_assert_eq!(matches_in_tree(&tree, name), matches_in_model(&model, name));
        }
        while !model.is_empty() {
            apply(Change::RemoveNth(0), &mut tree, &mut model);
        }
        proptest::prop_assert!(tree.state_bytes() < empty_bytes + 16 * 1024);
    }

    #[test]
    fn a_name_tree_scans_as_the_oracle_says(
        names in vec((name(), any::<bool>()), 1..120),
        filters in vec(filter(), 1..20),
        after in name(),
    ) {
        let mut tree = NameTree::new();
        let mut model = BTreeMap::new();
        for (number, (name, insert)) in names.into_iter().enumerate() {
            let parsed = TopicName::parse(&*name).expect("valid");
            if insert || !model.contains_key(&name) {
                prop_assert_eq!(tree.insert(parsed, number), model.insert(name.clone(), number));
            } else {
                prop_assert_eq!(tree.remove(parsed), model.remove(&name));
            }
            prop_assert_eq!(tree.get(parsed), model.get(&name));
            prop_assert_eq!(tree.len(), model.len());
        }
        for filter in &filters {
            let expected: Vec<(String, usize)> = model
                .iter()
                .filter(|(name, _)| oracle::matches(filter, name))
                .map(|(name, number)| (name.clone(), *number))
                .collect();
            prop_assert_eq!(scan(&tree, filter, None, usize::MAX), &*expected);
            let behind = expected.partition_point(|(name, _)| *name <= after);
            prop_assert_eq!(scan(&tree, filter, Some(&after), usize::MAX), &expected[behind..]);
        }
    }

    #[test]
    fn a_scan_goes_on_behind_a_name_that_has_gone(
        names in vec(name(), 1..60),
        filter in filter(),
        chunk in 1..5_usize,
    ) {
        let mut tree = NameTree::new();
        for name in &names {
            tree.insert(TopicName::parse(&**name).expect("valid"), ());
        }
        let expected = scan(&tree, &filter, None, usize::MAX);
        let mut found: Vec<(String, ())> = Vec::new();
        loop {
            let after = found.last().map(|(name, ())| name.clone());
            if let Some(name) = &after {
                tree.remove(TopicName::parse(&**name).expect("valid"));
            }
            let part = scan(&tree, &filter, after.as_deref(), chunk);
            found.extend(part.iter().cloned());
            if part.len() < chunk {
                break;
            }
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_scan_in_steps_finds_the_same(names in vec(name(), 1..60), filter in filter(), steps in 0..5_usize) {
        let mut tree = NameTree::new();
        for name in &names {
            tree.insert(TopicName::parse(&**name).expect("valid"), ());
        }
        let parsed = TopicFilter::parse(&*filter).expect("valid");
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let mut calls = 0;
            let ended = tree.scan_some(&parsed, after, steps, |name, ()| {
                calls += 1;
                found.push((name.to_owned(), ()));
                ControlFlow::Continue(())
            });
            proptest::prop_assert!(calls <= steps.max(1));
            match ended {
                Scanned::Paused { after: name } => after = Some(name),
                Scanned::Finished => break,
                Scanned::Stopped => unreachable!("the visitor never stops"),
            }
        }
        prop_assert_eq!(found, scan(&tree, &filter, None, usize::MAX));
    }
}

proptest! {
    #[test]
    fn names_that_are_to_come_in_order_may_come_in_any(mut names in vec((name(), any::<u16>()), 0..600), sorted: bool) {
        if sorted {
            names.sort();
        }
        let (mut tree, mut model) = (NameTree::new(), BTreeMap::new());
        for (name, value) in names {
            let parsed = TopicName::parse(name.as_str()).expect("valid");
            prop_assert_eq!(tree.insert_in_order(parsed, value), model.insert(name.clone(), value));
        }
        let mut found = Vec::new();
        let all = TopicFilter::parse("#").expect("valid");
        let _ = tree.scan(&all, None, |name, value| {
            found.push((name.to_owned(), *value));
            ControlFlow::Continue(())
        });
        model.retain(|name, _| !name.starts_with('$'));
        prop_assert_eq!(found, model.into_iter().collect::<Vec<_>>());
    }
}
