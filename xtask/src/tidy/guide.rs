//! The guide: every chapter is listed, every link and inclusion leads somewhere, and no example is left out.

use std::path::{Component, Path, PathBuf};

use super::Problem;
use crate::workspace::SourceFile;

const FOLDER: &str = "docs/guide/src/";
const SUMMARY: &str = "docs/guide/src/SUMMARY.md";
const BOOK: &str = "docs/guide/book.toml";
/// A link in the folder of the guide, so that the book has them, too.
const IMAGES: &str = "docs/images/";

pub(super) fn problems(paths: &[String], files: &[SourceFile]) -> Vec<Problem> {
    let chapters: Vec<&SourceFile> =
        files.iter().filter(|file| file.path.starts_with(FOLDER) && file.path.ends_with(".md")).collect();
    let mut problems: Vec<Problem> = chapters.iter().flat_map(|chapter| astray(chapter, paths)).collect();
    let book = files.iter().find(|file| file.path == BOOK).map_or("", |book| &book.text);
    problems.extend(chapters.iter().flat_map(|chapter| astray_in_book(chapter, files, paths, book)));
    let summary = chapters.iter().find(|chapter| chapter.path == SUMMARY);
    let listed = summary.map(|summary| summary.text.as_str()).unwrap_or_default();
    for chapter in chapters.iter().filter(|chapter| chapter.path != SUMMARY) {
        let name = chapter.path.trim_start_matches(FOLDER);
        if !listed.contains(&format!("({name})")) {
            problems.push(Problem::new(&chapter.path, 0, "SUMMARY.md does not list this chapter"));
        }
    }
    problems.extend(chapters.iter().flat_map(|chapter| untested(chapter, files)));
    let told = |example: &str| chapters.iter().any(|chapter| chapter.text.contains(example));
    let untold = paths.iter().filter(|path| is_example(path) && !told(path));
    problems.extend(untold.map(|path| Problem::new(path, 0, "no chapter of the guide shows this example")));
    problems
}

/// Rust in the guide is what was compiled and run: each block is a file that a test includes, or a guest that CI builds.
fn untested(chapter: &SourceFile, files: &[SourceFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let lines: Vec<&str> = chapter.text.lines().collect();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("```rust")) {
        let body = lines.get(at + 1).copied().unwrap_or_default();
        let included = targets(body).first().map(|target| normalized(&Path::new(FOLDER).join(target)));
        let is_whole = lines.get(at + 2) == Some(&"```");
        let runs = included.is_some_and(|path| is_run(&path, files));
        if !(is_whole && runs) {
            problems.push(Problem::new(&chapter.path, at + 1, "Rust that no test compiles and runs"));
        }
    }
    problems
}

fn is_run(path: &Path, files: &[SourceFile]) -> bool {
    let text = path.to_string_lossy();
    let (Some(name), Some(folder)) = (path.file_name(), path.parent().and_then(Path::parent)) else {
        return false;
    };
    let mention = format!("/examples/{}\"]", name.to_string_lossy());
    let is_test = |file: &SourceFile| Path::new(&file.path).starts_with(folder.join("tests"));
    text.contains("/guests/") || files.iter().any(|file| is_test(file) && file.text.contains(&mention))
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

/// Links of pages that are chapters as a whole: in the book they start from another folder.
fn astray_in_book(chapter: &SourceFile, files: &[SourceFile], paths: &[String], book: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let pages = chapter.text.lines().flat_map(targets).filter(|target| target.ends_with(".md"));
    let pages = pages.map(|target| normalized(&Path::new(FOLDER).join(target)));
    for page in files.iter().filter(|file| pages.clone().any(|path| Path::new(&file.path) == path)) {
        for (number, line) in page.text.lines().enumerate().filter(|_| !page.path.starts_with(FOLDER)) {
            for target in targets(line).into_iter().filter(|target| !leads_on(target, paths, book)) {
                let what = format!("`{target}` leads nowhere in the guide, which includes this page");
                problems.push(Problem::new(&page.path, number + 1, what));
            }
        }
    }
    problems
}

/// Whether a relative link leads somewhere in the built book: to a chapter, an image, or by a redirection.
fn leads_on(target: &str, paths: &[String], book: &str) -> bool {
    let chapter = format!("{FOLDER}{target}");
    let image = target.strip_prefix("images/").map(|name| format!("{IMAGES}{name}"));
    let redirected = target.strip_suffix(".md").map(|name| format!("\"/{name}.html\""));
    paths.iter().any(|path| *path == chapter || image.as_ref() == Some(path))
        || redirected.is_some_and(|redirected| book.contains(&redirected))
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
    fn links_of_an_included_page_must_lead_somewhere_in_the_book() {
        let check = |text: &str, book: &str, expected: usize| {
            let files = [
                file(SUMMARY, "[A](a.md)"),
                file("docs/guide/src/a.md", "{{#include ../../HOOKS.md}}"),
                file("docs/HOOKS.md", text),
                file(BOOK, book),
            ];
            let paths =
                [SUMMARY, "docs/guide/src/a.md", "docs/HOOKS.md", "docs/OTHER.md", "docs/images/x.svg"];
            let found = problems(&paths.map(str::to_owned), &files);
            assert_eq!(found.len(), expected, "{found:?}");
        };
        check("[a](a.md) ![x](images/x.svg) [o](OTHER.md)", "\"/OTHER.html\" = \"a.html\"", 0);
        check("[a](a.md) ![x](images/x.svg) [o](OTHER.md)", "", 1);
        check("![y](images/y.svg)", "", 1);
    }

    #[test]
    fn rust_that_nothing_runs_is_reported() {
        let check = |block: &str, expected: usize| {
            let files = [
                file(SUMMARY, "[A](a.md)"),
                file("docs/guide/src/a.md", &format!("```rust,ignore\n{block}\n```\n")),
                file(
                    "crates/mqtt-codec/tests/examples.rs",
                    "#[path = \"../examples/dissect.rs\"]\nmod dissect;",
                ),
            ];
            let paths =
                [SUMMARY, "docs/guide/src/a.md", "crates/mqtt-codec/examples/dissect.rs", "a/guests/b.rs"];
            let found = problems(&paths.map(str::to_owned), &files);
            assert_eq!(found.len(), expected, "{block} {found:?}");
        };
        check("{{#include ../../../crates/mqtt-codec/examples/dissect.rs}}", 0);
        check("{{#include ../../../a/guests/b.rs}}", 0);
        check("fn main() {}", 1);
        check("{{#include ../../../crates/mqtt-codec/examples/dissect.rs}}\nfn more() {}", 1);
    }

    #[test]
    fn what_leads_nowhere_or_is_missing_is_reported() {
        let example = "{{#include ../../../examples/embedding/examples/tls.rs}}";
        check(example, "nothing", 1);
        check("[A](b.md)", "[A](a.md)", 2);
        check(&format!("{example}\n{{{{#include ../x.rs}}}}"), "[A](a.md)", 1);
    }
}
