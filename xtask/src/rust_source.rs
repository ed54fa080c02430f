//! Rust text taken apart just far enough to tell code, comments and literals from each other, line by line.

/// One line of a Rust file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// The code, with the contents of strings and characters left out.
    pub(crate) code: String,
    /// The text of the comment on this line with its marks (`//`, `///`, `/*`); empty when there is none.
    pub(crate) comment: String,
}

impl Line {
    /// Whether nothing but a comment for other programmers (not for the documentation) stands here.
    pub(crate) fn is_plain_comment(&self) -> bool {
        let comment = self.comment.as_str();
        self.code.trim().is_empty()
            && comment.starts_with("//")
            && !comment.starts_with("///")
            && !comment.starts_with("//!")
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.code.trim().is_empty() && self.comment.is_empty()
    }
}

#[derive(Clone, Copy)]
enum Mode {
    Code,
    LineComment,
    /// Block comments nest; the number says how deep.
    BlockComment(u32),
    Text,
    /// A raw string ends at a quote with this many `#` after it.
    RawText(usize),
}

/// Takes a file apart; there is one [`Line`] for each line of it.
pub(crate) fn lines(text: &str) -> Vec<Line> {
    let mut splitter = Splitter { lines: vec![Line::default()], mode: Mode::Code };
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        at += splitter.take(&chars[at..], at.checked_sub(1).map(|before| chars[before]));
    }
    if text.ends_with('\n') {
        splitter.lines.pop();
    }
    splitter.lines
}

struct Splitter {
    lines: Vec<Line>,
    mode: Mode,
}

impl Splitter {
    /// Takes one or more characters from the front of `rest` and says how many.
    fn take(&mut self, rest: &[char], before: Option<char>) -> usize {
        if rest[0] == '\n' {
            if matches!(self.mode, Mode::LineComment) {
                self.mode = Mode::Code;
            }
            self.lines.push(Line::default());
            return 1;
        }
        match self.mode {
            Mode::Code => self.take_code(rest, before),
            Mode::LineComment => self.comment(&rest[..1]),
            Mode::BlockComment(depth) => self.take_block_comment(rest, depth),
            Mode::Text => self.take_text(rest),
            Mode::RawText(hashes) => self.take_raw_text(rest, hashes),
        }
    }

    fn take_code(&mut self, rest: &[char], before: Option<char>) -> usize {
        match rest {
            ['/', '/', ..] => {
                self.mode = Mode::LineComment;
                self.comment(&rest[..2])
            }
            ['/', '*', ..] => {
                self.mode = Mode::BlockComment(1);
                self.comment(&rest[..2])
            }
            ['"', ..] => {
                self.mode = Mode::Text;
                self.code(&rest[..1])
            }
            ['r', '"' | '#', ..] if !before.is_some_and(is_word_char) || before == Some('b') => {
                self.take_raw_start(rest)
            }
            ['\'', ..] => self.take_quote(rest),
            _ => self.code(&rest[..1]),
        }
    }

    /// `r"`, `r#"` and so on start a raw string; `r#name` is a name.
    fn take_raw_start(&mut self, rest: &[char]) -> usize {
        let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
        if rest.get(1 + hashes) != Some(&'"') {
            return self.code(&rest[..1]);
        }
        self.mode = Mode::RawText(hashes);
        self.code(&rest[..hashes + 2])
    }

    /// A character literal is left out; a lifetime is code.
    fn take_quote(&mut self, rest: &[char]) -> usize {
        let length = match rest {
            [_, '\\', ..] => rest.iter().skip(3).position(|&c| c == '\'').map(|at| at + 4),
            [_, _, '\'', ..] => Some(3),
            _ => None,
        };
        self.code(&['\'']);
        length.unwrap_or(1)
    }

    fn take_block_comment(&mut self, rest: &[char], depth: u32) -> usize {
        match rest {
            ['*', '/', ..] => {
                self.mode = if depth == 1 { Mode::Code } else { Mode::BlockComment(depth - 1) };
                self.comment(&rest[..2])
            }
            ['/', '*', ..] => {
                self.mode = Mode::BlockComment(depth + 1);
                self.comment(&rest[..2])
            }
            _ => self.comment(&rest[..1]),
        }
    }

    fn take_text(&mut self, rest: &[char]) -> usize {
        match rest {
            ['\\', '\n', ..] => 1,
            ['\\', _, ..] => 2,
            ['"', ..] => {
                self.mode = Mode::Code;
                self.code(&rest[..1])
            }
            _ => 1,
        }
    }

    fn take_raw_text(&mut self, rest: &[char], hashes: usize) -> usize {
        let ends = rest[0] == '"' && rest[1..].iter().take_while(|&&c| c == '#').count() >= hashes;
        if !ends {
            return 1;
        }
        self.mode = Mode::Code;
        self.code(&rest[..=hashes])
    }

    fn code(&mut self, chars: &[char]) -> usize {
        self.lines.last_mut().expect("there is always a line").code.extend(chars);
        chars.len()
    }

    fn comment(&mut self, chars: &[char]) -> usize {
        self.lines.last_mut().expect("there is always a line").comment.extend(chars);
        chars.len()
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::lines;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let found = lines(text);
        let found: Vec<(&str, &str)> =
            found.iter().map(|line| (line.code.as_str(), line.comment.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn comments_and_code_are_kept_apart() {
        check("let a = 1; // one\n/// two\n", &[("let a = 1; ", "// one"), ("", "/// two")]);
        check("a /* b\nc /* d */ e */ f", &[("a ", "/* b"), (" f", "c /* d */ e */")]);
    }

    #[test]
    fn what_looks_like_a_comment_inside_a_string_is_none() {
        check(r#"let url = "tcp://x \" //"; y"#, &[(r#"let url = ""; y"#, "")]);
        check("r#\"// \" \"# + b\nr\"//\"", &[("r#\"\"# + b", ""), ("r\"\"", "")]);
        check("\"one \\\n // two\" z", &[("\"", ""), ("\" z", "")]);
        check("br\"//\" r#type", &[("br\"\" r#type", "")]);
    }

    #[test]
    fn characters_are_literals_and_lifetimes_are_not() {
        check("'\"' '\\'' '\\u{1F}' b'\\\\' x", &[("' ' ' b' x", "")]);
        check("fn f<'a>(x: &'a str) // y", &[("fn f<'a>(x: &'a str) ", "// y")]);
    }

    #[test]
    fn an_empty_file_has_no_line() {
        assert_eq!(lines("\n").len(), 1);
        assert_eq!(lines("a\nb").len(), 2);
    }
}
