//! Trees that are large, names and filters that are deep.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::ControlFlow;

use mqtt_topic::{FilterTree, NameTree, TOPIC_BYTES_MAX, TopicFilter, TopicName};

const MILLION: u64 = 1_000_000;

fn filter(text: &str) -> TopicFilter<&str> {
    TopicFilter::parse(text).expect("a valid filter")
}

fn name(text: &str) -> TopicName<&str> {
    TopicName::parse(text).expect("a valid name")
}

fn keys_matching(tree: &FilterTree<u64, ()>, text: &str) -> Vec<u64> {
    let mut keys = Vec::new();
    tree.for_each_match(name(text), |key, ()| keys.push(*key));
    keys.sort_unstable();
    keys
}

fn scan<V>(tree: &NameTree<V>, text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let _ = tree.scan(&filter(text), None, |name, _| {
        names.push(name.to_owned());
        ControlFlow::Continue(())
    });
    names
}

/// Numbers below `count`, each once, in an order without pattern. `count` is not divisible by the step.
fn shuffled(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |i| i * 7_654_321 % count)
}

fn device_topic(text: &mut String, device: u64, suffix: &str) {
    text.clear();
    write!(text, "site/device/{device:06}/{suffix}").expect("a string takes everything");
}

#[test]
fn a_million_filters() {
    let mut tree = FilterTree::new();
    let mut text = String::new();
    let suffixes = ["state", "+", "command", "command/#"];
    for number in 0..MILLION {
        device_topic(&mut text, number / 4, suffixes[(number % 4) as usize]);
        tree.insert(&filter(&text), number, ());
    }
    assert_eq!(tree.len(), MILLION as usize);
    assert_eq!(keys_matching(&tree, "site/device/000000/state"), [0, 1]);
    assert_eq!(keys_matching(&tree, "site/device/249999/command"), [999_997, 999_998, 999_999]);
    assert_eq!(keys_matching(&tree, "site/device/250000/command"), []);
    let full_bytes = tree.state_bytes();
    assert!(full_bytes < 200 * MILLION as usize, "{full_bytes}");

    for number in 0..MILLION - 4 {
        device_topic(&mut text, number / 4, suffixes[(number % 4) as usize]);
        assert_eq!(tree.remove(&filter(&text), &number), Some(()));
    }
    assert_eq!(keys_matching(&tree, "site/device/249999/command"), [999_997, 999_998, 999_999]);
    assert!(tree.state_bytes() < 100_000, "memory comes back: {}", tree.state_bytes());
}

