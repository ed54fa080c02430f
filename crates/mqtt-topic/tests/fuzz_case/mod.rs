//! What the fuzz target `topic_filter` and the test of its corpus do with one input.

use std::ops::ControlFlow;

use mqtt_topic::{FilterTree, NameTree, TopicFilter, TopicName};

use crate::oracle;

/// Takes each line of the input as a name and as a filter, fills both trees with what is valid, and compares every
/// answer with the oracle.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let names: Vec<_> = text.split('\n').filter_map(|line| TopicName::parse(line).ok()).collect();
    let filters: Vec<_> = text.split('\n').filter_map(|line| TopicFilter::parse(line).ok()).collect();
    check_filter_tree(&filters, &names);
    check_name_tree(&filters, &names);
}

fn check_filter_tree(filters: &[TopicFilter<&str>], names: &[TopicName<&str>]) {
    let mut tree = FilterTree::new();
    filters.iter().enumerate().for_each(|(key, filter)| assert_eq!(tree.insert(filter, key, ()), None));
    for name in names {
        let mut found = Vec::new();
        tree.for_each_match(*name, |key, ()| found.push(*key));
        found.sort_unstable();
        let matching = filters.iter().enumerate().filter(|(_, filter)| is_match(filter, name));
        assert_eq!(found, matching.map(|(key, _)| key).collect::<Vec<_>>(), "{name}");
    }
    for (key, filter) in filters.iter().enumerate() {
        assert_eq!(tree.remove(filter, &key), Some(()));
    }
    assert!(tree.is_empty());
    names.iter().for_each(|name| tree.for_each_match(*name, |_, ()| unreachable!("nothing is left")));
}

fn check_name_tree(filters: &[TopicFilter<&str>], names: &[TopicName<&str>]) {
    let mut tree = NameTree::new();
    names.iter().for_each(|name| drop(tree.insert(*name, Box::new(0))));
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    for filter in filters {
        let mut found = Vec::new();
        let _ = tree.scan(filter, None, |name, _| {
            found.push(name.to_owned());
            ControlFlow::Continue(())
        });
        let matching = sorted.iter().filter(|name| is_match(filter, name));
        assert!(found.iter().eq(matching.map(TopicName::as_str)), "{filter}: {found:?}");
    }
    sorted.iter().for_each(|name| assert!(tree.remove(*name).is_some()));
    assert!(tree.is_empty());
}

fn is_match(filter: &TopicFilter<&str>, name: &TopicName<&str>) -> bool {
    let expected = oracle::matches(filter.filter(), name.as_str());
    assert_eq!(filter.matches(name), expected, "{filter} and {name}");
    expected
}
