//! The command line of `martlet bench`.

use std::time::Duration;

use clap::{Args, Subcommand};
use mqtt_codec::{QoS, Version};
use mqtt_transport::Url;

use super::dial::Target;
use super::parse::{prefix, qos, rate, seconds, version};
use super::scenario::{Churn, Conns, Extent, Load, Retained, Shape};
use super::stamp::STAMP_BYTES;
use crate::tls_arguments::TlsArguments;

/// The largest payload, in bytes: larger ones measure the memory bus.
const PAYLOAD_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// Put load on a broker, check that every message arrives once and in order, and measure
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    scenario: Scenario,
}

const HELP: &str = "\
Every message carries the number of its publisher, a sequence number and the time of its departure. The receivers check
that nothing is lost, duplicated, out of order or damaged; otherwise the exit code is 1.

Examples:
  martlet bench pairs 10
      Ten publishers, each with its own subscriber, as fast as the broker can; 1,000 messages under way for each.
  martlet bench pairs 50 --window 1 --qos 1
      The same with 50, and each publisher waits for its message to arrive before it sends the next one.
  martlet bench fanout 100 --rate 1000 --payload 256 --pid $(pidof mosquitto)
      1,000 messages per second to 100 subscribers, and what the broker needs for it.
  martlet bench conns 5000 --concurrency 1 --pid $(pidof martlet)
      What it costs to open a connection, and to have one that is idle.";

#[derive(Clone, Debug, Subcommand)]
enum Scenario {
    /// Publishers that each have a subscriber of their own
    Pairs {
        /// How many pairs
        #[arg(default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        pairs: u32,
        #[command(flatten)]
        load: LoadArguments,
    },
    /// One publisher whose messages all subscribers receive
    Fanout {
        /// How many subscribers
        #[arg(default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        subscribers: u32,
        #[command(flatten)]
        load: LoadArguments,
    },
    /// Publishers whose messages one subscriber receives
    Fanin {
        /// How many publishers
        #[arg(default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        publishers: u32,
        #[command(flatten)]
        load: LoadArguments,
    },
    /// Publishers whose messages the members of a shared subscription divide among them
    Shared {
        /// How many publishers
        #[arg(default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        publishers: u32,
        /// How many members
        #[arg(default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        members: u32,
        #[command(flatten)]
        load: LoadArguments,
    },
    /// Connections that are opened, subscribe and stay idle
    Conns {
        /// How many connections
        #[arg(default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        clients: u32,
        /// How many of them to open at a time
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        concurrency: u32,
        /// Seconds of idling before memory is looked at
        #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
        idle: Duration,
        #[command(flatten)]
        common: CommonArguments,
    },
    /// Clients that connect, subscribe and disconnect, over and over
    Churn {
        /// How many at a time
        #[arg(default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        concurrency: u32,
        #[command(flatten)]
        extent: ExtentArguments,
        #[command(flatten)]
        common: CommonArguments,
    },
    /// Retained messages, then a subscriber that gets them all
    Retained {
        /// How many messages, each on a topic of its own
        #[arg(default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
        messages: u32,
        /// Leave the messages behind
        #[arg(long)]
        keep: bool,
        #[command(flatten)]
        message: MessageArguments,
        #[command(flatten)]
        common: CommonArguments,
    },
}

/// What every scenario needs to know.
#[derive(Args, Clone, Debug)]
pub(super) struct CommonArguments {
    #[command(flatten)]
    tls: TlsArguments,
    /// Address of the broker: tcp:// or mqtts://HOST:PORT, quic://HOST:PORT, ws:// or wss://HOST:PORT/PATH, or unix:///PATH
    #[arg(short = 'L', long, value_name = "URL", default_value = "tcp://127.0.0.1:1883", value_parser = Url::parse)]
    url: Url,
    /// Version of MQTT: 3.1, 3.1.1 or 5
    #[arg(short = 'V', long, value_name = "VERSION", default_value = "5", value_parser = version)]
    protocol_version: Version,
    /// Keep Alive in seconds, 0 for none; no pings are sent, so take more than the run takes
    #[arg(short = 'k', long, value_name = "SECONDS", default_value_t = 0)]
    keepalive: u16,
    /// Seconds for which the broker keeps sessions after their connections; above 0 a durable broker stores their messages
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    session_expiry: u32,
    /// User name
    #[arg(short = 'u', long)]
    username: Option<String>,
    /// Password
    #[arg(short = 'P', long = "pw", value_name = "PASSWORD", allow_hyphen_values = true)]
    password: Option<String>,
    /// Process of the broker on this machine: tell its CPU time and memory
    #[arg(long, value_name = "PROCESS")]
    pub(super) pid: Option<u32>,
    /// Threads of this tool
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) threads: u16,
    /// In front of topics and client identifiers [default: `b` and the number of this process]
    #[arg(long, value_name = "TEXT", value_parser = prefix)]
    prefix: Option<String>,
    /// Print the result as a JSON object in one line
    #[arg(long)]
    pub(super) json: bool,
    /// Show no progress
    #[arg(long)]
    pub(super) quiet: bool,
}

