//! Rules for Rust files: length, unfinished work, dead code in comments, re-exports, names.

use super::Problem;
use crate::rust_source::{self, Line};
use crate::workspace::SourceFile;

const LINES_MAX: usize = 800;

type Rule = fn(&Line) -> Option<String>;

/// Each looks at one line and says what is wrong with it.
const RULES: &[Rule] =
    &[unfinished_code, unfinished_comment, commented_out_code, wildcard_reexport, poor_name];

/// Every broken rule of one file; files that are not Rust have none.
pub(super) fn problems(file: &SourceFile) -> Vec<Problem> {
    if !file.is_rust() {
        return Vec::new();
    }
    let lines = rust_source::lines(&file.text);
    let mut problems = Vec::new();
    if lines.len() > LINES_MAX && !file.is_in_tests() {
        problems.push(Problem::new(&file.path, 0, format!("{} lines, more than {LINES_MAX}", lines.len())));
    }
    let pure = is_pure(file);
    for (at, line) in lines.iter().enumerate() {
        let outside = pure.then(|| outside_world(line)).flatten();
        problems.extend(outside.map(|what| Problem::new(&file.path, at + 1, what)));
        let found = RULES.iter().filter_map(|rule| rule(line));
        problems.extend(found.map(|what| Problem::new(&file.path, at + 1, what)));
    }
    problems
}

/// Whether the file is part of a layer that only computes.
fn is_pure(file: &SourceFile) -> bool {
    let layers = ["crates/mqtt-codec/src/", "crates/mqtt-topic/src/", "crates/mqtt-session/src/"];
    layers.iter().any(|layer| file.path.starts_with(layer)) && !file.is_in_tests()
}

const OUTSIDE_WORLD: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "std::env",
    "std::fs",
    "std::io::std",
    "std::net",
    "std::process",
    "std::thread",
    "println!",
    "eprint",
];

/// Clocks, files, sockets, threads, processes and output have no place in the lowest layers.
fn outside_world(line: &Line) -> Option<String> {
    let found = OUTSIDE_WORLD.iter().find(|part| line.code.contains(**part))?;
    Some(format!("`{found}` in a layer that only computes"))
}

fn unfinished_code(line: &Line) -> Option<String> {
    let found = ["todo!", "unimplemented!"].into_iter().find(|name| line.code.contains(name))?;
    Some(format!("`{found}` is not finished work"))
}

