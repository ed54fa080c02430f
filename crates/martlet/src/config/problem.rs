//! What is wrong with a configuration, and where.

use std::fmt;
use std::ops::Range;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a file; line and column count from 1, the column in characters.
    File { name: String, line: usize, column: usize },
    /// In a file as a whole.
    WholeFile { name: String },
    /// On the command line, as it stands there.
    Argument(String),
    /// In an environment variable.
    Environment(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Self::WholeFile { name } => f.write_str(name),
            Self::Argument(text) => f.write_str(text),
            Self::Environment(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// One thing to correct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Everything that is wrong with a configuration: never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    /// In the order of the file, then in the order in which they were found.
    pub(crate) fn sorted(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| match &problem.place {
            Place::File { line, column, .. } => (*line, *column),
            Place::WholeFile { .. } => (0, 0),
            Place::Argument(_) | Place::Environment(_) => (usize::MAX, 0),
        });
        Self(problems)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "error: {problem}")?;
        }
        match self.0.len() {
            1 => f.write_str("1 error in the configuration"),
            count => write!(f, "{count} errors in the configuration"),
        }
    }
}

/// A text with a name, for positions in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceText<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
}

impl SourceText<'_> {
    /// The place of the first byte of `span`.
    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        let mut start = span.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place::File {
            name: self.name.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// The candidate that `word` was probably meant to be: one that it begins, or one that is a few edits away.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let begins = |candidate: &str| word.len() > 2 && candidate.starts_with(word);
    let edits = |candidate: &str| if begins(candidate) { 1 } else { strsim::osa_distance(word, candidate) };
    let (edits, candidate) = candidates.into_iter().map(|candidate| (edits(candidate), candidate)).min()?;
    (edits <= (word.chars().count() / 3).clamp(1, 4)).then_some(candidate)
}
