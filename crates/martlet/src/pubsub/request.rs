//! `martlet request`: publishes a request and prints the response.

use std::time::Duration;

use clap::Args;
use mqtt_client::{Incoming, Publication};
use mqtt_codec::{PropertiesBuf, Property, PropertyPlace, QoS, SubscriptionOptions, Version};
use mqtt_topic::{TopicFilter, TopicName};

use super::args::{
    ConnectionArguments, FORMAT_HELP, OutputArguments, PayloadArguments, parse_qos, parse_seconds,
};
use super::link::{Link, WhenLost};
use super::printer::Printer;
use super::properties::of_place;
use super::publish::publish_properties;
use super::{checked_topic, open, payload, unique_name, until_stopped};
use crate::exit::Failure;

#[derive(Args, Clone, Debug)]
#[command(disable_help_flag = true, after_help = help())]
pub(crate) struct RequestArguments {
    /// Topic to publish the request on
    #[arg(short = 't', long)]
    topic: Option<String>,
    /// Topic to wait for the response on; the request carries it as its response topic (MQTT 5)
    #[arg(short = 'e', long, value_name = "TOPIC")]
    response_topic: String,
    #[command(flatten)]
    payload: PayloadArguments,
    /// Quality of service of the request, and the highest one of the response
    #[arg(short = 'q', long, value_parser = parse_qos, default_value = "0")]
    qos: QoS,
    /// Wait at most so many seconds, and end with exit code 27 then
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Option<Duration>,
    /// Take no retained message for the response
    #[arg(short = 'R', long)]
    no_retained: bool,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    pub(super) connection: ConnectionArguments,
}

fn help() -> String {
    format!("{FORMAT_HELP}\n\n{EXAMPLES}")
}

const EXAMPLES: &str = "\
With MQTT 5 the request carries correlation data: those of -D publish correlation-data, else random ones.
A response that carries others answers somebody else and is not printed.

Examples:
  martlet request -t lamp/get -e lamp/answers -m '' -W 5
  martlet request -t lamp/set -e lamp/answers -f scene.json -q 1 --json

Exit codes:
  0        a response was printed
  1        no connection, or it broke for good
  2        the command line is wrong
  27       -W: the time is over
  128..255 the reason code with which the broker refused the connection, the subscription or the request";

/// Runs the tool to its end.
///
/// # Errors
/// No connection, a refusal, or the time is over.
pub(crate) async fn run(arguments: &RequestArguments) -> Result<(), Failure> {
    let topic = checked_topic(arguments.topic.as_deref(), &arguments.connection, TopicName::parse)?;
    let response_topic = arguments.response_topic.as_str();
    TopicFilter::parse(response_topic)
        .map_err(|error| Failure::usage(format_args!("response topic {response_topic:?}: {error}")))?;
    let subscribe_properties = of_place(&arguments.connection.properties, PropertyPlace::Subscribe);
    let subscribe_properties = subscribe_properties.map_err(Failure::usage)?;
    let request = Publication {
        topic,
        payload: payload::read(&arguments.payload)?,
        qos: arguments.qos,
        retain: false,
        properties: request_properties(arguments)?,
    };
    let mut link = open(&arguments.connection, WhenLost::End).await?;
    let work = async {
        let filters = [arguments.response_topic.clone()];
        let options = SubscriptionOptions { qos: arguments.qos, ..SubscriptionOptions::default() };
        let answers = link.subscribe(&filters, options, &subscribe_properties).await?;
        if let Some(reason) = answers.first().filter(|reason| reason.is_error()) {
            return Err(Failure::refused(format_args!("the subscription to {response_topic}"), *reason));
        }
        ask(&mut link, request, arguments).await
    };
    let ended = until_stopped(arguments.timeout, work).await;
    link.close().await;
    ended
}

/// The properties of the request: what was given, a response topic, correlation data (section 4.10).
fn request_properties(arguments: &RequestArguments) -> Result<PropertiesBuf, Failure> {
    let mut properties = publish_properties(&arguments.connection)?;
    if Version::from(arguments.connection.protocol_version) != Version::V5 {
        return Ok(properties);
    }
    let given = properties.as_properties();
    let (has_topic, has_data) = (given.response_topic().is_some(), given.correlation_data().is_some());
    let data = unique_name();
    let topic = Some(Property::ResponseTopic(&arguments.response_topic)).filter(|_| !has_topic);
    let data = Some(Property::CorrelationData(data.as_bytes())).filter(|_| !has_data);
    for property in topic.iter().chain(&data) {
        properties.push(property).map_err(Failure::usage)?;
    }
    Ok(properties)
}

async fn ask(link: &mut Link, request: Publication, arguments: &RequestArguments) -> Result<(), Failure> {
    let correlation = request.properties.as_properties().correlation_data().map(<[u8]>::to_vec);
    let reason = link.publish(request).await?.acknowledged().await?;
    if reason.is_error() {
        return Err(Failure::refused("the request", reason));
    }
    let mut printer = Printer::new(&arguments.output, arguments.connection.quiet);
    loop {
        let response = link.next().await?;
        let is_stale = arguments.no_retained && response.retain;
        if !is_stale && answers(&response, correlation.as_deref()) {
            return printer.print(&response).map(drop);
        }
    }
}

/// Whether a response is ours. One without correlation data is given the benefit of the doubt.
fn answers(response: &Incoming, correlation: Option<&[u8]>) -> bool {
    let properties = response.properties.as_properties();
    properties.correlation_data().is_none_or(|data| correlation.is_none_or(|ours| ours == data))
}
