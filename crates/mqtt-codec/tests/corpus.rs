//! The corpora of the codec's fuzz targets as plain tests.

mod fuzz_case;

use std::fs;
use std::path::Path;

use fuzz_case::{check_decode_encode_decode, check_frame, check_packets};
use mqtt_codec::Version;

fn run(target: &str, check: impl Fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let inputs = fs::read_dir(&corpus).expect("the corpus is part of the repository");
    let count =
        inputs.map(|input| check(&fs::read(input.expect("listed").path()).expect("readable"))).count();
    assert!(count > 0, "the corpus of {target} is not empty");
}

#[test]
fn corpus_of_frame() {
    run("frame", check_frame);
}

#[test]
fn corpus_of_packet_v3_1() {
    run("packet_v3_1", |input| check_packets(input, Version::V3_1));
}

#[test]
fn corpus_of_packet_v3_1_1() {
    run("packet_v3_1_1", |input| check_packets(input, Version::V3_1_1));
}

#[test]
fn corpus_of_packet_v5() {
    run("packet_v5", |input| check_packets(input, Version::V5));
}

#[test]
fn corpus_of_decode_encode_decode() {
    run("decode_encode_decode", check_decode_encode_decode);
}
