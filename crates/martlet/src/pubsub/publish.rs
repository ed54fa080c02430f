//! `martlet pub`: publishes one message, one several times, or the lines of standard input.

use std::collections::VecDeque;
use std::time::Duration;

use clap::Args;
use mqtt_client::Publication;
use mqtt_codec::{PropertiesBuf, PropertyPlace, QoS};
use mqtt_topic::TopicName;

use super::args::{ConnectionArguments, PayloadArguments, parse_qos, parse_seconds};
use super::link::{Link, Pending, WhenLost};
use super::properties::of_place;
use super::{checked_topic, open, payload};
use crate::exit::Failure;

#[derive(Args, Clone, Debug)]
#[command(disable_help_flag = true, after_help = HELP)]
pub(crate) struct PublishArguments {
    /// Topic to publish on
    #[arg(short = 't', long)]
    topic: Option<String>,
    #[command(flatten)]
    payload: PayloadArguments,
    /// Send each line of standard input as a message
    #[arg(short = 'l', long, group = "payload", conflicts_with_all = ["repeat", "repeat_delay"])]
    stdin_line: bool,
    /// Quality of service
    #[arg(short = 'q', long, value_parser = parse_qos, default_value = "0")]
    qos: QoS,
    /// Ask the broker to retain the message
    #[arg(short = 'r', long)]
    retain: bool,
    /// Publish so many times
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// Wait so long between repetitions; may have a fraction
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = parse_seconds)]
    repeat_delay: Duration,
    /// Messages of QoS 1 and 2 that may be under way at a time
    #[arg(short = 'M', long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    max_inflight: u16,
    #[command(flatten)]
    pub(super) connection: ConnectionArguments,
}

const HELP: &str = "\
Examples:
  martlet pub -t sensors/kitchen -m 21.5
  martlet pub -t sensors/kitchen -m 21.5 -q 1 -r
      Publish with an acknowledgement, and ask the broker to keep the message for later subscribers.
  tail -f events.log | martlet pub -t events -l -q 1
      Publish every line.
  martlet pub -t image -f picture.png -D publish content-type image/png -D publish user-property camera 3
  martlet pub -L ws://127.0.0.1:8083/mqtt -t sensors/kitchen -n -r
      Over WebSocket: remove the retained message.

Exit codes:
  0        published; acknowledged if -q is 1 or 2
  1        no connection, or it broke for good
  2        the command line is wrong
  128..255 the reason code with which the broker refused the connection or a message";

/// Runs the tool to its end.
///
/// # Errors
/// No connection, or the broker refused something.
pub(crate) async fn run(arguments: &PublishArguments) -> Result<(), Failure> {
    let message = Publication {
        topic: checked_topic(arguments.topic.as_deref(), &arguments.connection, TopicName::parse)?,
        payload: Vec::new(),
        qos: arguments.qos,
        retain: arguments.retain,
        properties: publish_properties(&arguments.connection)?,
    };
    // Read first: a file that is missing is no reason to connect.
    let message = Publication { payload: payload::read(&arguments.payload)?, ..message };
    let when_lost = if arguments.stdin_line { WhenLost::ConnectAgain } else { WhenLost::End };
    let link = open(&arguments.connection, when_lost).await?;
    let window = Window { link: &link, pending: VecDeque::new(), max: arguments.max_inflight.into() };
    let published = if arguments.stdin_line {
        publish_lines(window, &message).await
    } else {
        publish_repeatedly(window, &message, arguments).await
    };
    link.close().await;
    published
}

pub(crate) fn publish_properties(arguments: &ConnectionArguments) -> Result<PropertiesBuf, Failure> {
    let properties = of_place(&arguments.properties, PropertyPlace::Publish).map_err(Failure::usage)?;
    if properties.as_properties().topic_alias().is_some() {
        return Err(Failure::usage("topic aliases belong to the connection: the client assigns them itself"));
    }
    Ok(properties)
}

async fn publish_lines(mut window: Window<'_>, message: &Publication) -> Result<(), Failure> {
    let mut lines = payload::lines();
    while let Some(line) = lines.recv().await {
        window.publish(Publication { payload: line?, ..message.clone() }).await?;
    }
    window.drain(0).await
}

async fn publish_repeatedly(
    mut window: Window<'_>,
    message: &Publication,
    arguments: &PublishArguments,
) -> Result<(), Failure> {
    for turn in 0..arguments.repeat {
        if turn > 0 && !arguments.repeat_delay.is_zero() {
            window.drain(0).await?;
            tokio::time::sleep(arguments.repeat_delay).await;
        }
        window.publish(message.clone()).await?;
    }
    window.drain(0).await
}

/// Messages that are under way: published, and not yet acknowledged.
struct Window<'a> {
    link: &'a Link,
    pending: VecDeque<Pending>,
    max: usize,
}

impl Window<'_> {
    async fn publish(&mut self, message: Publication) -> Result<(), Failure> {
        self.drain(self.max - 1).await?;
        self.pending.push_back(self.link.publish(message).await?);
        Ok(())
    }

    /// Waits until no more than so many are under way.
    async fn drain(&mut self, rest: usize) -> Result<(), Failure> {
        while self.pending.len() > rest {
            let Some(oldest) = self.pending.pop_front() else { break };
            let reason = oldest.acknowledged().await?;
            if reason.is_error() {
                return Err(Failure::refused("the message", reason));
            }
        }
        Ok(())
    }
}
