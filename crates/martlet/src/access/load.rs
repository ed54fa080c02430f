//! From the settings to users and rules, with every mistake and every warning.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mqtt_access::acl::Policy;
use mqtt_access::bans::parse_ban;
use mqtt_access::password::{PasswordFile, Users};
use mqtt_http::Client;

use super::jwt::JwtKeys;
use super::lookups::Databases;
use super::settings::AccessSettings;

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Those of the configuration and of all files.
    pub(crate) users: Arc<Users>,
    /// `None`: no rules at all, so whoever is admitted may do everything.
    pub(crate) policy: Option<Policy>,
    pub(crate) jwt: JwtKeys,
    pub(crate) http: Option<Client>,
    /// Who is asked where no rule decides.
    pub(crate) authority: Option<Client>,
    pub(crate) databases: Databases,
    /// Those of the configuration and of all files, as they are written.
    pub(crate) bans: Vec<String>,
    /// What is strange and does no harm.
    pub(crate) warnings: Vec<String>,
}

/// Reads all files.
///
/// # Errors
/// Everything that is wrong in any of them, with file and line, and never with a password.
pub(crate) fn load(settings: &AccessSettings) -> Result<Loaded, Vec<String>> {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let mut own = PasswordFile::default();
    for (number, line) in (1..).zip(&settings.users.0) {
        if let Err(problem) = own.add_line(number, line) {
            errors.push(format!("access.users: {problem}"));
        }
    }
    let mut users = vec![own];
    for path in &settings.password_files {
        let Some(text) = read(path, &mut errors) else { continue };
        warnings.extend(too_open(path));
        match PasswordFile::parse(&text) {
            Ok(file) => users.push(file),
            Err(problems) => {
                errors.extend(problems.iter().map(|problem| format!("{}: {problem}", path.display())));
            }
        }
    }
    let policy = if settings.has_rules() { rules(settings, &mut errors) } else { None };
    if let Some(policy) = &policy {
        let said = policy.warnings().into_iter();
        warnings.extend(said.map(|warning| format!("{}: {}", warning.place, warning.problem)));
    }
    let users = Arc::new(Users::new(users));
    let (jwt, http) = (settings.jwt.load(&mut errors), settings.http.load("http_login.url", &mut errors));
    let authority = settings.authority.load("http_access.url", &mut errors);
    let databases = Databases::open(settings, &mut errors);
    let bans = bans(settings, &mut errors);
    if errors.is_empty() {
        Ok(Loaded { users, policy, jwt, http, authority, databases, bans, warnings })
    } else {
        Err(errors)
    }
}

/// Lines of bans. In a file, empty ones and those that begin with `#` are skipped.
fn bans(settings: &AccessSettings, errors: &mut Vec<String>) -> Vec<String> {
    let mut lines = settings.bans.0.clone();
    for path in &settings.ban_files {
        let Some(text) = read(path, errors) else { continue };
        let written = (1..).zip(text.lines().map(str::trim));
        for (number, line) in written.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            match parse_ban(line) {
                Ok(_) => lines.push(line.to_owned()),
                Err(problem) => errors.push(format!("{}:{number}: {problem}", path.display())),
            }
        }
    }
    if lines.len() > settings.bans_max {
        errors.push(format!("there are {} bans; access.bans_max allows {}", lines.len(), settings.bans_max));
    }
    lines
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
