//! The guide: every chapter is listed, every link and inclusion leads somewhere, and no example is left out.

use std::path::{Component, Path, PathBuf};

use super::Problem;
use crate::workspace::SourceFile;

const FOLDER: &str = "docs/guide/src/";
const SUMMARY: &str = "docs/guide/src/SUMMARY.md";

pub(super) fn problems(paths: &[String], files: &[SourceFile]) -> Vec<Problem> {
    let chapters: Vec<&SourceFile> =
        files.iter().filter(|file| file.path.starts_with(FOLDER) && file.path.ends_with(".md")).collect();
    let mut problems: Vec<Problem> = chapters.iter().flat_map(|chapter| astray(chapter, paths)).collect();
    let summary = chapters.iter().find(|chapter| chapter.path == SUMMARY);
    let listed = summary.map(|summary| summary.text.as_str()).unwrap_or_default();
    for chapter in chapters.iter().filter(|chapter| chapter.path != SUMMARY) {
        let name = chapter.path.trim_start_matches(FOLDER);
        if !listed.contains(&format!("({name})")) {
            problems.push(Problem::new(&chapter.path, 0, "SUMMARY.md does not list this chapter"));
        }
    }
    let told = |example: &str| chapters.iter().any(|chapter| chapter.text.contains(example));
    let untold = paths.iter().filter(|path| is_example(path) && !told(path));
    problems.extend(untold.map(|path| Problem::new(path, 0, "no chapter of the guide shows this example")));
    problems
}

/// Examples of the libraries that the guide is about.
fn is_example(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(
        parts[..],
        ["crates", "mqtt-broker" | "mqtt-client" | "mqtt-plugin", "examples", name]
            | ["examples", "embedding", "examples", name] if name.ends_with(".rs")
    )
}

fn astray(chapter: &SourceFile, paths: &[String]) -> Vec<Problem> {
    let folder = Path::new(&chapter.path).parent().unwrap_or(Path::new(""));
    let mut problems = Vec::new();
    for (number, line) in chapter.text.lines().enumerate() {
        for target in targets(line) {
            let leads_to = normalized(&folder.join(target));
            if !paths.iter().any(|path| Path::new(path) == leads_to) {
                problems.push(Problem::new(&chapter.path, number + 1, format!("`{target}` leads nowhere")));
            }
        }
    }
    problems
}

/// Relative links and inclusions of a line.
fn targets(line: &str) -> Vec<&str> {
    let links = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let inclusions = line.split("{{#include ").skip(1).filter_map(|rest| rest.split("}}").next());
    let is_here = |target: &&str| !target.contains("://") && !target.starts_with('#');
    let file = |target| str::split(target, '#').next().unwrap_or_default();
    links.filter(is_here).map(file).chain(inclusions).collect()
}

fn normalized(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned() }
    }

    fn check(chapter: &str, summary: &str, expected: usize) {
        let files = [file(SUMMARY, summary), file("docs/guide/src/a.md", chapter)];
        let paths = [
            SUMMARY,
            "docs/guide/src/a.md",
            "docs/HOOKS.md",
            "examples/embedding/examples/tls.rs",
            "crates/mqtt-codec/examples/dissect.rs",
        ];
        let found = problems(&paths.map(str::to_owned), &files);
        assert_eq!(found.len(), expected, "{found:?}");
    }

    #[test]
    fn a_guide_that_hangs_together_has_nothing_to_report() {
        let chapter = "[hooks](../../HOOKS.md#events) and [elsewhere](https://example.org)\n\
            {{#include ../../../examples/embedding/examples/tls.rs}}";
        check(chapter, "[A](a.md)", 0);
    }

    #[test]
    fn what_leads_nowhere_or_is_missing_is_reported() {
        let example = "{{#include ../../../examples/embedding/examples/tls.rs}}";
        check(example, "nothing", 1);
        check("[A](b.md)", "[A](a.md)", 2);
        check(&format!("{example}\n{{{{#include ../x.rs}}}}"), "[A](a.md)", 1);
    }
}
