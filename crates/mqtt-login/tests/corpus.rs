//! The corpus of the fuzz target `login` as a plain test.

mod fuzz_case;

use std::fs;
use std::path::Path;

#[test]
fn every_input_of_the_corpus_is_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/login");
    let inputs = fs::read_dir(&corpus).expect("the corpus is part of the repository");
    let count = inputs
        .map(|input| fuzz_case::run(&fs::read(input.expect("listed").path()).expect("readable")))
        .count();
    assert!(count > 0, "the corpus is not empty");
}
