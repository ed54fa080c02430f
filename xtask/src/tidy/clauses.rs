//! Every statement that is cited exists in the tables.

use std::collections::BTreeSet;

use super::Problem;
use crate::conformance::clause::{self, Clause};
use crate::workspace::SourceFile;

/// Citations of statements that no table knows, in code and prose; this program's own examples are left out.
pub(super) fn problems(file: &SourceFile, known: &BTreeSet<Clause>) -> Vec<Problem> {
    let is_exempt =
        file.path.starts_with("xtask/") || file.path.ends_with(".toml") && file.path.starts_with("docs/");
    if is_exempt || known.is_empty() {
        return Vec::new();
    }
    let lines = file.text.lines().enumerate();
    lines
        .flat_map(|(at, line)| unknown(line, known).into_iter().map(move |clause| (at, clause)))
        .map(|(at, clause)| {
            Problem::new(&file.path, at + 1, format!("{clause} is in no table of statements"))
        })
        .collect()
}

fn unknown(line: &str, known: &BTreeSet<Clause>) -> Vec<Clause> {
    let mut unknown: Vec<Clause> = clause::cited(line).filter(|clause| !known.contains(clause)).collect();
    if let Some((_, after)) = line.split_once("fn mqtt") {
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let named = clause::in_function_name(&format!("mqtt{name}"));
        unknown.extend(named.filter(|clause| !known.contains(clause)));
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::{Clause, SourceFile, problems};

    fn check(path: &str, text: &str, expected: &[&str]) {
        let known = ["MQTT-1.1.1-1", "MQTT3-2.2.2-2"].map(Clause::new).into();
        let found = problems(&SourceFile::new(path, text), &known);
        let found: Vec<&str> =
            found.iter().map(|problem| problem.what.split(' ').next().unwrap_or_default()).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn unknown_statements_are_found_in_comments_names_and_prose() {
        check("crates/a/src/lib.rs", "x // [MQTT-1.1.1-1] [MQTT3-2.2.2-2] [MQTT-2.2.2-2]", &["MQTT-2.2.2-2"]);
        check("README.md", "as [MQTT-9.9.9-9] says", &["MQTT-9.9.9-9"]);
        check("crates/a/src/lib.rs", "fn mqtt_1_1_1_1_5_times() {}", &[]);
        check("crates/a/src/lib.rs", "fn mqtt3_1_1_1_1_times() {}", &["MQTT3-1.1.1-1"]);
        check("xtask/src/x.rs", "[MQTT-9.9.9-9]", &[]);
    }
}
