//! Where the repository is, what cargo says about it, and which files belong to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process;

/// The repository that this program was built from.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Where cargo builds, and where the interop run keeps what it downloads.
    pub(crate) target: PathBuf,
    metadata: Value,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self, String> {
        let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest_dir.parent().ok_or("xtask has no parent folder")?.to_owned();
        let mut command = Command::new("cargo");
        let text = process::output(command.args(["metadata", "--format-version=1"]).current_dir(&root))?;
        let metadata: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let target =
            metadata["target_directory"].as_str().ok_or("cargo metadata names no target directory")?;
        Ok(Self { root, target: target.into(), metadata })
    }

    /// What `cargo metadata` printed.
    pub(crate) fn metadata(&self) -> &Value {
        &self.metadata
    }

    /// A `cargo` command that runs in the repository.
    pub(crate) fn cargo(&self, words: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command.args(words).current_dir(&self.root);
        command
    }

    /// The paths of all files that git knows or would add, in a fixed order.
    pub(crate) fn paths(&self) -> Result<Vec<String>, String> {
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(&self.root);
        let names = process::output(&mut git)?;
        let names = names.split('\0').filter(|name| !name.is_empty() && self.root.join(name).is_file());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// The files among them that are text, read.
    pub(crate) fn files(&self) -> Result<Vec<SourceFile>, String> {
        Ok(self.paths()?.iter().filter_map(|path| SourceFile::read(&self.root, path)).collect())
    }
}

/// One text file of the repository.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Relative to the repository, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    fn read(root: &Path, path: &str) -> Option<Self> {
        let text = String::from_utf8(fs::read(root.join(path)).ok()?).ok()?;
        Some(Self { path: path.to_owned(), text })
    }

    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the file lies in a folder of tests, outside what is shipped.
    pub(crate) fn is_in_tests(&self) -> bool {
        self.path.split('/').any(|part| part == "tests")
    }
}
