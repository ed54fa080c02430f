//! Every trait that programs implement, and every type that they make, shows in its documentation how.

use super::Problem;
use crate::workspace::SourceFile;

/// The crates that are used by programs of other people and are complete in this.
const CRATES: [&str; 12] = [
    "mqtt-access",
    "mqtt-broker",
    "mqtt-client",
    "mqtt-codec",
    "mqtt-hooks",
    "mqtt-http",
    "mqtt-login",
    "mqtt-plugin",
    "mqtt-session",
    "mqtt-store",
    "mqtt-topic",
    "mqtt-transport",
];
/// What stands for a type in a build without its feature.
const ABSENT: &str = "/absent.rs";

pub(super) fn problems(file: &SourceFile) -> Vec<Problem> {
    let is_concerned = CRATES.iter().any(|name| file.path.starts_with(&format!("crates/{name}/src/")));
    if !is_concerned || !file.is_rust() || file.path.ends_with(ABSENT) {
        return Vec::new();
    }
    let lines: Vec<&str> = file.text.lines().collect();
    let wanting = lines.iter().enumerate().filter(|(at, line)| {
        let item = item(line).filter(|(keyword, name)| *keyword == "trait" || is_made(&file.text, name));
        item.is_some() && !has_example(&lines[..*at])
    });
    wanting
        .map(|(at, line)| {
            let (_, name) = item(line).expect("it was one");
            Problem::new(&file.path, at + 1, format!("the documentation of `{name}` has no example"))
        })
        .collect()
}

/// Keyword and name of a public trait or struct that begins in this line.
fn item(line: &str) -> Option<(&str, &str)> {
    let (keyword, rest) = line.strip_prefix("pub ")?.split_once(' ')?;
    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    ["trait", "struct"].contains(&keyword).then_some((keyword, name))
}

/// Whether the type has a function of its own that makes one.
fn is_made(text: &str, name: &str) -> bool {
    let mut blocks = text.split("\nimpl").skip(1).filter(|block| is_of(block, name));
    blocks.any(|block| {
        let body = block.split("\n}").next().unwrap_or_default();
        body.split("\n    pub ").skip(1).any(makes_one)
    })
}

/// Whether an `impl` block is the type's own, not that of a trait.
fn is_of(block: &str, name: &str) -> bool {
    let head = block.split('{').next().unwrap_or_default();
    let head = head.strip_prefix('<').map_or(head, |rest| rest.split_once("> ").map_or("", |(_, rest)| rest));
    let own = head.trim_start().strip_prefix(name);
    own.is_some_and(|rest| rest.starts_with(['<', ' ']) && !head.contains(" for "))
}

/// Whether a function takes no `self` and gives one of its type back.
fn makes_one(function: &str) -> bool {
    let signature = function.split(['{', ';']).next().unwrap_or_default();
    let Some((_, parameters)) = signature.split_once('(') else { return false };
    let (first, result) = (parameters.split(',').next().unwrap_or_default(), signature.rsplit("-> ").next());
    let takes_self = first.split(')').next().unwrap_or_default().trim().ends_with("self");
    let makes = ["Self", "Result<Self", "Result<(Self", "Option<Self", "io::Result<Self"];
    !takes_self && result.is_some_and(|result| makes.iter().any(|made| result.starts_with(made)))
}

/// Whether the documentation that ends above an item holds an example.
fn has_example(above: &[&str]) -> bool {
    let header = above.iter().rev().take_while(|line| line.starts_with("///") || line.starts_with("#["));
    header.into_iter().any(|line| line.starts_with("/// ```"))
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, problems};

    fn check(text: &str, expected: &[&str]) {
        let file = SourceFile::new("crates/mqtt-topic/src/a.rs", text);
        let found: Vec<String> = problems(&file).into_iter().map(|problem| problem.what).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_public_trait_needs_an_example() {
        check("/// A.\n///\n/// ```\n/// x();\n/// ```\npub trait A {\n}\n", &[]);
        check("/// A.\npub trait A {\n}\n", &["the documentation of `A` has no example"]);
        check("/// A.\npub(crate) trait A {\n}\n", &[]);
    }

    #[test]
    fn a_type_that_can_be_made_needs_one() {
        let made =
            "/// A.\n#[derive(Debug)]\npub struct A;\n\nimpl A {\n    pub fn new() -> Self {\n    }\n}\n";
        check(made, &["the documentation of `A` has no example"]);
        check("/// A.\npub struct A {}\n\nimpl A {\n    pub fn with(self) -> Self {\n    }\n}\n", &[]);
        check("/// A.\npub struct A;\n\nimpl Default for A {\n    fn default() -> Self {\n    }\n}\n", &[]);
        let generic = "/// A.\npub struct A<S>(S);\n\nimpl<S: X> A<S> {\n    pub fn parse(s: S) -> Result<Self, E> {\n    }\n}\n";
        check(generic, &["the documentation of `A` has no example"]);
    }
}
