//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::access::{self, AccessSettings, AclArguments, PasswdArguments};
use crate::bench::BenchArguments;
use crate::config::{self, Draft, SourceText};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::pubsub::{PublishArguments, RequestArguments, SubscribeArguments};
use crate::store::StoreArguments;

/// An MQTT broker and its tools.
///
/// Without a command it serves, on tcp://127.0.0.1:1883 and ws://127.0.0.1:8083/mqtt unless told otherwise.
#[derive(Debug, Parser)]
#[command(name = "martlet", version, args_conflicts_with_subcommands = true, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: ServeArguments,
}

const EXIT_CODES: &str = "\
Exit codes:
  0   done, or shut down by a signal
  1   it could not be done: an address that is taken, a connection that broke
  2   the command line or the configuration is wrong; nothing was begun
`pub`, `sub` and `request` have some more, see their --help.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the broker
    Serve(ServeArguments),
    /// Publish messages
    Pub(Box<PublishArguments>),
    /// Print the messages on some topics
    Sub(Box<SubscribeArguments>),
    /// Publish a request and print its response
    Request(Box<RequestArguments>),
    /// Put load on a broker, check that every message arrives, and measure
    Bench(Box<BenchArguments>),
    /// Make and edit a password file
    Passwd(PasswdArguments),
    /// Ask the access rules
    Acl(AclArguments),
    /// Look into a data directory, check it, make it smaller, copy it, export and import it
    Store(StoreArguments),
    /// Report everything that is wrong in a configuration file
    CheckConfig(CheckArguments),
    /// Print the reference of all configuration options, in Markdown
    ConfigReference(ReferenceArguments),
}

#[derive(Args, Clone, Debug, Default)]
#[command(after_help = SERVE_HELP)]
pub(crate) struct ServeArguments {
    /// Read the configuration from this file (TOML)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Listen on this address instead of those of the file: tcp://HOST:PORT, ws://HOST:PORT/PATH or unix:///PATH; may be repeated
    #[arg(short, long, value_name = "URL")]
    pub(crate) listen: Vec<String>,
    /// Set one option of the configuration; may be repeated
    #[arg(short, long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Admit clients without a log-in on every listener that does not say otherwise
    #[arg(long)]
    pub(crate) allow_anonymous: bool,
    /// What to log, such as `debug` or `info,mqtt_broker=trace`
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// Write the real address of each listener to this file, one per line, once all are open
    #[arg(long, value_name = "FILE")]
    pub(crate) print_addresses: Option<PathBuf>,
    /// Print the configuration that would be used, as a file with comments, and end
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Keep sessions, queues and retained messages in this directory instead of the usual one
    #[arg(long, value_name = "DIR", conflicts_with = "in_memory")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Keep everything in memory: nothing outlives the process
    #[arg(long)]
    pub(crate) in_memory: bool,
}

const SERVE_HELP: &str = "\
Examples:
  martlet serve
      Listen on tcp://127.0.0.1:1883 and ws://127.0.0.1:8083/mqtt, for this machine only.
  martlet serve --listen tcp://0.0.0.0:1883 --allow-anonymous
      Listen on all interfaces and admit everybody.
  martlet serve --listen tcp://127.0.0.1:0 --print-addresses addresses.txt
      Take a free port and write it down.
  martlet serve --data-dir /var/lib/martlet
      Keep sessions, queues and retained messages there. --in-memory keeps nothing.
  martlet serve --config martlet.toml --set limits.connections_max=5000
      Read a file and change one option of it.

The first SIGINT or SIGTERM shuts down gracefully, the second one at once.";

#[derive(Args, Debug)]
pub(crate) struct CheckArguments {
    /// The file to check
    #[arg(value_name = "FILE", default_value = "martlet.toml")]
    pub(crate) file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct ReferenceArguments {
    /// Print an example file with every option instead
    #[arg(long)]
    pub(crate) example: bool,
}

/// `martlet check-config FILE`: exit code 0 or 1, and all errors.
pub(crate) fn check_config(arguments: &CheckArguments) -> Result<(), Failure> {
    let mut draft = Draft::default();
    read_file(&mut draft, &arguments.file);
    match draft.finish() {
        Ok(configuration) => {
            let loaded = access::load(&configuration.access);
            let loaded =
                loaded.map_err(|errors| Failure { exit: Exit::Failed, message: errors.join("\n") })?;
            for warning in loaded.warnings {
                output::error_line(&format!("warning: {warning}"));
            }
            output::print(&format!("{}: no errors\n", arguments.file.display()))
        }
        Err(problems) => Err(Failure { exit: Exit::Failed, message: problems.to_string() }),
    }
}

/// The access rules and users of a configuration file.
///
/// # Errors
/// Everything that is wrong in the file.
pub(crate) fn access_of(path: &std::path::Path) -> Result<AccessSettings, Failure> {
    let mut draft = Draft::default();
    read_file(&mut draft, path);
    let finished = draft.finish();
    let finished = finished.map_err(|problems| Failure { exit: Exit::Usage, message: problems.to_string() });
    finished.map(|configuration| configuration.access)
}

/// `martlet config-reference`.
pub(crate) fn config_reference(arguments: &ReferenceArguments) -> Result<(), Failure> {
    output::print(&if arguments.example { config::example() } else { config::reference() })
}

/// Puts a configuration together from all its sources, the later ones overriding the earlier.
///
/// # Errors
/// Everything that is wrong in any of them, at once.
pub(crate) fn configuration(
    arguments: &ServeArguments,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<config::Configuration, Failure> {
    let mut draft = Draft::default();
    if let Some(path) = &arguments.config {
        read_file(&mut draft, path);
    }
    if let Some(filter) = variable("RUST_LOG").filter(|filter| !filter.is_empty()) {
        draft.set_from_flag("environment variable RUST_LOG", "log.filter", &filter);
    }
    draft.read_environment(variable);
    for setting in &arguments.settings {
        draft.set(setting);
    }
    if arguments.allow_anonymous {
        draft.set_from_flag("--allow-anonymous", "allow_anonymous", "true");
    }
    if arguments.in_memory {
        draft.set_from_flag("--in-memory", "storage.in_memory", "true");
    }
    if let Some(path) = &arguments.data_dir {
        draft.set_from_flag("--data-dir", "storage.in_memory", "false");
        draft.set_from_flag("--data-dir", "storage.data_dir", &path.display().to_string());
    }
    if let Some(filter) = &arguments.log {
        draft.set_from_flag(&format!("--log {filter}"), "log.filter", filter);
    }
    draft.replace_listeners(&arguments.listen);
    draft.finish().map_err(|problems| Failure { exit: Exit::Usage, message: problems.to_string() })
}

fn read_file(draft: &mut Draft, path: &std::path::Path) {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => draft.read_file(SourceText { name: &name, text: &text }),
        Err(error) => draft.unreadable_file(&name, &error),
    }
}
