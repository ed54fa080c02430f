//! `interop/KNOWN.md`: cases of other people's suites that race or are broken, each with its reason.

use std::fs;
use std::path::Path;

/// The list, read from the table of the page, so that readers and this program see the same.
#[derive(Debug, Default)]
pub(super) struct Known(Vec<Entry>);

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    suite: String,
    case: String,
    /// How often it may run until it passes; 0 means that it is not run at all.
    runs: u32,
    reason: String,
}

/// How to treat one case.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Treatment<'a> {
    /// It passes when one of this many runs passes.
    Run(u32),
    Skip(&'a str),
}

impl Known {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let page = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&page).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(page: &str) -> Result<Self, String> {
        let rows = page.lines().filter(|line| line.starts_with('|')).skip(2);
        rows.map(entry).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn treatment(&self, suite: &str, case: &str) -> Treatment<'_> {
        match self.0.iter().find(|entry| entry.suite == suite && entry.case == case) {
            None => Treatment::Run(1),
            Some(Entry { runs: 0, reason, .. }) => Treatment::Skip(reason),
            Some(Entry { runs, .. }) => Treatment::Run(*runs),
        }
    }
}

/// `| suite | case | runs | clause | reason |`
fn entry(row: &str) -> Result<Entry, String> {
    let cells: Vec<&str> =
        row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
    let [suite, case, runs, clause, reason] = cells.as_slice() else {
        return Err(format!("not a row of five cells: {row}"));
    };
    if clause.is_empty() || reason.is_empty() {
        return Err(format!("{suite}/{case} needs a clause and a reason"));
    }
    let runs = runs.parse().ok().filter(|runs| *runs <= 3);
    let runs = runs.ok_or_else(|| format!("{suite}/{case} runs 0 to 3 times"))?;
    Ok(Entry { suite: (*suite).into(), case: (*case).into(), runs, reason: (*reason).into() })
}

#[cfg(test)]
mod tests {
    use super::{Known, Treatment};

    const PAGE: &str = "\
# Known

| Suite | Case | Runs | Clause | Reason |
| --- | --- | ---: | --- | --- |
| `one` | `racing` | 3 | MQTT-1.1.1-1 | does not wait |
| `one` | `broken` | 0 | MQTT-1.1.1-2 | asks for the opposite |
";

    #[test]
    fn the_table_of_the_page_is_what_counts() {
        let known = Known::parse(PAGE).unwrap();
        assert_eq!(known.treatment("one", "racing"), Treatment::Run(3));
        assert_eq!(known.treatment("one", "broken"), Treatment::Skip("asks for the opposite"));
        assert_eq!(known.treatment("two", "racing"), Treatment::Run(1));
    }

    #[test]
    fn the_page_of_this_repository_is_well_formed() {
        let known = Known::parse(include_str!("../../../interop/KNOWN.md")).unwrap();
        assert!(!known.0.is_empty());
    }

    #[test]
    fn a_row_without_reason_or_with_too_many_runs_is_refused() {
        assert!(Known::parse(&PAGE.replace("does not wait", "")).is_err());
        assert!(Known::parse(&PAGE.replace("| 3 |", "| 9 |")).is_err());
        assert!(Known::parse(&PAGE.replace("| 3 |", "")).is_err());
    }
}
