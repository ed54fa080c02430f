//! `martlet acl explain`: which rule decides, and why the others do not.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use mqtt_access::acl::{Action, Policy, Question, Subject};
use mqtt_codec::QoS;

use super::load::load;
use crate::cli;
use crate::exit::{Exit, Failure};
use crate::output;

#[derive(Args, Debug)]
pub(crate) struct AclArguments {
    #[command(subcommand)]
    command: AclCommand,
}

#[derive(Debug, Subcommand)]
enum AclCommand {
    /// Print the rule that decides, with its file and line, and why the ones before it do not
    Explain(ExplainArguments),
}

#[derive(Args, Debug)]
#[command(after_help = HELP)]
struct ExplainArguments {
    /// What somebody wants to do
    #[arg(value_enum)]
    action: ActionName,
    /// Topic name, or topic filter for `subscribe`; none for `connect`
    #[arg(default_value = "", hide_default_value = true)]
    topic: String,
    /// Rules of this configuration (TOML)
    #[arg(short = 'C', long, value_name = "FILE", conflicts_with_all = ["rules", "mosquitto"], required_unless_present_any = ["rules", "mosquitto"])]
    config: Option<PathBuf>,
    /// A file of rules
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// A file of rules in mosquitto's format
    #[arg(long, value_name = "FILE")]
    mosquitto: Vec<PathBuf>,
    /// User name; not given, the client is anonymous
    #[arg(short, long)]
    user: Option<String>,
    /// Client identifier
    #[arg(short, long, default_value = "client")]
    client: String,
    /// Where it comes from
    #[arg(short, long)]
    address: Option<IpAddr>,
    /// Name of the listener
    #[arg(short, long, default_value = "")]
    listener: String,
    /// Group that the login brings along; may be repeated
    #[arg(short, long)]
    group: Vec<String>,
    /// Quality of service
    #[arg(short, long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// With the RETAIN flag
    #[arg(short, long)]
    retain: bool,
}

const HELP: &str = "\
Exit codes:
  0   it is allowed
  1   it is denied
  2   the command line, the configuration or a rule is wrong

Example:
  martlet acl explain --config martlet.toml --user anna --client c1 publish devices/anna/state";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ActionName {
    Connect,
    Publish,
    Subscribe,
    Receive,
}

/// Runs the command.
///
/// # Errors
/// As its help says.
pub(crate) fn run(arguments: &AclArguments) -> Result<(), Failure> {
    let AclCommand::Explain(arguments) = &arguments.command;
    let policy = policy(arguments)?;
    let groups: Vec<Box<str>> = arguments.group.iter().map(|group| group.as_str().into()).collect();
    let subject = Subject {
        username: arguments.user.as_deref(),
        client_id: &arguments.client,
        address: arguments.address,
        listener: &arguments.listener,
        groups: &groups,
    };
    let question = Question {
        action: match arguments.action {
            ActionName::Connect => Action::Connect,
            ActionName::Publish => Action::Publish,
            ActionName::Subscribe => Action::Subscribe,
            ActionName::Receive => Action::Receive,
        },
        topic: &arguments.topic,
        qos: QoS::try_from(arguments.qos).map_err(|_| Failure::usage("QoS is 0, 1 or 2"))?,
        retain: arguments.retain,
    };
    let explained = policy.explain(&subject, &question);
    let explained =
        explained.map_err(|error| Failure::usage(format_args!("{:?}: {error}", arguments.topic)))?;
    output::print(&explained.to_string())?;
    if explained.allowed { Ok(()) } else { Err(Failure { exit: Exit::Failed, message: String::new() }) }
}

fn policy(arguments: &ExplainArguments) -> Result<Policy, Failure> {
    let settings = match &arguments.config {
        Some(path) => cli::access_of(path)?,
        None => super::AccessSettings {
            rule_files: arguments.rules.clone(),
            mosquitto_acl_files: arguments.mosquitto.clone(),
            ..super::AccessSettings::default()
        },
    };
    let loaded = load(&settings).map_err(|errors| Failure::usage(errors.join("\n")))?;
    loaded
        .policy
        .ok_or_else(|| Failure::usage("there are no rules at all, so whoever is admitted may do everything"))
}
