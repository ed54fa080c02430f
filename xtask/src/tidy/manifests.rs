//! Every crate takes its version, lints and dependencies from the workspace, and has a README.

use toml::{Table, Value};

use super::Problem;
use crate::workspace::SourceFile;

/// Rules for the manifests of all members; the root manifest, the fuzz targets and guests for WebAssembly are no members.
pub(super) fn problems(files: &[SourceFile]) -> Vec<Problem> {
    let is_apart = |file: &SourceFile| file.path.contains("fuzz/") || file.path.contains("/guests/");
    let manifests = files.iter().filter(|file| file.path.ends_with("/Cargo.toml") && !is_apart(file));
    let mut problems = Vec::new();
    for manifest in manifests {
        check_manifest(manifest, &mut problems);
        check_description(manifest, &mut problems);
        check_readme(manifest, files, &mut problems);
    }
    problems
}

fn check_manifest(manifest: &SourceFile, problems: &mut Vec<Problem>) {
    let mut report = |what: String| problems.push(Problem::new(&manifest.path, 0, what));
    let table: Table = match manifest.text.parse() {
        Ok(table) => table,
        Err(error) => return report(format!("not TOML: {error}")),
    };
    for key in ["version", "edition", "license"] {
        if !from_workspace(table.get("package").and_then(|package| package.get(key))) {
            report(format!("`{key}.workspace = true` is missing"));
        }
    }
    if !from_workspace(table.get("lints")) {
        report("`[lints] workspace = true` is missing".to_owned());
    }
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let dependencies = table.get(section).and_then(Value::as_table);
        let own = dependencies.into_iter().flatten().filter(|(_, value)| !from_workspace(Some(value)));
        own.for_each(|(name, _)| report(format!("{name} takes its version from the workspace")));
    }
}

/// What a registry shows of a crate that can be published.
fn check_description(manifest: &SourceFile, problems: &mut Vec<Problem>) {
    let table: Table = manifest.text.parse().unwrap_or_default();
    let Some(package) = table.get("package") else { return };
    if package.get("publish") == Some(&Value::Boolean(false)) {
        return;
    }
    let words = |key: &str| package.get(key).and_then(Value::as_array).map_or(0, Vec::len);
    let has_all = package.get("description").is_some()
        && (1..=5).contains(&words("keywords"))
        && (1..=5).contains(&words("categories"));
    if !has_all {
        let what = "a crate that can be published has a description, up to 5 keywords and up to 5 categories";
        problems.push(Problem::new(&manifest.path, 0, what));
    }
}

fn from_workspace(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

fn check_readme(manifest: &SourceFile, files: &[SourceFile], problems: &mut Vec<Problem>) {
    let readme = manifest.path.replace("Cargo.toml", "README.md");
    if !files.iter().any(|file| file.path == readme && !file.text.trim().is_empty()) {
        problems.push(Problem::new(&readme, 0, "every crate says in a README what it is for"));
    }
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, problems};

    const GOOD: &str = "
        [package]
        description = \"x\"
        keywords = [\"x\"]
        categories = [\"x\"]
        version.workspace = true
        edition.workspace = true
        license.workspace = true
        [lints]
        workspace = true
        [dependencies]
        bytes = { workspace = true, features = [\"x\"] }
    ";

    fn check(manifest: &str, with_readme: bool, expected: usize) {
        let mut files = vec![SourceFile::new("crates/a/Cargo.toml", manifest)];
        if with_readme {
            files.push(SourceFile::new("crates/a/README.md", "# a"));
        }
        assert_eq!(problems(&files).len(), expected, "{:?}", problems(&files));
    }

    #[test]
    fn a_good_crate_has_nothing_to_report() {
        check(GOOD, true, 0);
    }

    #[test]
    fn what_is_missing_is_reported() {
        check(GOOD, false, 1);
        check(&GOOD.replace("version.workspace = true", "version = \"1.0.0\""), true, 1);
        check(&GOOD.replace("[lints]", "[other]"), true, 1);
        check(&GOOD.replace("{ workspace = true, features", "{ version = \"1\", features"), true, 1);
        check("not toml", true, 1);
    }
}
