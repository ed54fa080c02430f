//! How a scan in byte order leaves out what a filter cannot match.

/// The character after `/`: `prefix` followed by it is the first text behind everything below `prefix/`.
const AFTER_SEPARATOR: char = '0';
/// The text after every name that starts with `$`.
const AFTER_DOLLAR: &str = "%";

/// What a scan does with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The filter matches it.
    Visit,
    /// It does not match, but the next one may.
    Pass,
    /// Nothing matches before the text in [`Skipper::target`].
    Seek,
    /// Nothing from here on matches.
    Finish,
}

/// A filter with wildcards as a scan uses it.
pub(crate) struct Skipper<'a> {
    filter: &'a str,
    target: String,
}

impl<'a> Skipper<'a> {
    pub(crate) fn new(filter: &'a str) -> Self {
        Self { filter, target: String::new() }
    }

    /// Where to go on after [`Step::Seek`]; greater than the name that was examined.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Compares a name with the filter, level by level.
    pub(crate) fn examine(&mut self, name: &str) -> Step {
        if name.starts_with('$') && self.filter.starts_with(['+', '#']) {
            return self.seek_to(&[AFTER_DOLLAR]); // [MQTT-4.7.2-1]
        }
        let mut start = 0;
        let mut plus_end = None;
        let mut levels = self.filter.split('/');
        while let Some(level) = levels.next() {
            if level == "#" {
                return Step::Visit; // the parent level too (section 4.7.1.2)
            }
            let Some(rest) = name.get(start..) else {
                return Step::Pass; // the name has fewer levels, but one below it may come
            };
            let actual = &rest[..rest.find('/').unwrap_or(rest.len())];
            let end = start + actual.len();
            if level == "+" {
                plus_end = Some(end);
            } else if level != actual {
                return self.seek_literals(name, start, level, levels, plus_end);
            }
            start = end + 1;
        }
        if start > name.len() { Step::Visit } else { self.leave(name, plus_end) }
    }

    /// The levels before `start` agree, but the literal there does not: goes to where it would be, with all literals
    /// that follow it.
    fn seek_literals<'f>(
        &mut self,
        name: &str,
        start: usize,
        literal: &str,
        rest: impl Iterator<Item = &'f str>,
        plus_end: Option<usize>,
    ) -> Step {
        self.seek_to(&[&name[..start], literal]);
        for level in rest {
            if level == "#" && name < &*self.target {
                return Step::Seek; // to the parent level, which matches
            }
            self.target.push('/');
            if matches!(level, "+" | "#") {
                break;
            }
            self.target.push_str(level);
        }
        if name < &*self.target { Step::Seek } else { self.leave(name, plus_end) }
    }

    /// Nothing more can match unless the last level that `+` stands for changes.
    fn leave(&mut self, name: &str, plus_end: Option<usize>) -> Step {
        let Some(end) = plus_end else { return Step::Finish };
        self.seek_to(&[&name[..end]]);
        self.target.push(AFTER_SEPARATOR);
        Step::Seek
    }

    fn seek_to(&mut self, parts: &[&str]) -> Step {
        self.target.clear();
        self.target.extend(parts.iter().copied());
        Step::Seek
    }
}

#[cfg(test)]
mod tests {
    use super::{Skipper, Step};

    #[track_caller]
    fn check(filter: &str, name: &str, step: Step, target: &str) {
        let mut skipper = Skipper::new(filter);
        assert_eq!(skipper.examine(name), step);
        if step == Step::Seek {
            assert_eq!(skipper.target(), target);
            assert!(name < target, "a seek goes forward");
        }
    }

    #[test]
    fn a_literal_prefix_is_sought_at_once() {
        check("b/c/+", "a", Step::Seek, "b/c/");
        check("b/c/#", "a", Step::Seek, "b/c");
        check("b/c/+/d", "b/c!", Step::Seek, "b/c/");
        check("b/c/#", "b/c!", Step::Seek, "b/c/");
        check("b/+", "c", Step::Finish, "");
    }

    #[test]
    fn a_literal_behind_a_plus_is_sought_below_every_level() {
        check("+/b", "x/a", Step::Seek, "x/b");
        check("+/b", "x/c", Step::Seek, "x0");
        check("+/b/+/d", "x/b/y/e", Step::Seek, "x/b/y0");
    }

    #[test]
    fn names_that_are_too_deep_are_skipped_together() {
        check("+", "x/y", Step::Seek, "x0");
        check("a/+", "a/x/y", Step::Seek, "a/x0");
        check("+/b", "x/b/c", Step::Seek, "x0");
    }

    #[test]
    fn a_name_that_is_too_short_is_passed() {
        check("+/b", "x", Step::Pass, "");
        check("+/#", "x", Step::Visit, "");
    }

    #[test]
    fn mqtt_4_7_2_1_dollar_names_are_skipped_together() {
        check("#", "$SYS/x", Step::Seek, "%");
        check("+/x", "$SYS/x", Step::Seek, "%");
        check("$SYS/#", "$SYS/x", Step::Visit, "");
    }
}
