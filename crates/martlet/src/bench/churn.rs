//! Clients that connect, subscribe and leave, over and over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mqtt_codec::QoS;

use super::crew::in_parallel;
use super::dial::Dialer;
use super::histogram::Histogram;
use super::link::Broken;
use super::observer::Observer;
use super::report::Report;
use super::scenario::{Churn, Extent};

/// When the clients stop coming.
struct End {
    /// How many have come.
    cycles: AtomicUsize,
    cycles_max: usize,
    begin: Instant,
    deadline: Option<Instant>,
}

impl End {
    fn new(extent: Extent) -> Self {
        let now = Instant::now();
        let (cycles_max, begin, deadline) = match extent {
            Extent::Time { warm_up, measured } => (usize::MAX, now + warm_up, Some(now + warm_up + measured)),
            Extent::Messages(count) => (usize::try_from(count).unwrap_or(usize::MAX), now, None),
        };
        Self { cycles: AtomicUsize::new(0), cycles_max, begin, deadline }
    }

    /// The number of the next cycle, unless it is over.
    fn next(&self) -> Option<usize> {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return None;
        }
        Some(self.cycles.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < self.cycles_max)
    }
}

/// Lets clients come and go.
///
/// # Errors
/// A connection cannot be opened or breaks.
pub(super) async fn run(
    dialer: Arc<Dialer>,
    scenario: &Churn,
    observer: &mut Observer,
) -> Result<Report, Broken> {
    let end = Arc::new(End::new(scenario.extent));
    let everybody = in_parallel(0..scenario.concurrency, scenario.concurrency, |_| {
        work(Arc::clone(&dialer), Arc::clone(&end))
    });
    let warm_up = end.begin.saturating_duration_since(Instant::now());
    let begin_marked = async {
        tokio::time::sleep(warm_up).await;
        observer.mark();
        Ok(Instant::now())
    };
    let (latencies, begin) = tokio::try_join!(everybody, begin_marked)?;
    let seconds = begin.elapsed().as_secs_f64();
    let spent = observer.spent();

    let mut latency = Histogram::new();
    latencies.iter().for_each(|one| latency.merge(one));
    let cycles = latency.total();
    let mut report = Report::default();
    report
        .section("clients")
        .add("cycles", cycles)
        .add("per_s", cycles as f64 / seconds)
        .add("seconds", seconds);
    report.section("latency").add_latency(&latency);
    report.add_usage(&spent, seconds, cycles, "cpu_us_per_cycle");
    if let Some(broker) = spent.broker {
        let gained = broker.rss_bytes_after as f64 - broker.rss_bytes_before as f64;
        report.section("leftover").add("rss_bytes_gained", gained);
    }
    Ok(report)
}

/// One client after the other, until the end. Returns the times of whole cycles, in nanoseconds, without the warm-up.
async fn work(dialer: Arc<Dialer>, end: Arc<End>) -> Result<Histogram, Broken> {
    let mut latency = Histogram::new();
    while let Some(number) = end.next() {
        let started = Instant::now();
        cycle(&dialer, number).await?;
        if started >= end.begin {
            let nanos = Duration::as_nanos(&started.elapsed());
            latency.record(u64::try_from(nanos).unwrap_or(u64::MAX), 1);
        }
    }
    Ok(latency)
}

async fn cycle(dialer: &Dialer, number: usize) -> Result<(), Broken> {
    let mut link = dialer.admit(number, &format!("x{number}")).await?;
    link.subscribe(&format!("{}/{number}", dialer.prefix), QoS::AtMostOnce).await?;
    link.disconnect().await;
    Ok(())
}
