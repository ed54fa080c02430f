//! `martlet sub`: prints the messages on some topics.

use std::time::Duration;

use clap::Args;
use mqtt_client::{Incoming, Publication};
use mqtt_codec::{PropertyPlace, QoS, RetainHandling, SubscriptionOptions, Version};
use mqtt_topic::{TopicFilter, TopicName};

use super::args::{ConnectionArguments, FORMAT_HELP, OutputArguments, parse_qos, parse_seconds};
use super::link::{Link, WhenLost};
use super::printer::Printer;
use super::properties::of_place;
use super::{open, until_stopped};
use crate::exit::{Exit, Failure};
use crate::output;

#[derive(Args, Clone, Debug)]
#[command(disable_help_flag = true, after_help = help())]
pub(crate) struct SubscribeArguments {
    /// Topic filter to subscribe to; may be repeated
    #[arg(short = 't', long)]
    topic: Vec<String>,
    /// Print no messages on topics that match this filter; may be repeated
    #[arg(short = 'T', long, value_name = "TOPIC", value_parser = parse_filter)]
    filter_out: Vec<TopicFilter>,
    /// Unsubscribe from this topic filter; may be repeated
    #[arg(short = 'U', long, value_name = "TOPIC")]
    unsubscribe: Vec<String>,
    /// Highest quality of service at which to receive
    #[arg(short = 'q', long, value_parser = parse_qos, default_value = "0")]
    qos: QoS,
    /// End after so many printed messages
    #[arg(short = 'C', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many seconds, with exit code 27
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Option<Duration>,
    /// End as soon as the broker has acknowledged the subscriptions
    #[arg(short = 'E', long)]
    exit_after_subscribe: bool,
    /// Print no retained messages
    #[arg(short = 'R', long, conflicts_with = "retained_only")]
    no_retained: bool,
    /// Print retained messages only, and end at the first other one
    #[arg(long)]
    retained_only: bool,
    /// Remove the retained messages that arrive from the broker
    #[arg(long)]
    remove_retained: bool,
    /// Keep the retain flag as the publisher set it; MQTT 5
    #[arg(long)]
    retain_as_published: bool,
    /// Do not receive what this client published itself; MQTT 5
    #[arg(long)]
    no_local: bool,
    /// When to send retained messages: 0 always, 1 for new subscriptions, 2 never; MQTT 5
    #[arg(long, value_name = "0|1|2", value_parser = parse_retain_handling, default_value = "0")]
    retain_handling: RetainHandling,
    #[command(flatten)]
    pub(super) output: OutputArguments,
    #[command(flatten)]
    pub(super) connection: ConnectionArguments,
}

fn help() -> String {
    format!("{FORMAT_HELP}\n\n{EXAMPLES}")
}

const EXAMPLES: &str = "\
Examples:
  martlet sub -t 'sensors/#' -v
  martlet sub -t sensors/kitchen -C 1 -W 10
      Wait at most ten seconds for one message.
  martlet sub -t '#' -F '@H:@M:@S %q %t %p'
  martlet sub -t '#' --json | jq .topic
  martlet sub -t '$share/workers/jobs' -q 1 -i worker-1 -c
      One of several workers, whose jobs wait while it is away.
  martlet sub -t 'old/#' --remove-retained --retained-only -W 1
      Remove retained messages.

Exit codes:
  0        ended as asked: -C, -E, --retained-only, SIGINT or SIGTERM
  1        no connection, or it broke for good
  2        the command line is wrong
  27       -W: the time is over
  128..255 the reason code with which the broker refused the connection or all subscriptions";

fn parse_filter(text: &str) -> Result<TopicFilter, String> {
    TopicFilter::parse(text.into()).map_err(|error| error.to_string())
}

fn parse_retain_handling(text: &str) -> Result<RetainHandling, String> {
    match text {
        "0" => Ok(RetainHandling::SendAtSubscribe),
        "1" => Ok(RetainHandling::SendIfNew),
        "2" => Ok(RetainHandling::DoNotSend),
        _ => Err("write 0, 1 or 2".to_owned()),
    }
}

