//! `martlet passwd`: makes and edits password files.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mqtt_access::password::{PasswordFile, PasswordHash, set_line, without_line};
use mqtt_access::scram::{Mechanism, Verifier};

use crate::exit::{Exit, Failure};
use crate::output;

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct PasswdArguments {
    /// The password file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The user
    #[arg(value_name = "USER")]
    user: String,
    /// The password, visible to others on this machine; only with --batch
    #[arg(value_name = "PASSWORD", requires = "batch")]
    password: Option<String>,
    /// Begin a new file; refused if there is one
    #[arg(short, long)]
    create: bool,
    /// Take the password from the command line
    #[arg(short, long, requires = "password")]
    batch: bool,
    /// Take the password from standard input: one line
    #[arg(long, conflicts_with = "batch")]
    stdin: bool,
    /// Remove the user
    #[arg(short, long, conflicts_with_all = ["create", "batch", "stdin", "verify"])]
    delete: bool,
    /// Say whether the password is right, and change nothing
    #[arg(long, conflicts_with = "create")]
    verify: bool,
    /// What is kept of the password
    #[arg(short = 'H', long, value_enum, default_value = "argon2id")]
    scheme: Scheme,
}

const HELP: &str = "\
Without --batch or --stdin the password is asked for twice and not shown.
A SCRAM scheme serves SCRAM (MQTT 5 enhanced authentication) and plain logins.

Exit codes:
  0   done, or the password is right
  1   it could not be done: no such user, a wrong password, a file that cannot be read or written
  2   the command line is wrong";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scheme {
    Argon2id,
    ScramSha256,
    ScramSha512,
}

/// Runs the command.
///
/// # Errors
/// As the help says.
pub(crate) fn run(arguments: &PasswdArguments) -> Result<(), Failure> {
    let PasswdArguments { file, user, .. } = arguments;
    let text = current_text(arguments)?;
    if arguments.delete {
        let text = without_line(&text, user);
        let text =
            text.ok_or_else(|| Failure::failed(format_args!("{}: no user {user:?}", file.display())))?;
        return write(arguments, &text);
    }
    let password = password(arguments)?;
    if arguments.verify {
        return verify(arguments, &text, &password);
    }
    if password.is_empty() {
        return Err(Failure::usage("an empty password protects nothing"));
    }
    let hash = hash(arguments.scheme, &password).map_err(Failure::failed)?;
    let text = set_line(&text, user, &hash).map_err(Failure::usage)?;
    write(arguments, &text)
}

fn current_text(arguments: &PasswdArguments) -> Result<String, Failure> {
    let file = &arguments.file;
    match std::fs::read_to_string(file) {
        Ok(_) if arguments.create => {
            Err(Failure::failed(format_args!("{}: exists already; leave --create away", file.display())))
        }
        Ok(text) => Ok(text),
        Err(error) if arguments.create && error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::failed(format_args!(
            "{}: does not exist; --create begins a new file",
            file.display()
        ))),
        Err(error) => Err(Failure::failed(format_args!("{}: {error}", file.display()))),
    }
}

fn verify(arguments: &PasswdArguments, text: &str, password: &str) -> Result<(), Failure> {
    let PasswdArguments { file, user, .. } = arguments;
    let name = file.display();
    let users =
        PasswordFile::parse(text).map_err(|errors| Failure::failed(format_args!("{name}: {}", errors[0])))?;
    let known = users.user(user).ok_or_else(|| Failure::failed(format_args!("{name}: no user {user:?}")))?;
    if !known.hash.verify(password.as_bytes()) {
        return Err(Failure { exit: Exit::Failed, message: "the password is wrong".to_owned() });
    }
    output::print(&format!("the password is right ({})\n", known.hash.scheme()))
}

fn hash(scheme: Scheme, password: &str) -> Result<PasswordHash, String> {
    let random = |error| format!("no random numbers: {error}");
    let scram = |mechanism| Verifier::new(mechanism, password.as_bytes()).map(PasswordHash::of_verifier);
    match scheme {
        Scheme::Argon2id => PasswordHash::new(password.as_bytes()),
        Scheme::ScramSha256 => scram(Mechanism::Sha256),
        Scheme::ScramSha512 => scram(Mechanism::Sha512),
    }
    .map_err(random)
}

fn password(arguments: &PasswdArguments) -> Result<String, Failure> {
    if let Some(password) = &arguments.password {
        return Ok(password.clone());
    }
    if arguments.stdin || !std::io::stdin().is_terminal() {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| Failure::failed(format_args!("standard input: {error}")))?;
        return Ok(text.lines().next().unwrap_or_default().to_owned());
    }
    let ask = |prompt: &str| rpassword::prompt_password(prompt).map_err(Failure::failed);
    let first = ask("Password: ")?;
    if !arguments.verify && ask("Again: ")? != first {
        return Err(Failure::usage("the two passwords differ"));
    }
    Ok(first)
}

/// Whole or not at all, and not readable by everybody.
fn write(arguments: &PasswdArguments, text: &str) -> Result<(), Failure> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let file = &arguments.file;
    let mode = std::fs::metadata(file).map_or(0o600, |known| known.permissions().mode() & 0o777);
    let mut temporary = file.clone().into_os_string();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut new| new.write_all(text.as_bytes()).and_then(|()| new.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, file));
    written.map_err(|error| Failure::failed(format_args!("{}: {error}", file.display())))
}
