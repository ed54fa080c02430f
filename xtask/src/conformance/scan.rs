//! Finds the tests of a Rust file and the statements that each of them proves.

use std::collections::BTreeSet;

use super::clause::{self, Clause};
use crate::rust_source::{self, Line};

/// What one file says about statements.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) tests: Vec<Test>,
    /// Statements that are named outside of tests: by the code that obeys them.
    pub(crate) cited: BTreeSet<Clause>,
}

/// One test function, or one table of rows that test functions run through.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) clauses: BTreeSet<Clause>,
}

/// Scans a file; in files of tests, tables of rows count as tests too.
pub(crate) fn scan(text: &str, in_tests: bool) -> Scan {
    let source = Source { raw: text.lines().collect(), lines: rust_source::lines(text) };
    let mut scan = Scan::default();
    let mut proved = vec![false; source.lines.len()];
    for item in source.items(in_tests) {
        let range = item.first..=item.last;
        let mut clauses: BTreeSet<Clause> =
            source.raw[range.clone()].iter().flat_map(|line| clause::cited(line)).collect();
        clauses.extend(clause::in_function_name(&item.name));
        proved[range].fill(true);
        if !clauses.is_empty() {
            scan.tests.push(Test { name: item.name, clauses });
        }
    }
    if !in_tests {
        let code = source.raw.iter().zip(&proved).filter(|(_, proved)| !**proved);
        scan.cited = code.flat_map(|(line, _)| clause::cited(line)).collect();
    }
    scan
}

struct Source<'a> {
    raw: Vec<&'a str>,
    lines: Vec<Line>,
}

/// A test function or a table of rows: its name, and its lines with the comments above it.
struct Item {
    name: String,
    first: usize,
    last: usize,
}

impl Source<'_> {
    /// Test functions everywhere; in files of tests also constants and statics, whose rows are tests too.
    fn items(&self, in_tests: bool) -> Vec<Item> {
        let mut items = Vec::new();
        let mut at = 0;
        while at < self.lines.len() {
            let item = match self.lines[at].code.trim() {
                code if is_test_attribute(code) => self.function_after(at),
                code if in_tests => constant_name(code).map(|name| (name, at)),
                _ => None,
            };
            let Some((name, start)) = item else {
                at += 1;
                continue;
            };
            let last = self.end_of_item(start);
            items.push(Item { name, first: self.start_of_comments(at), last });
            at = last + 1;
        }
        items
    }

    /// The name and line of the function below an attribute; other attributes and comments may stand between.
    fn function_after(&self, attribute: usize) -> Option<(String, usize)> {
        let below = self.lines.iter().enumerate().skip(attribute).take(12);
        below.filter_map(|(at, line)| function_name(&line.code).map(|name| (name, at))).next()
    }

    /// Comments and attributes directly above a line belong to it.
    fn start_of_comments(&self, line: usize) -> usize {
        let above = self.lines[..line].iter().rev();
        let belongs = |line: &&Line| {
            let code = line.code.trim();
            !line.is_blank() && (code.is_empty() || code.starts_with("#["))
        };
        line - above.take_while(belongs).count()
    }

    /// The line where the brackets that a line opens are closed again, or where its statement ends.
    fn end_of_item(&self, start: usize) -> usize {
        let mut depth = 0_i32;
        for (at, line) in self.lines.iter().enumerate().skip(start) {
            for c in line.code.chars() {
                match c {
                    '{' | '(' | '[' => depth += 1,
                    '}' | ')' | ']' => depth -= 1,
                    ';' if depth == 0 => return at,
                    _ => continue,
                }
                if depth == 0 && c == '}' {
                    return at;
                }
            }
        }
        self.lines.len() - 1
    }
}

/// `#[test]`, `#[tokio::test]`, with or without arguments, and a few relatives.
fn is_test_attribute(code: &str) -> bool {
    let Some(attribute) = code.strip_prefix("#[") else { return false };
    let path = attribute.split(['(', ']']).next().unwrap_or_default();
    path == "test" || path.ends_with("::test")
}

fn function_name(code: &str) -> Option<String> {
    name_after(code, "fn ")
}

fn constant_name(code: &str) -> Option<String> {
    let code = code.strip_prefix("pub ").or_else(|| code.strip_prefix("pub(crate) ")).unwrap_or(code);
    let keyword = ["const ", "static "].into_iter().find(|keyword| code.starts_with(keyword))?;
    let name = name_after(code, keyword)?;
    (name != "fn" && name != "_").then_some(name)
}

fn name_after(code: &str, keyword: &str) -> Option<String> {
    let at = code.find(keyword)?;
    let starts_a_word =
        code[..at].chars().next_back().is_none_or(|before| !before.is_alphanumeric() && before != '_');
    let name: String =
        code[at + keyword.len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (starts_a_word && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::{Scan, scan};

    fn tests_of(scan: &Scan) -> Vec<(&str, String)> {
        let clauses = |test: &super::Test| {
            test.clauses.iter().map(|clause| clause.as_str().to_owned()).collect::<Vec<_>>().join(" ")
        };
        scan.tests.iter().map(|test| (test.name.as_str(), clauses(test))).collect()
    }

    fn check(text: &str, in_tests: bool, tests: &[(&str, &str)], cited: &[&str]) {
        let scan = scan(text, in_tests);
        let expected: Vec<_> = tests.iter().map(|(name, clauses)| (*name, (*clauses).to_owned())).collect();
        assert_eq!(tests_of(&scan), expected);
        let found: Vec<_> = scan.cited.iter().map(super::Clause::as_str).collect();
        assert_eq!(found, cited);
    }

    #[test]
    fn a_test_is_found_by_its_name_its_comment_and_its_body() {
        let text = r#"
fn obey() { stop() } // [MQTT-1.1.1-1]

/// Proves [MQTT3-2.2.2-2].
// and more
#[test]
#[should_panic]
fn mqtt_3_1_2_5_2_times() {
    // [MQTT-4.4.4-4]
    if x { y("[MQTT-5.5.5-5] }") }
}

#[tokio::test(start_paused = true)]
async fn nothing_cited() { a(); }

fn other() {} // [MQTT-6.6.6-6]
"#;
        let clauses = "MQTT-3.1.2-5 MQTT-4.4.4-4 MQTT-5.5.5-5 MQTT3-2.2.2-2";
        check(text, false, &[("mqtt_3_1_2_5_2_times", clauses)], &["MQTT-1.1.1-1", "MQTT-6.6.6-6"]);
    }

    #[test]
    fn rows_of_a_table_count_in_files_of_tests_only() {
        let text = "// [MQTT-1.1.1-1]\nconst ROWS: &[Row] = &[\n  row(\"[MQTT-2.2.2-2]\"),\n];\nfn f() {} // MQTT-3.3.3-3\n";
        check(text, true, &[("ROWS", "MQTT-1.1.1-1 MQTT-2.2.2-2")], &[]);
        check(text, false, &[], &["MQTT-1.1.1-1", "MQTT-2.2.2-2", "MQTT-3.3.3-3"]);
    }

    #[test]
    fn tests_inside_a_macro_are_tests() {
        let text = "proptest! {\n    #[test]\n    fn mqtt_1_5_5_1_shortest(n in 0..9u32) { check(n) }\n}\n";
        check(text, false, &[("mqtt_1_5_5_1_shortest", "MQTT-1.5.5-1")], &[]);
    }

    #[test]
    fn a_comment_after_an_empty_line_belongs_to_something_else() {
        let text = "// [MQTT-1.1.1-1]\n\n#[test]\nfn plain() {}\n";
        check(text, true, &[], &[]);
    }
}
