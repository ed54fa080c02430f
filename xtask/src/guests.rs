//! `cargo xtask guests`: the WebAssembly components that tests of plug-ins load, built from their sources.

use std::fs;
use std::path::Path;

use crate::CommandResult;
use crate::args::Args;
use crate::process;
use crate::workspace::{SourceFile, Workspace};

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
const SOURCES: [&str; 2] = ["crates/mqtt-plugin/guests/", "crates/mqtt-plugin/wit/"];
const BUILT: &str = "crates/mqtt-plugin/tests/guests";
/// Beside the components: what they were built from.
pub(crate) const MARK: &str = "crates/mqtt-plugin/tests/guests/sources";
const NAMES: [&str; 2] = ["rooms", "unruly"];

pub(crate) fn command(workspace: &Workspace, mut args: Args) -> CommandResult {
    let only_build = args.flag("--check");
    args.finish()?;
    if !build(workspace)? {
        return Ok(false);
    }
    if only_build { Ok(true) } else { take_over(workspace).map(|()| true) }
}

/// Builds all guests, and says whether they could be built.
pub(crate) fn build(workspace: &Workspace) -> CommandResult {
    let mut cargo = workspace.cargo(&["build", "--release", "--locked"]);
    let folder = workspace.root.join(SOURCES[0]);
    let shown = process::show(cargo.current_dir(folder).env("CARGO_TARGET_DIR", target(workspace)));
    shown.map(|shown| shown.success).map_err(|error| format!("cargo: {error}"))
}

/// Whether the compiler has the library of the target.
pub(crate) fn is_possible() -> bool {
    let mut rustc = std::process::Command::new("rustc");
    let found = process::output(rustc.args(["--print", "target-libdir", "--target", TARGET]));
    found.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

fn target(workspace: &Workspace) -> std::path::PathBuf {
    workspace.target.join("guests")
}

fn take_over(workspace: &Workspace) -> Result<(), String> {
    let built = target(workspace).join(TARGET).join("release");
    for name in NAMES {
        let file = format!("{name}.wasm");
        let to = workspace.root.join(BUILT).join(&file);
        fs::copy(built.join(&file), to).map_err(|error| format!("{file}: {error}"))?;
    }
    let mark = workspace.root.join(MARK);
    fs::write(&mark, mark_of(&workspace.files()?)).map_err(|error| format!("{}: {error}", mark.display()))
}

/// A checksum (FNV-1a) of everything that the guests are built from.
pub(crate) fn mark_of(files: &[SourceFile]) -> String {
    let is_source = |file: &&SourceFile| SOURCES.iter().any(|folder| file.path.starts_with(folder));
    let sources = files.iter().filter(is_source);
    let bytes = sources.flat_map(|file| file.path.bytes().chain(file.text.bytes()));
    let sum = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{sum:016x}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_changes_with_a_source_and_with_nothing_else() {
        let file = |path: &str, text: &str| SourceFile::new(path, text);
        let before = mark_of(&[file("crates/mqtt-plugin/wit/plugin.wit", "a"), file("README.md", "a")]);
        assert_eq!(
            mark_of(&[file("crates/mqtt-plugin/wit/plugin.wit", "a"), file("README.md", "b")]),
            before
        );
        assert_ne!(mark_of(&[file("crates/mqtt-plugin/wit/plugin.wit", "b")]), before);
    }
}
