//! The corpus of the fuzz target `topic_filter` as a plain test.

mod fuzz_case;
mod oracle;

use std::fs;
use std::path::Path;

#[test]
fn every_input_of_the_corpus_agrees_with_the_oracle() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/topic_filter");
    let inputs = fs::read_dir(&corpus).expect("the corpus is part of the repository");
    let count = inputs
        .map(|input| fuzz_case::run(&fs::read(input.expect("listed").path()).expect("readable")))
        .count();
    assert!(count > 0, "the corpus is not empty");
}
