//! Matching as section 4.7 tells it, one level after the other, for comparison.

/// Whether `filter`, which is not shared, matches `name`; both are valid.
pub(crate) fn matches(filter: &str, name: &str) -> bool {
    let is_hidden = name.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#'));
    let filter: Vec<&str> = filter.split('/').collect();
    let name: Vec<&str> = name.split('/').collect();
    !is_hidden && levels_match(&filter, &name)
}

fn levels_match(filter: &[&str], name: &[&str]) -> bool {
    match (filter, name) {
        (["#"], _) => true,
        ([], []) => true,
        (["+", filter @ ..], [_, name @ ..]) => levels_match(filter, name),
        ([wanted, filter @ ..], [actual, name @ ..]) => wanted == actual && levels_match(filter, name),
        _ => false,
    }
}
