//! Every fuzz target has a corpus that also runs as a plain test.

use super::Problem;
use crate::workspace::SourceFile;

const TARGETS: &str = "fuzz/fuzz_targets/";
const CORPORA: &str = "fuzz/corpus/";

/// Targets without a corpus, and corpora that no test of a crate reads. `paths` names all files, binary ones too.
pub(super) fn problems(paths: &[String], files: &[SourceFile]) -> Vec<Problem> {
    let targets = paths.iter().filter_map(|path| path.strip_prefix(TARGETS)?.strip_suffix(".rs"));
    let mut problems = Vec::new();
    for target in targets {
        let path = format!("{TARGETS}{target}.rs");
        let corpus = format!("{CORPORA}{target}/");
        if !paths.iter().any(|path| path.starts_with(&corpus)) {
            problems.push(Problem::new(&path, 0, format!("there is no {corpus}")));
        } else if !files.iter().any(|file| reads_corpus(file, target)) {
            problems.push(Problem::new(&path, 0, format!("no test of a crate reads {corpus}")));
        }
    }
    problems
}

fn reads_corpus(file: &SourceFile, target: &str) -> bool {
    file.is_rust()
        && file.path.starts_with("crates/")
        && file.text.contains("corpus")
        && file.text.contains(target)
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, problems};

    fn check(paths: &[&str], test: &str, expected: usize) {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let files = [SourceFile::new("crates/a/tests/corpora.rs", test)];
        assert_eq!(problems(&paths, &files).len(), expected, "{paths:?} {test}");
    }

    #[test]
    fn a_target_needs_a_corpus_and_the_corpus_a_test() {
        let both = ["fuzz/fuzz_targets/frame.rs", "fuzz/corpus/frame/1"];
        check(&both, "run(\"../../fuzz/corpus/frame\")", 0);
        check(&both, "run(\"../../fuzz/corpus/packet\")", 1);
        check(&both[..1], "run(\"../../fuzz/corpus/frame\")", 1);
        check(&[], "", 0);
    }
}
