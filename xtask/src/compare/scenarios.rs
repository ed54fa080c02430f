//! What is measured: the rows of the tables.

use std::time::Duration;

use super::transports::Over;

/// One scenario, run with `martlet bench`.
pub(super) struct Scenario {
    /// Its heading in the report.
    pub(super) title: &'static str,
    /// For file names, `--only` and the raw figures.
    pub(super) key: &'static str,
    /// Its words for `martlet bench`.
    words: &'static str,
    pub(super) kind: Kind,
    /// Whether copying bytes is enough for it.
    pub(super) copier: bool,
    /// What carries the packets.
    pub(super) over: Over,
}

/// Which figures matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Messages from publishers to subscribers, as fast as it goes.
    Load,
    /// The same at a given rate: not the rate is of interest, but the latency.
    Paced,
    /// Connections: opened one after the other, then idle.
    Connections,
}

/// In the order of the report.
pub(super) const SCENARIOS: &[Scenario] = &[
    load("pairs-10", "10 pairs, QoS 0, 64 B", "pairs 10", true),
    load("pairs-2", "2 pairs, QoS 0, 64 B", "pairs 2", true),
    load("fanout-100", "1 to 100 fan-out, QoS 0, 64 B", "fanout 100", true),
    load("fanin-50", "50 to 1 fan-in, QoS 0, 64 B", "fanin 50", false),
    load("pairs-4-4k", "4 pairs, QoS 0, 4 KiB", "pairs 4 --payload 4096", true),
    load("pairs-10-qos1", "10 pairs, QoS 1, 64 B", "pairs 10 --qos 1", false),
    load("pairs-10-qos2", "10 pairs, QoS 2, 64 B", "pairs 10 --qos 2", false),
    load("fanout-100-qos1", "1 to 100 fan-out, QoS 1, 64 B", "fanout 100 --qos 1", false),
    load("single-50", "50 pairs, one message under way each, QoS 0", "pairs 50 --window 1", true),
    load(
        "single-50-qos1",
        "50 pairs, one message under way each, QoS 1",
        "pairs 50 --window 1 --qos 1",
        false,
    ),
    Scenario {
        title: "100 pairs, 10,000 messages per second in all, QoS 0",
        key: "steady",
        words: "pairs 100 --total-rate 10000",
        kind: Kind::Paced,
        copier: true,
        over: Over::Tcp,
    },
    Scenario {
        title: "5,000 connections, each with one subscription",
        key: "conns-5000",
        words: "conns 5000 --concurrency 1",
        kind: Kind::Connections,
        copier: false,
        over: Over::Tcp,
    },
    load("tls-10", "10 pairs over TLS, QoS 0, 64 B", "pairs 10", false).over(Over::Tls),
    load("tls-10-qos1", "10 pairs over TLS, QoS 1, 64 B", "pairs 10 --qos 1", false).over(Over::Tls),
    load("tls-4-4k", "4 pairs over TLS, QoS 0, 4 KiB", "pairs 4 --payload 4096", false).over(Over::Tls),
    load("ws-10", "10 pairs over WebSocket, QoS 0, 64 B", "pairs 10", false).over(Over::Ws),
    load("ws-4-4k", "4 pairs over WebSocket, QoS 0, 4 KiB", "pairs 4 --payload 4096", false).over(Over::Ws),
    load("wss-10", "10 pairs over WebSocket and TLS, QoS 0, 64 B", "pairs 10", false).over(Over::Wss),
    load("quic-10", "10 pairs over QUIC, QoS 0, 64 B", "pairs 10", false).over(Over::Quic),
];

pub(super) const fn load(
    key: &'static str,
    title: &'static str,
    words: &'static str,
    copier: bool,
) -> Scenario {
    Scenario { title, key, words, kind: Kind::Load, copier, over: Over::Tcp }
}

impl Scenario {
    const fn over(mut self, over: Over) -> Self {
        self.over = over;
        self
    }

    /// What `martlet bench` is asked for, without times and versions.
    pub(super) fn command(&self) -> &'static str {
        self.words
    }

    /// Everything for `martlet bench` but where the broker is. Load is measured for this time, after a third of it.
    pub(super) fn words(&self, time: Duration) -> Vec<String> {
        let seconds = time.as_secs_f64();
        let time = match self.kind {
            Kind::Load | Kind::Paced => format!("--warm-up {:.2} --duration {seconds:.2}", seconds / 3.0),
            Kind::Connections => format!("--idle {:.2}", seconds / 2.0),
        };
        // One of the peers admits nobody without Keep Alive.
        let common = "--protocol-version 3.1.1 --keepalive 600 --quiet";
        [self.words, &time, common].into_iter().flat_map(str::split_whitespace).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::SCENARIOS;

    #[test]
    fn keys_are_unique() {
        for (at, scenario) in SCENARIOS.iter().enumerate() {
            assert!(SCENARIOS[at + 1..].iter().all(|other| other.key != scenario.key));
        }
    }

    #[test]
    fn words_are_complete() {
        let words = SCENARIOS[0].words(Duration::from_millis(1500)).join(" ");
        assert_eq!(
            words,
            "pairs 10 --warm-up 0.50 --duration 1.50 --protocol-version 3.1.1 --keepalive 600 --quiet"
        );
    }
}
