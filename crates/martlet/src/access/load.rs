//! From the settings to users and rules, with every mistake and every warning.

use std::path::{Path, PathBuf};

use mqtt_access::acl::Policy;
use mqtt_access::password::{PasswordFile, PasswordHash};
use mqtt_access::scram::{Mechanism, Verifier};

use super::settings::AccessSettings;

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) users: Users,
    /// `None`: no rules at all, so whoever is admitted may do everything.
    pub(crate) policy: Option<Policy>,
    /// What is strange and does no harm.
    pub(crate) warnings: Vec<String>,
}

/// Users of the configuration and of all files; the first one of a name counts.
#[derive(Debug, Default)]
pub(crate) struct Users {
    parts: Vec<PasswordFile>,
    /// Stands for those of users who do not exist, so that a login as one takes as long as any other.
    nobody: Option<PasswordHash>,
}

impl Users {
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.iter().all(PasswordFile::is_empty)
    }

    /// The hash of a user.
    pub(crate) fn hash(&self, name: &str) -> Option<&PasswordHash> {
        self.parts.iter().find_map(|part| part.user(name)).map(|user| &user.hash)
    }

    pub(crate) fn nobody(&self) -> Option<&PasswordHash> {
        self.nobody.as_ref()
    }

    pub(crate) fn verifier(&self, mechanism: Mechanism, name: &str) -> Option<Verifier> {
        self.hash(name)?.verifier().filter(|verifier| verifier.mechanism() == mechanism).cloned()
    }
}

/// Reads all files.
///
/// # Errors
/// Everything that is wrong in any of them, with file and line, and never with a password.
pub(crate) fn load(settings: &AccessSettings) -> Result<Loaded, Vec<String>> {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let mut users = Users::default();
    let mut own = PasswordFile::default();
    for (number, line) in (1..).zip(&settings.users.0) {
        if let Err(problem) = own.add_line(number, line) {
            errors.push(format!("access.users: {problem}"));
        }
    }
    users.parts.push(own);
    for path in &settings.password_files {
        let Some(text) = read(path, &mut errors) else { continue };
        warnings.extend(too_open(path));
        match PasswordFile::parse(&text) {
            Ok(file) => users.parts.push(file),
            Err(problems) => {
                errors.extend(problems.iter().map(|problem| format!("{}: {problem}", path.display())));
            }
        }
    }
    users.nobody = users.parts.iter().find_map(PasswordFile::any).cloned();
    let policy = if settings.has_rules() { rules(settings, &mut errors) } else { None };
    if let Some(policy) = &policy {
        let said = policy.warnings().into_iter();
        warnings.extend(said.map(|warning| format!("{}: {}", warning.place, warning.problem)));
    }
    if errors.is_empty() { Ok(Loaded { users, policy, warnings }) } else { Err(errors) }
}

fn rules(settings: &AccessSettings, errors: &mut Vec<String>) -> Option<Policy> {
    let mut builder = Policy::builder().lines("access.rules", settings.rules.iter().map(String::as_str));
    for path in &settings.rule_files {
        if let Some(text) = read(path, errors) {
            builder = builder.file(&path.display().to_string(), &text);
        }
    }
    for path in &settings.mosquitto_acl_files {
        if let Some(text) = read(path, errors) {
            builder = builder.mosquitto_file(&path.display().to_string(), &text);
        }
    }
    match builder.build() {
        Ok(policy) => Some(policy),
        Err(problems) => {
            errors.extend(problems.iter().map(ToString::to_string));
            None
        }
    }
}

fn read(path: &PathBuf, errors: &mut Vec<String>) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            errors.push(format!("{}: cannot be read: {error}", path.display()));
            None
        }
    }
}

/// A file with hashes that everybody on the machine may read invites to guess.
fn too_open(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o007 != 0)
        .then(|| format!("{}: everybody on this machine may read it; use chmod 640", path.display()))
}
