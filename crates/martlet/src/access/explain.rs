//! `martlet acl explain`: which rule decides, and why the others do not.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use mqtt_access::acl::{Action, Explanation, Policy, Question, Subject};
use mqtt_codec::QoS;
use mqtt_login::jwt::Claims;

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
    #[arg(short = 'C', long, value_name = "FILE", conflicts_with_all = ["rules", "mosquitto"], required_unless_present_any = ["rules", "mosquitto", "token"])]
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
    /// A token, or its claims as JSON, or the JSON answer of a service: its rules, groups and user name count, too
    #[arg(short, long, value_name = "FILE")]
    token: Option<PathBuf>,
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
  1   it is denied, or left to the service of [http_access]
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
    let settings = settings(arguments)?;
    let policy = policy(&settings)?;
    let brought = arguments.token.as_deref().map(|path| Brought::read(path, &settings)).transpose()?;
    let brought = brought.unwrap_or_default();
    let groups: Vec<Box<str>> =
        arguments.group.iter().map(|group| group.as_str().into()).chain(brought.groups).collect();
    let subject = Subject {
        username: arguments.user.as_deref().or(brought.username.as_deref()),
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
    // Whether somebody may connect is no matter of its own rules.
    let own = brought.rules.as_ref().filter(|_| question.action != Action::Connect);
    let explained = own.into_iter().chain(&policy).map(|policy| policy.explain(&subject, &question));
    let explained = explained.collect::<Result<Vec<_>, _>>();
    let explained =
        explained.map_err(|error| Failure::usage(format_args!("{:?}: {error}", arguments.topic)))?;
    let explained = explained.into_iter().reduce(Explanation::or_else);
    let is_about_topics = matches!(question.action, Action::Publish | Action::Subscribe);
    if is_about_topics && explained.as_ref().is_none_or(|explained| explained.deciding().is_none()) {
        ask_elsewhere(explained.as_ref(), &settings)?;
    }
    let explained = explained.ok_or_else(|| Failure::usage(NO_RULES))?;
    output::print(&explained.to_string())?;
    if explained.allowed { Ok(()) } else { Err(denied()) }
}

/// What no rule decides is left to a service, if there is one.
fn ask_elsewhere(
    explained: Option<&Explanation<'_>>,
    settings: &super::AccessSettings,
) -> Result<(), Failure> {
    if !settings.authority.is_configured() {
        return Ok(());
    }
    let passed_over = explained.map(ToString::to_string).unwrap_or_default();
    let passed_over = passed_over.split_once('\n').map_or("", |(_, steps)| steps);
    output::print(&format!("no rule decides: the service of [http_access] is asked\n{passed_over}"))?;
    Err(denied())
}

fn denied() -> Failure {
    Failure { exit: Exit::Failed, message: String::new() }
}

const NO_RULES: &str = "there are no rules at all, so whoever is admitted may do everything";

fn settings(arguments: &ExplainArguments) -> Result<super::AccessSettings, Failure> {
    match &arguments.config {
        Some(path) => cli::access_of(path),
        None => Ok(super::AccessSettings {
            rule_files: arguments.rules.clone(),
            mosquitto_acl_files: arguments.mosquitto.clone(),
            ..super::AccessSettings::default()
        }),
    }
}

fn policy(settings: &super::AccessSettings) -> Result<Option<Policy>, Failure> {
    let loaded = load(settings).map_err(|errors| Failure::usage(errors.join("\n")))?;
    Ok(loaded.policy)
}

/// What a login brings along.
#[derive(Default)]
struct Brought {
    username: Option<String>,
    groups: Vec<Box<str>>,
    rules: Option<Policy>,
}

impl Brought {
    fn read(path: &Path, settings: &super::AccessSettings) -> Result<Self, Failure> {
        let wrong =
            |problem: &dyn std::fmt::Display| Failure::usage(format_args!("{}: {problem}", path.display()));
        let text = std::fs::read(path).map_err(|error| wrong(&error))?;
        let claims =
            Claims::read_unverified(&text).ok_or_else(|| wrong(&"neither a token nor a JSON object"))?;
        let checks = &settings.jwt.token.checks;
        Ok(Self {
            username: claims.username(checks).map(str::to_owned),
            groups: claims.groups(checks).into(),
            rules: claims.rules(checks).map_err(|refused| wrong(&refused))?,
        })
    }
}
