//! Counting test cases, and the table and closing line that every command ends with.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::time::Duration;

/// How many test cases passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    pub(crate) const PASSED: Self = Self { passed: 1, failed: 0, skipped: 0 };
    pub(crate) const FAILED: Self = Self { passed: 0, failed: 1, skipped: 0 };
    pub(crate) const SKIPPED: Self = Self { passed: 0, failed: 0, skipped: 1 };

    /// One case that either passed or failed.
    pub(crate) fn one(passed: bool) -> Self {
        if passed { Self::PASSED } else { Self::FAILED }
    }

    pub(crate) fn total(self) -> u64 {
        self.passed + self.failed + self.skipped
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Counts {
    /// The closing line that whoever runs CI reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// One line of a table: a step of CI or a suite of the interop run.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) counts: Counts,
    pub(crate) time: Duration,
    /// Why something was skipped, or what a reader should know besides the numbers.
    pub(crate) note: String,
}

/// The table of these rows under a heading that names what a row is.
pub(crate) fn table(heading: &str, rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).chain([heading.len()]).max().unwrap_or_default();
    let mut text = format!("{heading:width$}   cases  passed  failed skipped    time  note\n");
    for Row { name, counts, time, note } in rows {
        let Counts { passed, failed, skipped } = counts;
        let line = format!(
            "{name:width$}  {:6}  {passed:6}  {failed:6}  {skipped:6}  {:5.1}s  {note}",
            counts.total(),
            time.as_secs_f64(),
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Counts, Row, table};
    use std::time::Duration;

    #[test]
    fn the_closing_line_has_the_agreed_form() {
        let sum: Counts = [Counts::PASSED, Counts::PASSED, Counts::SKIPPED].into_iter().sum();
        assert_eq!(sum.to_string(), "2 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn a_table_has_one_line_per_row_and_keeps_the_notes() {
        let row = |name: &str, note: &str| Row {
            name: name.to_owned(),
            counts: Counts::SKIPPED,
            time: Duration::from_millis(1500),
            note: note.to_owned(),
        };
        let text = table("step", &[row("a much longer name", "no such tool"), row("b", "")]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].ends_with("1.5s  no such tool"));
        assert_eq!(lines[1].find("1.5s"), lines[2].find("1.5s"));
    }
}