#[test]
fn a_million_names() {
    let mut tree = NameTree::new();
    let mut text = String::new();
    for number in shuffled(MILLION) {
        device_topic(&mut text, number, "state");
        assert_eq!(tree.insert(name(&text), number), None);
    }
    assert_eq!(tree.len(), MILLION as usize);
    assert_eq!(tree.get(name("site/device/123456/state")), Some(&123_456));
    assert_eq!(scan(&tree, "site/+/123456/+"), ["site/device/123456/state"]);
    assert_eq!(scan(&tree, "site/device/999999/#"), ["site/device/999999/state"]);
    let full_bytes = tree.state_bytes();
    assert!(full_bytes < 200 * MILLION as usize, "{full_bytes}");

    let mut expected = 0;
    let _ = tree.scan(&filter("site/device/#"), None, |_, number| {
        assert_eq!(*number, expected);
        expected += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(expected, MILLION);

    for number in shuffled(MILLION).filter(|number| *number != 77) {
        device_topic(&mut text, number, "state");
        assert_eq!(tree.remove(name(&text)), Some(number));
    }
    assert_eq!(scan(&tree, "#"), ["site/device/000077/state"]);
    assert!(tree.state_bytes() < 100_000, "memory comes back: {}", tree.state_bytes());
}

#[test]
fn a_hundred_thousand_subscribers_of_one_filter() {
    for text in ["news", "news/#"] {
        let mut tree = FilterTree::new();
        for key in 0..100_000 {
            assert_eq!(tree.insert(&filter(text), key, ()), None);
        }
        assert_eq!(tree.insert(&filter(text), 50_000, ()), Some(()));
        assert!(keys_matching(&tree, "news").into_iter().eq(0..100_000));
        for key in shuffled(100_000) {
            assert_eq!(tree.remove(&filter(text), &key), Some(()));
        }
        assert!(tree.is_empty() && keys_matching(&tree, "news").is_empty());
        assert!(tree.state_bytes() < 10_000, "{}", tree.state_bytes());
    }
}

/// A topic may have 65,536 levels, all of them empty, and a filter 32,768 levels that are not.
#[test]
fn the_deepest_topics_do_not_recurse() {
    let on_small_stack = std::thread::Builder::new().stack_size(128 * 1024).spawn(|| {
        let separators = "/".repeat(TOPIC_BYTES_MAX);
        let plus = format!("{}+", "+/".repeat(TOPIC_BYTES_MAX / 2));
        let letters = format!("{}a", "a/".repeat(TOPIC_BYTES_MAX / 2));
        let below_letters = format!("{}#", &letters[..TOPIC_BYTES_MAX - 1]);
        let empty_then_plus = format!("{}+", "/".repeat(TOPIC_BYTES_MAX - 1));
        let alternating = format!("{}a", "a/+/".repeat(TOPIC_BYTES_MAX / 4 - 1));
        let filters = [&separators, &plus, &letters, &below_letters, &empty_then_plus, &alternating];

        let mut tree = FilterTree::new();
        for (key, text) in (0..).zip(filters) {
            tree.insert(&filter(text), key, ());
        }
        assert_eq!(keys_matching(&tree, &letters), [1, 2, 3]);
        assert_eq!(keys_matching(&tree, &separators), [0]);
        assert_eq!(keys_matching(&tree, &separators[1..]), [4]);
        assert_eq!(keys_matching(&tree, &"a/".repeat(TOPIC_BYTES_MAX / 4 - 1)), []);
        for (key, text) in (0..).zip(filters).skip(3) {
            assert_eq!(tree.remove(&filter(text), &key), Some(()));
        }
        assert_eq!(keys_matching(&tree, &letters), [1, 2]);
        drop(tree);

        let mut tree = NameTree::new();
        tree.insert(name(&separators), ());
        tree.insert(name(&letters), ());
        for text in [&plus, &below_letters, &letters] {
            assert_eq!(scan(&tree, text), [&*letters]);
        }
        assert_eq!(scan(&tree, "#").len(), 2);
        assert_eq!(scan(&tree, &separators), [&*separators]);
        assert_eq!(scan(&tree, &empty_then_plus), [""; 0]);
        assert_eq!(tree.remove(name(&separators)), Some(()));
    });
    on_small_stack.expect("a thread starts").join().expect("no overflow and no failed assertion");
}

/// A match that has two ways to go at every level needs a stack, but not the processor's.
#[test]
fn a_trie_with_two_ways_at_each_of_many_levels() {
    let depth = 1_000;
    let mut tree = FilterTree::new();
    for plus_at in 0..depth {
        let text = format!("{}+/{}a", "a/".repeat(plus_at), "a/".repeat(depth - plus_at - 1));
        tree.insert(&filter(&text), plus_at as u64, ());
    }
    let text = format!("{}a", "a/".repeat(depth));
    assert!(keys_matching(&tree, &text).into_iter().eq(0..depth as u64));
}

#[test]
fn names_come_and_go_across_all_sizes() {
    let mut tree = NameTree::new();
    let mut model = BTreeSet::new();
    for (round, count) in [(0, 3_000), (1, 2_990), (2, 4_001), (3, 4_000)] {
        for number in shuffled(count) {
            let text = format!("{}/{number}", number % 7);
            if round % 2 == 0 {
                assert_eq!(tree.insert(name(&text), ()).is_none(), model.insert(text));
            } else {
                assert_eq!(tree.remove(name(&text)).is_some(), model.remove(&text));
            }
        }
        assert_eq!(tree.len(), model.len());
        assert!(scan(&tree, "#").iter().eq(model.iter()));
        let below_three: Vec<&String> = model.iter().filter(|text| text.starts_with("3/")).collect();
        assert!(scan(&tree, "3/+").iter().eq(below_three));
    }
}
