//! The corpus of the store's fuzz target as a plain test.

mod fuzz_case;

use std::fs;
use std::path::Path;

use fuzz_case::check_open;

#[test]
fn corpus_of_segments() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/segments");
    let inputs = fs::read_dir(&corpus).expect("the corpus is part of the repository");
    let count =
        inputs.map(|input| check_open(&fs::read(input.expect("listed").path()).expect("readable"))).count();
    assert!(count > 0, "the corpus is not empty");
}

proptest::proptest! {
    /// Whole records, one after the other, with fields that need not fit together.
    #[test]
    fn records_in_any_order_are_opened_and_used(kinds in proptest::collection::vec((1_u8..16, 0_u8..4, 0_u8..4), 0..40)) {
        let mut input = vec![0];
        for (kind, a, b) in kinds {
            let mut record = vec![2, kind];
            record.extend_from_slice(&[a, b, a, 1, b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            input.push(u8::try_from(record.len() / 4 + 1).expect("short"));
            record.resize((record.len() / 4 + 1) * 4, 0);
            input.extend_from_slice(&record);
        }
        check_open(&input);
    }

    #[test]
    fn any_bytes_are_opened_or_refused(input: Vec<u8>) {
        check_open(&input);
    }
}
