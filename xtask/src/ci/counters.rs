//! Reading how many tests ran from what the test runners print.

use crate::report::Counts;

/// The summary of `cargo nextest`, or the sum of all closing lines of `cargo test`; `None` when no runner got that far.
///
/// nextest repeats what a failed test printed, a closing line of its own included, so its summary excludes those.
pub(super) fn counts(output: &str) -> Option<Counts> {
    let lines: Vec<String> = output.lines().map(without_colours).collect();
    sum(lines.iter().filter_map(|line| nextest(line)))
        .or_else(|| sum(lines.iter().filter_map(|line| libtest(line))))
}

fn sum(counts: impl Iterator<Item = Counts>) -> Option<Counts> {
    counts.reduce(|one, other| one + other)
}

/// `Summary [   1.2s] 4 tests run: 3 passed (1 slow), 1 failed, 2 skipped`
fn nextest(line: &str) -> Option<Counts> {
    let (_, list) = line.trim_start().strip_prefix("Summary [")?.split_once(" run: ")?;
    let failed =
        ["failed", "timed out", "exec failed"].into_iter().map(|word| number_of(list, ',', word)).sum();
    Some(Counts { passed: number_of(list, ',', "passed"), failed, skipped: number_of(list, ',', "skipped") })
}

/// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn libtest(line: &str) -> Option<Counts> {
    let (_, list) = line.trim_start().strip_prefix("test result: ")?.split_once(". ")?;
    let number = |word| number_of(list, ';', word);
    Some(Counts { passed: number("passed"), failed: number("failed"), skipped: number("ignored") })
}

/// The number in front of a word in a list such as `3 passed (1 slow), 1 failed`.
fn number_of(list: &str, separator: char, word: &str) -> u64 {
    let numbers = list.split(separator).filter_map(|part| {
        let (number, rest) = part.trim().split_once(' ')?;
        rest.starts_with(word).then(|| number.parse().ok())?
    });
    numbers.into_iter().next().unwrap_or_default()
}

/// The line without escape sequences of a terminal.
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        plain.push_str(&part[end..]);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{Counts, counts};

    fn check(output: &str, expected: Option<(u64, u64, u64)>) {
        let expected = expected.map(|(passed, failed, skipped)| Counts { passed, failed, skipped });
        assert_eq!(counts(output), expected, "{output}");
    }

    #[test]
    fn nextest_closes_with_a_summary() {
        check("     Summary [   0.020s] 38 tests run: 38 passed, 0 skipped\n", Some((38, 0, 0)));
        check(
            "Summary [  1.0s] 9 tests run: 6 passed (1 slow, 1 flaky), 1 failed, 2 timed out, 4 skipped",
            Some((6, 3, 4)),
        );
        check("Summary [  1.0s] 3/9 tests run: 2 passed, 1 failed, 0 skipped", Some((2, 1, 0)));
        check(
            "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m2\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m skipped",
            Some((2, 0, 0)),
        );
    }

    #[test]
    fn what_nextest_repeats_is_not_counted_again() {
        let repeated = "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 6 filtered out; finished in 0.08s\n";
        check(
            &format!("{repeated}     Summary [   8.6s] 7 tests run: 6 passed, 1 failed, 0 skipped\n"),
            Some((6, 1, 0)),
        );
    }

    #[test]
    fn the_closing_lines_of_several_test_programs_are_added_up() {
        let output = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.00s\n";
        check(output, Some((6, 2, 1)));
    }

    #[test]
    fn a_runner_that_did_not_get_to_its_end_counted_nothing() {
        check("error: could not compile `x`\ntest a ... ok\n", None);
    }
}