/// A note about work to do is allowed when it carries the number of an issue.
fn unfinished_comment(line: &Line) -> Option<String> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
    let words = line.comment.split(|c: char| !c.is_alphanumeric() && c != '#');
    let found = words.into_iter().find(|word| marks.contains(word))?;
    let has_issue = line
        .comment
        .match_indices('#')
        .any(|(at, _)| line.comment[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
    (!has_issue).then(|| format!("{found} without the number of an issue"))
}

/// Code in a comment for programmers; examples in documentation comments are welcome.
fn commented_out_code(line: &Line) -> Option<String> {
    let text = line.is_plain_comment().then(|| line.comment.trim_start_matches('/').trim())?;
    let ends_like_code = text.ends_with(';') || text.ends_with('{') || text == "}" || text == "});";
    let first = text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    let starts_like_code = KEYWORDS.contains(&first) || text.starts_with(['}', '#']);
    let contains_code = ["();", ");", " = ", "::", "!("].iter().any(|part| text.contains(part));
    let is_code = ends_like_code && (starts_like_code || contains_code);
    is_code.then(|| "code in a comment: delete it, git keeps it".to_owned())
}

const KEYWORDS: &[&str] = &[
    "let",
    "fn",
    "pub",
    "use",
    "mod",
    "struct",
    "enum",
    "impl",
    "trait",
    "const",
    "static",
    "match",
    "return",
    "loop",
    "while",
    "for",
    "if",
    "assert",
    "assert_eq",
    "println",
    "self",
];

fn wildcard_reexport(line: &Line) -> Option<String> {
    let code = line.code.trim();
    let is_reexport = code.starts_with("pub use ") || (code.starts_with("pub(") && code.contains(") use "));
    (is_reexport && code.contains('*')).then(|| "a re-export names what it exports".to_owned())
}

/// Names that say nothing: `get_` in front, and types that are a Manager, a Helper, some Utils, a Server or a Context.
fn poor_name(line: &Line) -> Option<String> {
    if let Some(name) = defined(&line.code, "fn ").filter(|name| name.starts_with("get_")) {
        return Some(format!("`{name}`: leave out `get_`"));
    }
    let name = ["struct ", "enum ", "trait "].into_iter().find_map(|keyword| defined(&line.code, keyword))?;
    let is_poor = ["Manager", "Helper", "Utils"].iter().any(|end| name.ends_with(end))
        || ["Server", "Context"].contains(&name);
    is_poor.then(|| format!("`{name}` does not say what the type is"))
}

/// The name that a line of code defines with this keyword.
fn defined<'a>(code: &'a str, keyword: &str) -> Option<&'a str> {
    let at = code.find(keyword)?;
    let starts_a_word = code[..at].trim_end().is_empty() || code[..at].ends_with(' ');
    let rest = &code[at + keyword.len()..];
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    starts_a_word.then_some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::{LINES_MAX, SourceFile, problems};

    fn check(text: &str, expected: &[&str]) {
        let found = problems(&SourceFile::new("crates/a/src/lib.rs", text));
        let found: Vec<&str> = found.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(found.len(), expected.len(), "{text}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn long_files_are_allowed_in_folders_of_tests_only() {
        let text = "fn a() {}\n".repeat(LINES_MAX + 1);
        assert_eq!(problems(&SourceFile::new("crates/a/src/lib.rs", &text)).len(), 1);
        assert!(problems(&SourceFile::new("crates/a/tests/t.rs", &text)).is_empty());
        assert!(problems(&SourceFile::new("notes.md", &text)).is_empty());
    }

    #[test]
    fn unfinished_work_needs_an_issue() {
        check(concat!("fn f() { to", "do!() }"), &["not finished"]);
        check(concat!("// TO", "DO later"), &["without the number"]);
        check(concat!("// TO", "DO(#12) later"), &[]);
        check("let text = \"todo!\"; // a mastodon", &[]);
    }

    #[test]
    fn code_in_comments_is_found_and_prose_is_not() {
        check("// let x = 1;", &["code in a comment"]);
        check("    // self.flush().await?;", &["code in a comment"]);
        check("// if a { b();", &["code in a comment"]);
        check("// The writer goes on; a slow reader", &[]);
        check("// if the peer is slow, it waits", &[]);
        check("// a queue may be full;", &[]);
        check("/// let x = 1;", &[]);
    }

    #[test]
    fn the_lowest_layers_only_compute() {
        let file = |path| SourceFile::new(path, "use std::fs::File;\n// std::net\n");
        assert_eq!(problems(&file("crates/mqtt-codec/src/frame.rs")).len(), 1);
        assert!(problems(&file("crates/mqtt-codec/tests/golden.rs")).is_empty());
        assert!(problems(&file("crates/mqtt-store/src/lib.rs")).is_empty());
    }

    #[test]
    fn reexports_have_no_stars() {
        check("pub use packet::*;", &["names what it exports"]);
        check("pub(crate) use packet::*;", &["names what it exports"]);
        check("pub use packet::Packet;", &[]);
    }

    #[test]
    fn poor_names_are_refused() {
        check("pub struct ConnectionManager {", &["ConnectionManager"]);
        check("struct Server;", &["Server"]);
        check("pub(crate) fn get_topic(&self)", &["get_topic"]);
        check("struct ServerReference; enum Context2 {}", &[]);
        check("fn target(cx: &mut Context<'_>)", &[]);
    }
}
