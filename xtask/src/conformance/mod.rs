//! `cargo xtask conformance`: which test proves which numbered statement of the standards.

pub(crate) mod clause;
mod page;
mod scan;
pub(crate) mod statements;

use std::collections::BTreeSet;
use std::fs;

use crate::CommandResult;
use crate::args::Args;
use crate::workspace::{SourceFile, Workspace};
use clause::Clause;
use page::Proofs;
use scan::Scan;
use statements::Standard;

const PAGE: &str = "docs/CONFORMANCE.md";
/// Where the tables of statements are.
pub(crate) const TABLES: &str = "docs/conformance";

pub(crate) fn command(workspace: &Workspace, mut args: Args) -> CommandResult {
    let only_check = args.flag("--check");
    args.finish()?;
    run(workspace, only_check)
}

/// Writes the page, or with `only_check` says whether it is what would be written.
pub(crate) fn run(workspace: &Workspace, only_check: bool) -> CommandResult {
    let standards = statements::load(&workspace.root.join(TABLES))?;
    let files = workspace.files()?;
    let (page, summary) = write(&standards, &files);
    println!("conformance: {summary}");
    if only_check {
        return Ok(is_current(&files, &page));
    }
    fs::write(workspace.root.join(PAGE), page).map_err(|error| format!("{PAGE}: {error}"))?;
    println!("conformance: {PAGE} written");
    Ok(true)
}

fn is_current(files: &[SourceFile], page: &str) -> bool {
    let current = files.iter().any(|file| file.path == PAGE && file.text == page);
    if !current {
        println!("conformance: {PAGE} is out of date; `cargo xtask conformance` writes it anew");
    }
    current
}

/// The page, and one line about it.
fn write(standards: &[Standard], files: &[SourceFile]) -> (String, String) {
    let known: BTreeSet<&Clause> =
        standards.iter().flat_map(|standard| &standard.statements).map(|one| &one.clause).collect();
    let mut proofs = Proofs::new();
    let mut cited = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_rust() && file.path.starts_with("crates/")) {
        let scan = scan::scan(&file.text, file.is_in_tests());
        collect(file, scan, &mut proofs, &mut cited);
    }
    proofs.retain(|clause, _| known.contains(clause));
    let untested =
        cited.into_iter().filter(|clause| known.contains(clause) && !proofs.contains_key(clause)).collect();
    let tests: BTreeSet<&String> = proofs.values().flatten().collect();
    let summary = format!("{} tests prove {} of {} statements", tests.len(), proofs.len(), known.len());
    (page::page(standards, &proofs, &untested), summary)
}

fn collect(file: &SourceFile, scan: Scan, proofs: &mut Proofs, cited: &mut BTreeSet<Clause>) {
    let path = file.path.trim_start_matches("crates/");
    for test in scan.tests {
        for clause in test.clauses {
            proofs.entry(clause).or_default().insert(format!("{path}::{}", test.name));
        }
    }
    cited.extend(scan.cited);
}

#[cfg(test)]
mod tests {
    use super::statements::{Concerns, Standard, Statement};
    use super::{Clause, is_current, write};
    use crate::workspace::SourceFile;

    fn standards() -> Vec<Standard> {
        let statement = |id: &str| Statement {
            clause: Clause::new(id),
            concerns: Concerns::Server,
            text: "Words.".to_owned(),
            not_testable: None,
        };
        let statements = ["MQTT-1.1.1-1", "MQTT-1.1.1-2"].map(statement).into();
        vec![Standard { name: "MQTT 9".to_owned(), statements }]
    }

    #[test]
    fn only_known_statements_and_only_files_of_crates_count() {
        let test = "#[test]\nfn mqtt_1_1_1_1_holds() {} // [MQTT-9.9.9-9]\n";
        let files = [
            SourceFile::new("crates/a/src/lib.rs", "// [MQTT-1.1.1-2]\n"),
            SourceFile::new("crates/a/tests/t.rs", test),
            SourceFile::new("xtask/src/t.rs", "#[test]\nfn mqtt_1_1_1_2_holds() {}\n"),
        ];
        let (page, summary) = write(&standards(), &files);
        assert_eq!(summary, "1 tests prove 1 of 2 statements");
        assert!(page.contains("| `a/tests/t.rs::mqtt_1_1_1_1_holds` |"), "{page}");
        assert!(page.ends_with("by a test\n\nMQTT-1.1.1-2\n"), "{page}");
    }

    #[test]
    fn a_page_that_differs_or_is_missing_is_out_of_date() {
        assert!(is_current(&[SourceFile::new("docs/CONFORMANCE.md", "x")], "x"));
        assert!(!is_current(&[SourceFile::new("docs/CONFORMANCE.md", "y")], "x"));
        assert!(!is_current(&[], "x"));
    }
}