#[derive(Args, Clone, Debug)]
struct MessageArguments {
    /// Quality of service of publishers and subscribers
    #[arg(short, long, default_value = "0", value_parser = qos)]
    qos: QoS,
    /// Bytes of each payload, at least 16
    #[arg(
        short = 's',
        long,
        value_name = "BYTES",
        default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(STAMP_BYTES as i64..=i64::from(PAYLOAD_BYTES_MAX)),
    )]
    payload: u32,
    /// Seconds without a message after which what is under way counts as lost
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    silence: Duration,
}

#[derive(Args, Clone, Debug)]
struct ExtentArguments {
    /// Seconds to measure
    #[arg(short, long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    duration: Duration,
    /// Seconds that are checked before it is measured
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    warm_up: Duration,
    /// Measure so many messages of each publisher, or so many clients, instead of a time
    #[arg(short = 'n', long, value_name = "N", conflicts_with_all = ["duration", "warm_up"])]
    count: Option<u64>,
}

#[derive(Args, Clone, Debug)]
struct LoadArguments {
    #[command(flatten)]
    message: MessageArguments,
    /// Messages that each publisher may have under way: sent, and not yet with all who receive them
    #[arg(short, long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    window: u64,
    /// Messages per second of each publisher [default: as fast as the window allows]
    #[arg(short, long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Messages per second of all publishers together
    #[arg(long, value_name = "N", value_parser = rate, conflicts_with = "rate")]
    total_rate: Option<f64>,
    #[command(flatten)]
    extent: ExtentArguments,
    #[command(flatten)]
    common: CommonArguments,
}

/// What is to be done, apart from where.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Load(Load),
    Conns(Conns),
    Churn(Churn),
    Retained(Retained),
}

impl BenchArguments {
    /// The scenario's name and what it is made of.
    pub(super) fn work(&self) -> (&'static str, Work) {
        match &self.scenario {
            Scenario::Pairs { pairs, load } => ("pairs", load.work(Shape::Pairs { pairs: *pairs })),
            Scenario::Fanout { subscribers, load } => {
                ("fanout", load.work(Shape::FanOut { subscribers: *subscribers }))
            }
            Scenario::Fanin { publishers, load } => {
                ("fanin", load.work(Shape::FanIn { publishers: *publishers }))
            }
            Scenario::Shared { publishers, members, load } => {
                ("shared", load.work(Shape::Shared { publishers: *publishers, members: *members }))
            }
            Scenario::Conns { clients, concurrency, idle, .. } => {
                let (clients, concurrency) = (*clients as usize, *concurrency as usize);
                ("conns", Work::Conns(Conns { clients, concurrency, idle: *idle }))
            }
            Scenario::Churn { concurrency, extent, .. } => {
                let concurrency = *concurrency as usize;
                ("churn", Work::Churn(Churn { concurrency, extent: extent.extent() }))
            }
            Scenario::Retained { messages, keep, message, .. } => {
                let MessageArguments { qos, payload, silence } = *message;
                let payload_bytes = payload as usize;
                let retained = Retained { messages: *messages, qos, payload_bytes, keep: *keep, silence };
                ("retained", Work::Retained(retained))
            }
        }
    }

    pub(super) fn common(&self) -> &CommonArguments {
        match &self.scenario {
            Scenario::Pairs { load, .. }
            | Scenario::Fanout { load, .. }
            | Scenario::Fanin { load, .. }
            | Scenario::Shared { load, .. } => &load.common,
            Scenario::Conns { common, .. }
            | Scenario::Churn { common, .. }
            | Scenario::Retained { common, .. } => common,
        }
    }
}

