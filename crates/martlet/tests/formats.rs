//! Data directories that earlier versions wrote, each with everything in it that a store can hold: this version must
//! read them as they were meant. `cargo run -p mqtt-store --example fill -- DIRECTORY` writes one of the present format.

mod support;

use std::fs;
use std::path::Path;

use support::{run, stderr, stdout};
use tempfile::tempdir;

#[test]
fn every_format_that_was_written_is_read_with_all_its_values() {
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    let mut count = 0;
    for format in fs::read_dir(formats).expect("part of the repository") {
        let format = format.expect("listed").path();
        let copy = tempdir().expect("a directory");
        for file in fs::read_dir(&format).expect("a directory") {
            let file = file.expect("listed").path();
            fs::copy(&file, copy.path().join(file.file_name().expect("a name"))).expect("it can be copied");
        }
        let place = copy.path().to_str().expect("text");
        let expected = fs::read_to_string(format.join("export.jsonl")).expect("what is in it");
        for _ in 0..2 {
            let exported = run(["store", "export", "--data-dir", place]);
            assert_eq!(stdout(&exported), expected, "{}: {}", format.display(), stderr(&exported));
            // Once more, with everything written anew by this version.
            let compacted = run(["store", "compact", "--data-dir", place]);
            assert!(compacted.status.success(), "{}: {}", format.display(), stderr(&compacted));
        }
        count += 1;
    }
    assert!(count > 0, "there is at least the present format");
}
