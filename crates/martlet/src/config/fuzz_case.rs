//! What the fuzz target `configuration` and the test of its corpus do with one input.

use crate::config::{Configuration, Draft, SourceText, effective, needing_restart};

/// The first byte chooses where the rest comes from: a file, `--set` arguments, the environment or `--listen`, one in a line.
/// Nothing panics; what is refused has a reason, and what is taken says the same when it is printed and read again.
pub(crate) fn run(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    let Ok(text) = core::str::from_utf8(rest) else { return };
    let mut draft = Draft::default();
    match kind % 4 {
        0 => draft.read_file(SourceText { name: "martlet.toml", text }),
        1 => text.lines().for_each(|line| draft.set(line)),
        2 => draft.read_environment(|name| {
            let mut pairs = text.lines().filter_map(|line| line.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        }),
        _ => draft.replace_listeners(&text.lines().map(str::to_owned).collect::<Vec<_>>()),
    }
    match draft.finish() {
        Ok(configuration) => check_printed(&configuration),
        Err(problems) => assert!(problems.to_string().contains("error")),
    }
}

fn check_printed(configuration: &Configuration) {
    assert!(needing_restart(configuration, configuration).is_empty());
    let printed = effective(configuration);
    // Secrets are shown as a word that may not be one in their place.
    if printed.contains("(hidden)") {
        return;
    }
    let mut again = Draft::default();
    again.read_file(SourceText { name: "printed", text: &printed });
    let again = again.finish().unwrap_or_else(|problems| panic!("{problems}\n{printed}"));
    assert_eq!(effective(&again), printed);
}
