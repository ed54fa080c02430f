//! `docs/HOOKS.md`: each event of the table is proved by a test that exists, and each method of `Hooks` is in it.

use super::Problem;
use crate::workspace::SourceFile;

const PAGE: &str = "docs/HOOKS.md";
const TRAIT: &str = "crates/mqtt-broker/src/hooks/mod.rs";
const TESTS: &str = "crates/mqtt-broker/tests/broker/";
/// Settings of a hook, not events.
const NO_EVENTS: [&str; 2] = ["interests", "failure_rule"];

pub(super) fn problems(files: &[SourceFile]) -> Vec<Problem> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else {
        return vec![Problem::new(PAGE, 0, "is missing")];
    };
    let rows: Vec<(usize, Vec<&str>)> = rows(&page.text).collect();
    let mut problems = Vec::new();
    for (line, cells) in &rows {
        problems.extend(unproved(cells[2], files).map(|what| Problem::new(PAGE, *line, what)));
    }
    let told = rows.iter().map(|(_, cells)| cells[1]).collect::<String>();
    let methods = files.iter().find(|file| file.path == TRAIT).map(|file| methods(&file.text));
    for method in methods.unwrap_or_default().iter().filter(|method| !NO_EVENTS.contains(method)) {
        if !told.contains(&format!("`{method}`")) {
            problems.push(Problem::new(PAGE, 0, format!("no row is about `{method}`")));
        }
    }
    problems
}

/// The rows of the last table: event, counterpart, test.
fn rows(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    let lines = text.lines().enumerate().skip_while(|(_, line)| !line.starts_with("| mochi |")).skip(2);
    lines.filter(|(_, line)| line.starts_with('|')).map(|(at, line)| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        (at + 1, cells)
    })
}

/// What is wrong with the tests that a cell names: each `name` is a function of the tests, each `name.rs` one of their files.
fn unproved(cell: &str, files: &[SourceFile]) -> Option<String> {
    if cell == "the same" {
        return None;
    }
    let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    if names.is_empty() {
        return Some("no test is named".to_owned());
    }
    let missing = names.into_iter().find(|name| !exists(name, files))?;
    Some(format!("there is no test `{missing}`"))
}

fn exists(name: &str, files: &[SourceFile]) -> bool {
    let mut tests = files.iter().filter(|file| file.path.starts_with(TESTS));
    if name.ends_with(".rs") {
        return tests.any(|file| file.path == format!("{TESTS}{name}"));
    }
    let definition = format!("fn {name}(");
    tests.any(|file| file.text.contains(&definition))
}

/// The methods of the trait `Hooks`.
fn methods(text: &str) -> Vec<&str> {
    let body = text.split("pub trait Hooks").nth(1).and_then(|rest| rest.split("\n}").next());
    let signatures = body.unwrap_or_default().split("\n    fn ").skip(1);
    signatures.filter_map(|rest| rest.split(['(', '<']).next()).collect()
}

#[cfg(test)]
mod tests {
    use super::{PAGE, SourceFile, TRAIT, problems};

    fn check(row: &str, expected: &[&str]) {
        let files = [
            SourceFile::new(
                PAGE,
                &format!("# Hooks\n\n| mochi | here | test |\n| --- | --- | --- |\n{row}\n"),
            ),
            SourceFile::new(
                TRAIT,
                "pub trait Hooks {\n    fn interests(&self);\n    fn started(&self);\n}\n",
            ),
            SourceFile::new("crates/mqtt-broker/tests/broker/hooks.rs", "async fn it_is_told() {}"),
        ];
        let found: Vec<String> = problems(&files).into_iter().map(|problem| problem.what).collect();
        assert_eq!(found, expected, "{row}");
    }

    #[test]
    fn a_row_names_a_test_that_exists() {
        check("| OnStarted | `started` | `it_is_told` |", &[]);
        check("| OnStarted | `started` | `hooks.rs` |", &[]);
        check("| OnStarted | `started` | the same |", &[]);
        check("| OnStarted | `started` | `it_is_not` |", &["there is no test `it_is_not`"]);
        check("| OnStarted | `started` | by hand |", &["no test is named"]);
    }

    #[test]
    fn each_method_has_a_row() {
        check("| OnStopped | `stopped` | `it_is_told` |", &["no row is about `started`"]);
    }
}
