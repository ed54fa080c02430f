//! Password files: one user in a line, `NAME:HASH`, as mosquitto has them.

use core::fmt;

use hashbrown::HashMap;

use super::{HashError, PasswordHash};

/// The users of one or more files, by name. Names are compared byte by byte.
///
/// ```
/// use mqtt_access::password::{PasswordFile, PasswordHash, set_line};
///
/// let hash = PasswordHash::new(b"a secret").expect("random numbers");
/// let text = set_line("", "anna", &hash).expect("a name");
/// let file = PasswordFile::parse(&text).expect("a file of one line");
/// let user = file.user("anna").expect("she is there");
/// assert!(user.hash.verify(b"a secret") && !user.hash.verify(b"guessed"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct PasswordFile {
    users: HashMap<Box<str>, User>,
}

/// One user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// What is kept of the password.
    pub hash: PasswordHash,
    /// The line it stands in, from 1.
    pub line: u32,
}

/// What is wrong with a line. Holds the user's name and nothing of the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// Line, from 1.
    pub line: u32,
    /// What is wrong.
    pub problem: String,
}

/// The longest name of a user, in bytes: what a CONNECT can carry.
const NAME_BYTES_MAX: usize = 65_535;

impl PasswordFile {
    /// Reads a file. Empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// Everything that is wrong; a file with a mistake admits nobody.
    pub fn parse(text: &str) -> Result<Self, Vec<FileError>> {
        let (mut file, mut errors) = (Self::default(), Vec::new());
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim_end_matches('\r');
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            if let Err(problem) = file.add_line(line, text) {
                errors.push(FileError { line, problem });
            }
        }
        if errors.is_empty() { Ok(file) } else { Err(errors) }
    }

    /// Adds one `NAME:HASH`.
    ///
    /// # Errors
    /// A sentence about the name, without anything of what may be a password.
    pub fn add_line(&mut self, line: u32, text: &str) -> Result<(), String> {
        let (name, hash) = text.split_once(':').ok_or("there is no `:` between a user name and a hash")?;
        check_name(name)?;
        let hash =
            PasswordHash::parse(hash.trim()).map_err(|error: HashError| format!("user {name:?}: {error}"))?;
        if let Some(earlier) = self.users.get(name) {
            return Err(format!("user {name:?} stands in line {} already", earlier.line));
        }
        self.users.insert(name.into(), User { hash, line });
        Ok(())
    }

    /// The user with exactly this name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// The hashes of all users, in no order.
    pub fn hashes(&self) -> impl Iterator<Item = &PasswordHash> {
        self.users.values().map(|user| &user.hash)
    }

    /// Users.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the user name is empty".to_owned());
    }
    if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(format!("{name:?} is no user name"));
    }
    Ok(())
}

/// The text of a file in which `name` has this hash: in its old line if it has one, else in a new one at the end.
///
/// # Errors
/// The name cannot stand in a file.
pub fn set_line(text: &str, name: &str, hash: &PasswordHash) -> Result<String, String> {
    check_name(name)?;
    if name.contains(':') || name.starts_with('#') || name.trim() != name {
        return Err(format!("{name:?} cannot stand in a password file: no `:`, no `#` or blank at its ends"));
    }
    let new = format!("{name}:{}", hash.to_text());
    let mut found = false;
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        let same = is_line_of(line, name);
        if !same {
            lines.push(line);
        } else if !found {
            lines.push(&new);
        }
        found |= same;
    }
    if !found {
        lines.push(&new);
    }
    Ok(lines.join("\n") + "\n")
}

/// The text of a file without the user; `None` if it is not there.
#[must_use]
pub fn without_line(text: &str, name: &str) -> Option<String> {
    if !text.lines().any(|line| is_line_of(line, name)) {
        return None;
    }
    Some(text.lines().filter(|line| !is_line_of(line, name)).flat_map(|line| [line, "\n"]).collect())
}

fn is_line_of(line: &str, name: &str) -> bool {
    !line.starts_with('#') && line.split_once(':').is_some_and(|(user, _)| user == name)
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl core::error::Error for FileError {}
