//! Topic matching against many filters and scanning many names: time per look-up and bytes per entry.
//!
//! The population is a fleet of devices: half of the filters are exact, the rest mixes `+` in the middle, `+` at the
//! end and `#`, with four to six levels. Every name looked up has a device that exists, picked in random order, so
//! large trees do not stay in the processor's caches.
#![expect(clippy::print_stdout, reason = "the bytes per entry are a result of the bench")]

use std::hint::black_box;
use std::ops::ControlFlow;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mqtt_topic::{FilterTree, NameTree, TopicFilter, TopicName};

const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];
/// For `--test`, where only the running matters.
const SIZES_TINY: [u64; 1] = [1_000];
const NAMES_LOOKED_UP: u64 = 65_536;

fn sizes() -> &'static [u64] {
    if std::env::args().any(|argument| argument == "--test") { &SIZES_TINY } else { &SIZES }
}

/// The filter of subscription `number`.
fn filter(number: u64) -> String {
    let device = number / 2;
    let tenant = device % 500;
    match number % 10 {
        1 => format!("v1/tenant-{tenant}/device/{device:08x}/+"),
        3 => format!("v1/tenant-{tenant}/device/{device:08x}/command/#"),
        5 => format!("v1/tenant-{tenant}/+/{device:08x}/status/+"),
        7 => format!("v1/+/device/{device:08x}/telemetry"),
        9 => format!("v1/tenant-{tenant}/device/{device:08x}/#"),
        _ => name(device),
    }
}

fn name(device: u64) -> String {
    let tenant = device % 500;
    match device % 3 {
        0 => format!("v1/tenant-{tenant}/device/{device:08x}/telemetry"),
        1 => format!("v1/tenant-{tenant}/device/{device:08x}/command/reboot"),
        _ => format!("v1/tenant-{tenant}/device/{device:08x}/status/battery"),
    }
}

/// Numbers below `len` in an order without locality.
fn scattered(len: u64) -> impl Iterator<Item = u64> {
    (0..NAMES_LOOKED_UP).map(move |i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) % len)
}

/// Hands the items out one by one, again and again.
fn endless<'a, T>(items: &'a [T]) -> impl FnMut() -> &'a T {
    let mut items = items.iter().cycle();
    move || items.next().expect("there is at least one item")
}

fn parsed(filter: &str) -> TopicFilter<&str> {
    TopicFilter::parse(filter).expect("a valid filter")
}

fn filter_tree(filters: &[String]) -> FilterTree<u64, u64> {
    let mut tree = FilterTree::new();
    for (filter, key) in filters.iter().zip(0..) {
        tree.insert(&parsed(filter), key, key);
    }
    tree
}

fn name_tree(size: u64) -> NameTree<u64> {
    let mut tree = NameTree::new();
    for device in 0..size {
        tree.insert(TopicName::assume_valid(&name(device)), device);
    }
    tree
}

fn bench_match(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filter_tree/match");
    for &size in sizes() {
        let tree = filter_tree(&(0..size).map(filter).collect::<Vec<_>>());
        let names: Vec<String> = scattered(size / 2).map(name).collect();
        let mut matches = 0_u64;
        names.iter().for_each(|name| tree.for_each_match(TopicName::assume_valid(name), |_, _| matches += 1));
        println!(
            "filter_tree: {size} subscriptions, {:.1} bytes each, {:.2} matches per name",
            tree.state_bytes() as f64 / size as f64,
            matches as f64 / names.len() as f64,
        );
        let mut next = endless(&names);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                let mut sum = 0;
                tree.for_each_match(TopicName::assume_valid(next()), |_, value| sum += value);
                black_box(sum)
            });
        });
    }
}

fn bench_subscribe(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filter_tree/unsubscribe_and_subscribe");
    for &size in sizes() {
        let filters: Vec<String> = (0..size).map(filter).collect();
        let mut tree = filter_tree(&filters);
        let order: Vec<u64> = scattered(size).collect();
        let mut next = endless(&order);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                let key = next();
                let filter = parsed(&filters[*key as usize]);
                let value = tree.remove(&filter, key).expect("it was there");
                tree.insert(&filter, *key, value)
            });
        });
    }
}

/// One filter that very many clients subscribe to.
fn bench_popular_filter(criterion: &mut Criterion) {
    for &size in sizes() {
        let mut tree = filter_tree(&vec!["news/#".to_owned(); size as usize]);
        let news = parsed("news/#");
        let order: Vec<u64> = scattered(size).collect();
        let mut next = endless(&order);
        criterion.bench_function(&format!("filter_tree/one_of_many_subscribers/{size}"), |bencher| {
            bencher.iter(|| {
                let key = next();
                let value = tree.remove(&news, key).expect("it was there");
                tree.insert(&news, *key, value)
            });
        });
    }
}

fn bench_names(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("name_tree");
    for &size in sizes() {
        let mut tree = name_tree(size);
        println!("name_tree: {size} names, {:.1} bytes each", tree.state_bytes() as f64 / size as f64);
        let names: Vec<String> = scattered(size).map(name).collect();
        let mut next = endless(&names);
        group.bench_function(BenchmarkId::new("update", size), |bencher| {
            bencher.iter(|| tree.insert(TopicName::assume_valid(next()), 1));
        });
        group.bench_function(BenchmarkId::new("remove_and_insert", size), |bencher| {
            bencher.iter(|| {
                let name = TopicName::assume_valid(next().as_str());
                tree.remove(name);
                tree.insert(name, 1)
            });
        });
    }
}

fn bench_scan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("name_tree/scan");
    for &size in sizes() {
        let tree = name_tree(size);
        for (label, text) in [
            ("without_wildcards", "v1/tenant-8/device/00000008/status/battery"),
            ("one_device_of_any_tenant", "v1/+/device/00000007/#"),
            ("one_tenant", "v1/tenant-7/#"),
            ("one_kind_of_one_tenant", "v1/tenant-7/+/+/telemetry"),
        ] {
            let filter = parsed(text);
            let count = || {
                let mut found = 0_u64;
                let _ = tree.scan(&filter, None, |_, _| {
                    found += 1;
                    ControlFlow::Continue(())
                });
                found
            };
            println!("name_tree: {} of {size} names match {text}", count());
            group.bench_function(BenchmarkId::new(label, size), |bencher| {
                bencher.iter(|| black_box(count()));
            });
        }
    }
}

criterion_group!(topic, bench_match, bench_subscribe, bench_popular_filter, bench_names, bench_scan);
criterion_main!(topic);
