//! The corpora of the transport's fuzz targets as plain tests.

mod fuzz_case;

use std::fs;
use std::path::Path;

use fuzz_case::{check_proxy_header, check_websocket};

fn run(target: &str, check: impl Fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let inputs = fs::read_dir(&corpus).expect("the corpus is part of the repository");
    let count =
        inputs.map(|input| check(&fs::read(input.expect("listed").path()).expect("readable"))).count();
    assert!(count > 0, "the corpus of {target} is not empty");
}

#[test]
fn corpus_of_websocket() {
    run("websocket", check_websocket);
}

#[test]
fn corpus_of_proxy_header() {
    run("proxy_header", check_proxy_header);
}

proptest::proptest! {
    #[test]
    fn random_frames_mean_the_same_however_they_are_cut(input: Vec<u8>) {
        check_websocket(&input);
    }
}
