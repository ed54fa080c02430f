//! The corpus of the TLS stream's fuzz target as a plain test.

mod fuzz_case_tls;

use std::fs;
use std::path::Path;

use fuzz_case_tls::check_tls;

#[test]
fn corpus_of_tls_stream() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/tls_stream");
    let inputs = fs::read_dir(&corpus).expect("the corpus is part of the repository");
    let count =
        inputs.map(|input| check_tls(&fs::read(input.expect("listed").path()).expect("readable"))).count();
    assert!(count > 0, "the corpus is not empty");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn random_scripts_are_survived(input: Vec<u8>) {
        check_tls(&input);
    }
}
