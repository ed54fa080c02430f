//! The English and the Chinese README say the same: same outline, same code.

use super::Problem;
use crate::workspace::SourceFile;

const ENGLISH: &str = "README.md";
const CHINESE: &str = "README.zh-CN.md";

/// Both pages are there and have the same headings (by level) and the same code blocks (comments may be translated).
pub(super) fn problems(files: &[SourceFile]) -> Vec<Problem> {
    let find = |path: &str| files.iter().find(|file| file.path == path);
    let (Some(english), Some(chinese)) = (find(ENGLISH), find(CHINESE)) else {
        let missing = [ENGLISH, CHINESE].into_iter().filter(|path| find(path).is_none());
        return missing.map(|path| Problem::new(path, 0, "there is no such page")).collect();
    };
    differences(&Outline::of(&english.text), &Outline::of(&chinese.text))
}

#[derive(Default)]
struct Outline {
    /// The level of each heading with its line.
    headings: Vec<(usize, usize)>,
    /// Each code block without comments, with its line.
    blocks: Vec<(String, usize)>,
}

impl Outline {
    fn of(page: &str) -> Self {
        let mut outline = Self::default();
        let mut in_block = false;
        for (at, line) in page.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_block = !in_block;
                if in_block {
                    outline.blocks.push((format!("{}\n", line.trim()), at + 1));
                }
            } else if in_block {
                outline.add_code(line);
            } else if line.starts_with('#') {
                outline.headings.push((line.bytes().take_while(|byte| *byte == b'#').count(), at + 1));
            }
        }
        outline
    }

    fn add_code(&mut self, line: &str) {
        let code = without_comment(line);
        if let Some((block, _)) = self.blocks.last_mut().filter(|_| !code.is_empty()) {
            block.push_str(code);
            block.push('\n');
        }
    }
}

/// The code of a line; comments start with `#` or `//` at the line's start or after a space.
fn without_comment(line: &str) -> &str {
    let starts = ["# ", "// "].into_iter().filter_map(|mark| {
        let found = line.match_indices(mark).map(|(at, _)| at);
        found.into_iter().find(|&at| at == 0 || line[..at].ends_with(' '))
    });
    line[..starts.min().unwrap_or(line.len())].trim_end()
}

fn differences(english: &Outline, chinese: &Outline) -> Vec<Problem> {
    let mut problems = Vec::new();
    let levels = |outline: &Outline| outline.headings.iter().map(|(level, _)| *level).collect::<Vec<_>>();
    if levels(english) != levels(chinese) {
        let pairs = english.headings.iter().zip(&chinese.headings);
        let line = pairs.into_iter().find(|(one, other)| one.0 != other.0).map_or(0, |(_, other)| other.1);
        problems.push(Problem::new(CHINESE, line, format!("its headings differ from those of {ENGLISH}")));
    }
    if english.blocks.len() != chinese.blocks.len() {
        problems.push(Problem::new(
            CHINESE,
            0,
            format!("its number of code blocks differs from that of {ENGLISH}"),
        ));
    }
    let pairs = english.blocks.iter().zip(&chinese.blocks).filter(|(one, other)| one.0 != other.0);
    problems.extend(pairs.map(|(one, other)| {
        Problem::new(CHINESE, other.1, format!("this code block differs from the one in {ENGLISH}:{}", one.1))
    }));
    problems
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, problems};

    fn check(english: &str, chinese: &str, expected: usize) {
        let files = [SourceFile::new("README.md", english), SourceFile::new("README.zh-CN.md", chinese)];
        assert_eq!(problems(&files).len(), expected, "{:?}", problems(&files));
    }

    const PAGE: &str = "# One\ntext\n## Two\n```sh\n# run it\ncargo run --release   # listens on tcp://127.0.0.1:1883\n```\n";

    #[test]
    fn a_translation_may_change_words_and_comments() {
        check(PAGE, &PAGE.replace("One", "一").replace("listens on", "监听").replace("run it", "运行"), 0);
    }

    #[test]
    fn a_translation_keeps_headings_and_code() {
        check(PAGE, &PAGE.replace("## Two", "### Two"), 1);
        check(PAGE, &PAGE.replace("--release", "--debug"), 1);
        check(PAGE, &format!("{PAGE}```sh\nmore\n```\n"), 1);
    }

    #[test]
    fn both_pages_must_exist() {
        assert_eq!(problems(&[]).len(), 2);
    }
}
