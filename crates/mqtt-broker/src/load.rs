//! Rates per minute over the last 1, 5 and 15 minutes, as mosquitto's `load` topics have them.

use std::time::Duration;

use crate::MetricsSnapshot;
use crate::sys::Figures;

/// Moving averages of some counters.
#[derive(Debug)]
pub(crate) struct Loads {
    interval: Duration,
    rows: [Row; ROWS.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    last: u64,
    per_minute: [f64; WINDOWS.len()],
}

type Source = fn(&MetricsSnapshot) -> u64;

const ROWS: [(&str, Source); 8] = [
    ("messages/received", |m| m.packets_received),
    ("messages/sent", |m| m.packets_sent),
    ("publish/received", |m| m.publish_received),
    ("publish/sent", |m| m.publish_sent),
    ("publish/dropped", MetricsSnapshot::dropped_total),
    ("bytes/received", |m| m.bytes_received),
    ("bytes/sent", |m| m.bytes_sent),
    ("connections", |m| m.connections_accepted),
];

const WINDOWS: [(&str, f64); 3] = [("1min", 60.0), ("5min", 300.0), ("15min", 900.0)];

impl Loads {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, rows: Default::default() }
    }

    /// Takes one more sample and adds the averages to the figures.
    pub(crate) fn add(&mut self, metrics: &MetricsSnapshot, figures: &mut Figures) {
        let seconds = self.interval.as_secs_f64();
        for (row, (name, source)) in self.rows.iter_mut().zip(ROWS) {
            let total = source(metrics);
            // Counters are far below 2^53, so the conversion is exact.
            let now_per_minute = (total - row.last) as f64 * 60.0 / seconds;
            row.last = total;
            for (average, (window, window_s)) in row.per_minute.iter_mut().zip(WINDOWS) {
                let weight = 1.0 - (-seconds / window_s).exp();
                *average += (now_per_minute - *average) * weight;
                figures.add(format!("load/{name}/{window}"), format!("{average:.2}"));
            }
        }
    }
}