/// Runs the tool to its end.
///
/// # Errors
/// No connection, a refusal, or the time is over.
pub(crate) async fn run(arguments: &SubscribeArguments) -> Result<(), Failure> {
    let filters = filters(arguments)?;
    let options = options(arguments)?;
    let subscribe_properties = of_place(&arguments.connection.properties, PropertyPlace::Subscribe);
    let subscribe_properties = subscribe_properties.map_err(Failure::usage)?;
    let unsubscribe_properties = of_place(&arguments.connection.properties, PropertyPlace::Unsubscribe);
    let unsubscribe_properties = unsubscribe_properties.map_err(Failure::usage)?;

    let mut link = open(&arguments.connection, WhenLost::ConnectAgain).await?;
    let work = async {
        if !arguments.unsubscribe.is_empty() {
            link.unsubscribe(&arguments.unsubscribe, &unsubscribe_properties).await?;
        }
        let answers = link.subscribe(&filters, options, &subscribe_properties).await?;
        check_answers(&filters, &answers, arguments.connection.quiet)?;
        if arguments.exit_after_subscribe { Ok(()) } else { print_messages(&mut link, arguments).await }
    };
    let ended = until_stopped(arguments.timeout, work).await;
    link.close().await;
    ended
}

fn filters(arguments: &SubscribeArguments) -> Result<Vec<String>, Failure> {
    let of_url = arguments.connection.url.as_ref().and_then(|target| target.topic.clone());
    let filters: Vec<String> = arguments.topic.iter().cloned().chain(of_url).collect();
    if filters.is_empty() {
        return Err(Failure::usage("a topic is missing: use -t, or -L with a topic"));
    }
    for filter in filters.iter().chain(&arguments.unsubscribe) {
        TopicFilter::parse(filter.as_str())
            .map_err(|error| Failure::usage(format_args!("topic filter {filter:?}: {error}")))?;
    }
    Ok(filters)
}

fn options(arguments: &SubscribeArguments) -> Result<SubscriptionOptions, Failure> {
    let options = SubscriptionOptions {
        qos: arguments.qos,
        no_local: arguments.no_local,
        retain_as_published: arguments.retain_as_published,
        retain_handling: arguments.retain_handling,
    };
    let of_all_versions = SubscriptionOptions { qos: options.qos, ..SubscriptionOptions::default() };
    if options != of_all_versions && Version::from(arguments.connection.protocol_version) != Version::V5 {
        let these = "--retain-as-published, --no-local and --retain-handling exist in MQTT 5 only";
        return Err(Failure::usage(these));
    }
    Ok(options)
}

/// A refused subscription is told; if all are refused, there is nothing to wait for.
fn check_answers(filters: &[String], answers: &[mqtt_codec::ReasonCode], quiet: bool) -> Result<(), Failure> {
    let refused: Vec<_> = filters.iter().zip(answers).filter(|(_, reason)| reason.is_error()).collect();
    match refused.last() {
        Some((filter, reason)) if refused.len() == filters.len() => {
            Err(Failure::refused(format_args!("the subscription to {filter}"), **reason))
        }
        _ => {
            for (filter, reason) in refused.iter().filter(|_| !quiet) {
                output::error_line(&format!("warning: the subscription to {filter} was refused: {reason}"));
            }
            Ok(())
        }
    }
}

async fn print_messages(link: &mut Link, arguments: &SubscribeArguments) -> Result<(), Failure> {
    let mut printer = Printer::new(&arguments.output, arguments.connection.quiet);
    let mut rest = arguments.count;
    loop {
        let arrived = link.next().await?;
        if arguments.retained_only && !arrived.retain {
            return Ok(());
        }
        if is_filtered_out(&arguments.filter_out, &arrived.topic) {
            continue;
        }
        if arguments.remove_retained && arrived.retain && !arrived.payload.is_empty() {
            remove_retained(link, &arrived).await?;
        }
        if arguments.no_retained && arrived.retain {
            continue;
        }
        if printer.print(&arrived)?.is_closed() {
            return Ok(());
        }
        rest = rest.map(|count| count - 1);
        if rest == Some(0) {
            return Ok(());
        }
    }
}

fn is_filtered_out(filters: &[TopicFilter], topic: &str) -> bool {
    let name = TopicName::parse(topic);
    name.is_ok_and(|name| filters.iter().any(|filter| filter.matches(&name)))
}

/// An empty retained message takes the place of the one that arrived (section 3.3.1.3).
async fn remove_retained(link: &Link, arrived: &Incoming) -> Result<(), Failure> {
    let empty = Publication {
        topic: arrived.topic.clone(),
        payload: Vec::new(),
        qos: arrived.qos,
        retain: true,
        properties: mqtt_codec::PropertiesBuf::new(),
    };
    let reason = link.publish(empty).await?.acknowledged().await?;
    if reason.is_error() {
        return Err(Failure::refused(
            format_args!("removing the retained message on {}", arrived.topic),
            reason,
        ));
    }
    Ok(())
}

/// The time of `-W` is over.
pub(crate) fn timed_out() -> Failure {
    Failure { exit: Exit::TimedOut, message: "timed out".to_owned() }
}
