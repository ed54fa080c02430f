//! `cargo xtask tidy`: rules for files that no compiler checks.

mod clauses;
mod examples;
mod fuzzing;
mod guide;
mod hooks_page;
mod manifests;
mod pages;
mod rust_files;

use std::fmt;

use crate::CommandResult;
use crate::args::Args;
use crate::conformance::{TABLES, statements};
use crate::guests;
use crate::workspace::{SourceFile, Workspace};

/// A broken rule and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    path: String,
    /// Counted from one; zero when it is about the whole file.
    line: usize,
    what: String,
}

impl Problem {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

pub(crate) fn command(workspace: &Workspace, args: Args) -> CommandResult {
    args.finish()?;
    run(workspace)
}

/// Prints every broken rule and says whether there was none.
pub(crate) fn run(workspace: &Workspace) -> CommandResult {
    let files = workspace.files()?;
    let standards = statements::load(&workspace.root.join(TABLES))?;
    let known =
        standards.iter().flat_map(|standard| &standard.statements).map(|one| one.clause.clone()).collect();
    let mut problems: Vec<Problem> = files.iter().flat_map(rust_files::problems).collect();
    problems.extend(files.iter().flat_map(machine_paths));
    problems.extend(files.iter().flat_map(|file| clauses::problems(file, &known)));
    problems.extend(files.iter().flat_map(examples::problems));
    problems.extend(manifests::problems(&files));
    problems.extend(pages::problems(&files));
    problems.extend(fuzzing::problems(&workspace.paths()?, &files));
    problems.extend(guide::problems(&workspace.paths()?, &files));
    problems.extend(hooks_page::problems(&files));
    problems.extend(stale_guests(&files));
    problems.sort();
    for problem in &problems {
        println!("tidy: {problem}");
    }
    println!("tidy: {} files checked, {} problems", files.len(), problems.len());
    Ok(problems.is_empty())
}

/// Components of tests that were built from other sources than those that are here.
fn stale_guests(files: &[SourceFile]) -> Option<Problem> {
    let mark = files.iter().find(|file| file.path == guests::MARK);
    let is_fresh = mark.is_some_and(|mark| mark.text == guests::mark_of(files));
    (!is_fresh).then(|| Problem::new(guests::MARK, 0, "the guests have changed: run `cargo xtask guests`"))
}

/// Paths that exist on one machine only. They are put together here so that this file does not contain them.
fn machine_paths(file: &SourceFile) -> Vec<Problem> {
    let paths = [concat!("/wor", "k/"), concat!("/roo", "t/"), concat!("/hom", "e/"), concat!("/User", "s/")];
    let lines = file.text.lines().enumerate();
    let found = lines
        .filter_map(|(at, line)| paths.iter().find(|path| starts_a_path(line, path)).map(|path| (at, path)));
    found
        .map(|(at, path)| Problem::new(&file.path, at + 1, format!("a path of one machine (`{path}`)")))
        .collect()
}

/// Whether the path stands there as an absolute one, not as a part of a longer path.
fn starts_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}>".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, guests, machine_paths, stale_guests};

    #[test]
    fn guests_must_be_built_from_the_sources_that_are_here() {
        let source = |text: &str| SourceFile::new("crates/mqtt-plugin/guests/rooms/src/lib.rs", text);
        let mark = SourceFile::new(guests::MARK, &guests::mark_of(&[source("a")]));
        assert_eq!(stale_guests(&[source("a"), SourceFile::new(guests::MARK, &mark.text)]), None);
        assert!(stale_guests(&[source("b"), mark]).is_some());
        assert!(stale_guests(&[source("a")]).is_some());
    }

    #[test]
    fn absolute_paths_of_a_machine_are_found_and_relative_ones_are_not() {
        let bad = format!("see {}x", concat!("/wor", "k/"));
        let good = "crates/work/x, $HOME/x, https://host/home/x, $(pwd)/target";
        let file = SourceFile::new("a.md", &format!("{good}\n{bad}\n"));
        let problems = machine_paths(&file);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].line, 2);
    }
}
