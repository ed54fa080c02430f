//! What a run is to do: typed, and valid by construction of the command line.

use std::time::Duration;

use mqtt_codec::QoS;

use super::pace::Pace;
use super::{publisher, subscriber};

/// Messages from publishers to subscribers.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) shape: Shape,
    pub(super) qos: QoS,
    /// At least [`STAMP_BYTES`](super::stamp::STAMP_BYTES).
    pub(super) payload_bytes: usize,
    /// Messages that each publisher may have under way, at least 1.
    pub(super) window: u64,
    /// Messages per second of each publisher; as fast as the window allows without.
    pub(super) rate: Option<f64>,
    pub(super) extent: Extent,
    /// How long a silence means that what is under way is lost.
    pub(super) silence: Duration,
}

/// Who publishes to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Each publisher has a subscriber of its own.
    Pairs { pairs: u32 },
    /// One publisher, all subscribers receive everything.
    FanOut { subscribers: u32 },
    /// All publish to one subscriber.
    FanIn { publishers: u32 },
    /// A group of subscribers shares what all publish.
    Shared { publishers: u32, members: u32 },
}

/// When a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// After this time, of which `warm_up` is checked but not measured.
    Time { warm_up: Duration, measured: Duration },
    /// When each publisher has sent so many messages.
    Messages(u64),
}

/// Connections that are opened and stay idle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conns {
    pub(super) clients: usize,
    /// Connections that are being opened at a time.
    pub(super) concurrency: usize,
    /// How long they stay idle before memory is looked at.
    pub(super) idle: Duration,
}

/// Clients that come and go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Churn {
    /// Clients at a time.
    pub(super) concurrency: usize,
    pub(super) extent: Extent,
}

/// Retained messages, and a subscriber that wants them all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retained {
    pub(super) messages: u32,
    pub(super) qos: QoS,
    pub(super) payload_bytes: usize,
    /// Leave them behind.
    pub(super) keep: bool,
    /// How long a silence means that no more will come.
    pub(super) silence: Duration,
}

/// The clients of a [`Load`].
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) publishers: Vec<publisher::Task>,
    pub(super) subscribers: Vec<subscriber::Task>,
    /// Deliveries that each message leads to.
    pub(super) fan: u64,
    pub(super) shared: bool,
}

impl Shape {
    /// Publishers and subscribers.
    pub(super) fn clients(self) -> (u32, u32) {
        match self {
            Self::Pairs { pairs } => (pairs, pairs),
            Self::FanOut { subscribers } => (1, subscribers),
            Self::FanIn { publishers } => (publishers, 1),
            Self::Shared { publishers, members } => (publishers, members),
        }
    }

    fn filter(self, subscriber: u32, prefix: &str) -> String {
        match self {
            Self::Pairs { .. } => format!("{prefix}/{subscriber}"),
            Self::FanOut { .. } => format!("{prefix}/0"),
            Self::FanIn { .. } => format!("{prefix}/+"),
            Self::Shared { .. } => format!("$share/{prefix}/{prefix}/+"),
        }
    }
}

impl Plan {
    /// Topics start with `prefix`, which is a single level without wildcards.
    pub(super) fn new(load: &Load, prefix: &str) -> Self {
        let (publishers, subscribers) = load.shape.clients();
        let publisher = |number| publisher::Task {
            number,
            topic: format!("{prefix}/{number}"),
            qos: load.qos,
            payload_bytes: load.payload_bytes,
            window: load.window,
            count: match load.extent {
                Extent::Messages(count) => Some(count),
                Extent::Time { .. } => None,
            },
            pace: Pace::new(load.rate, number, publishers),
        };
        let subscriber = |number| subscriber::Task {
            filter: load.shape.filter(number, prefix),
            sources: match load.shape {
                Shape::Pairs { .. } => number..number + 1,
                _ => 0..publishers,
            },
            payload_bytes: load.payload_bytes,
        };
        Self {
            publishers: (0..publishers).map(publisher).collect(),
            subscribers: (0..subscribers).map(subscriber).collect(),
            fan: match load.shape {
                Shape::FanOut { subscribers } => u64::from(subscribers),
                _ => 1,
            },
            shared: matches!(load.shape, Shape::Shared { .. }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(shape: Shape) -> Plan {
        let load = Load {
            shape,
            qos: QoS::AtMostOnce,
            payload_bytes: 16,
            window: 1,
            rate: None,
            extent: Extent::Messages(1),
            silence: Duration::ZERO,
        };
        Plan::new(&load, "b")
    }

    fn check(shape: Shape, topics: &[&str], filters: &[&str], fan: u64) {
        let plan = plan(shape);
        assert_eq!(plan.publishers.iter().map(|task| &*task.topic).collect::<Vec<_>>(), topics);
        assert_eq!(plan.subscribers.iter().map(|task| &*task.filter).collect::<Vec<_>>(), filters);
        assert_eq!(plan.fan, fan);
    }

    #[test]
    fn each_shape_connects_the_right_clients() {
        check(Shape::Pairs { pairs: 2 }, &["b/0", "b/1"], &["b/0", "b/1"], 1);
        check(Shape::FanOut { subscribers: 3 }, &["b/0"], &["b/0", "b/0", "b/0"], 3);
        check(Shape::FanIn { publishers: 2 }, &["b/0", "b/1"], &["b/+"], 1);
        let group = "$share/b/b/+";
        check(Shape::Shared { publishers: 2, members: 2 }, &["b/0", "b/1"], &[group, group], 1);
    }

    #[test]
    fn a_subscriber_knows_whose_messages_it_receives() {
        let sources = |shape| plan(shape).subscribers.pop().map(|task| task.sources);
        assert_eq!(sources(Shape::Pairs { pairs: 3 }), Some(2..3));
        assert_eq!(sources(Shape::FanOut { subscribers: 3 }), Some(0..1));
        assert_eq!(sources(Shape::FanIn { publishers: 3 }), Some(0..3));
    }
}