impl LoadArguments {
    fn work(&self, shape: Shape) -> Work {
        let MessageArguments { qos, payload, silence } = self.message;
        let share = |total: f64| total / f64::from(shape.clients().0);
        Work::Load(Load {
            shape,
            qos,
            payload_bytes: payload as usize,
            window: self.window,
            rate: self.rate.or(self.total_rate.map(share)),
            extent: self.extent.extent(),
            silence,
        })
    }
}

impl ExtentArguments {
    fn extent(&self) -> Extent {
        match self.count {
            Some(count) => Extent::Messages(count),
            None => Extent::Time { warm_up: self.warm_up, measured: self.duration },
        }
    }
}

impl CommonArguments {
    pub(super) fn target(&self) -> Target {
        Target {
            url: self.url.clone(),
            connect: self.tls.options(),
            version: self.protocol_version,
            keep_alive_s: self.keepalive,
            session_expiry_s: self.session_expiry,
            username: self.username.clone(),
            password: self.password.clone(),
        }
    }

    /// What topics and client identifiers start with.
    pub(super) fn prefix(&self) -> String {
        self.prefix.clone().unwrap_or_else(|| format!("b{}", std::process::id()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        bench: BenchArguments,
    }

    fn parse(line: &str) -> Result<BenchArguments, String> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.bench).map_err(|error| error.to_string())
    }

    fn load(line: &str) -> Load {
        match parse(line).expect(line).work() {
            (_, Work::Load(load)) => load,
            (name, _) => panic!("{name} has no load"),
        }
    }

    fn check_refused(line: &str, reason: &str) {
        let error = parse(line).expect_err(line);
        assert!(error.contains(reason), "{line}: {error}");
    }

    #[test]
    fn a_name_is_enough() {
        let load = load("pairs");
        assert_eq!(load.shape, Shape::Pairs { pairs: 10 });
        assert_eq!((load.qos, load.payload_bytes, load.window, load.rate), (QoS::AtMostOnce, 64, 1000, None));
        let extent = Extent::Time { warm_up: Duration::from_secs(1), measured: Duration::from_secs(5) };
        assert_eq!(load.extent, extent);
    }

    #[test]
    fn every_option_ends_where_it_belongs() {
        let load = load("shared 4 2 -q 2 --payload 100 -w 1 --total-rate 10 -n 7 --silence 0.5");
        assert_eq!(load.shape, Shape::Shared { publishers: 4, members: 2 });
        assert_eq!((load.qos, load.payload_bytes, load.window), (QoS::ExactlyOnce, 100, 1));
        assert_eq!((load.rate, load.extent), (Some(2.5), Extent::Messages(7)));
        assert_eq!(load.silence, Duration::from_millis(500));
    }

    #[test]
    fn where_to_is_the_same_for_all() {
        for scenario in ["pairs", "fanout", "fanin", "shared", "conns", "churn", "retained"] {
            let line = format!(
                "{scenario} -L ws://[::1]:80/mqtt -V 3.1.1 -k 9 -u me -P -x --threads 2 --prefix a-1"
            );
            let arguments = parse(&line).expect(scenario);
            assert_eq!(arguments.work().0, scenario);
            let (common, target) = (arguments.common(), arguments.common().target());
            assert_eq!(
                (target.url.to_string().as_str(), target.version),
                ("ws://[::1]:80/mqtt", Version::V3_1_1)
            );
            assert_eq!((target.username.as_deref(), target.password.as_deref()), (Some("me"), Some("-x")));
            assert_eq!((common.threads, common.prefix().as_str(), target.keep_alive_s), (2, "a-1", 9));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        check_refused("", "Usage");
        check_refused("pairs 0", "0 is not in");
        check_refused("pairs --payload 15", "15 is not in");
        check_refused("pairs --window 0", "0 is not in");
        check_refused("pairs --rate 0", "a rate is a number above 0");
        check_refused("pairs --rate 1 --total-rate 1", "cannot be used with");
        check_refused("pairs --count 1 --duration 1", "cannot be used with");
        check_refused("pairs --qos 3", "0, 1 or 2");
        check_refused("pairs -V 4", "the versions are");
        check_refused("pairs --duration -1", "");
        check_refused("pairs --url http://x:1", "unknown scheme");
        check_refused("pairs --prefix a/b", "letters, digits");
    }
}
