//! Many connections that do nothing: what opening one costs, and what it costs to have it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_codec::QoS;

use super::crew::in_parallel;
use super::dial::Dialer;
use super::histogram::Histogram;
use super::link::{Broken, Link};
use super::observer::Observer;
use super::report::Report;
use super::scenario::Conns;

/// Connections that are asked at a time whether they are still there.
const ASKED_AT_ONCE: usize = 64;

/// Opens the connections, subscribes on each, leaves them idle, and sees whether they are all still there.
///
/// # Errors
/// A connection cannot be opened or breaks.
pub(super) async fn run(
    dialer: Arc<Dialer>,
    scenario: &Conns,
    observer: &mut Observer,
) -> Result<Report, Broken> {
    let mut report = Report::default();
    observer.mark();
    let before = observer.spent();
    let links = connect(&dialer, scenario, observer, &mut report).await?;
    let links = subscribe(&dialer, links, scenario, observer, &mut report).await?;

    observer.mark();
    tokio::time::sleep(scenario.idle).await;
    if let (Some(before), Some(now)) = (before.broker, observer.spent().broker) {
        let gained = now.rss_bytes_after as f64 - before.rss_bytes_after as f64;
        let seconds = scenario.idle.as_secs_f64().max(f64::MIN_POSITIVE);
        report
            .section("idle")
            .add("rss_bytes", now.rss_bytes_after)
            .add("rss_bytes_each", gained / scenario.clients.max(1) as f64)
            .add("cpu_cores", now.cpu.as_secs_f64() / seconds);
    }

    let links =
        in_parallel(links, ASKED_AT_ONCE, |mut link: Link| async { link.ping().await.map(|()| link) });
    for link in links.await? {
        link.disconnect().await;
    }
    Ok(report)
}

async fn connect(
    dialer: &Arc<Dialer>,
    scenario: &Conns,
    observer: &mut Observer,
    report: &mut Report,
) -> Result<Vec<Link>, Broken> {
    observer.mark();
    let started = Instant::now();
    let admitted = in_parallel(0..scenario.clients, scenario.concurrency, |number| {
        let dialer = Arc::clone(dialer);
        async move {
            let started = Instant::now();
            let link = dialer.admit(number, &format!("c{number}")).await?;
            Ok((link, started.elapsed()))
        }
    });
    let (links, times): (Vec<Link>, Vec<Duration>) = admitted.await?.into_iter().unzip();
    report.section("connecting");
    add_costs(report, observer, started.elapsed(), links.len());
    let mut latency = Histogram::new();
    times.iter().for_each(|time| latency.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), 1));
    report.add_latency(&latency);
    Ok(links)
}

async fn subscribe(
    dialer: &Arc<Dialer>,
    links: Vec<Link>,
    scenario: &Conns,
    observer: &mut Observer,
    report: &mut Report,
) -> Result<Vec<Link>, Broken> {
    observer.mark();
    let started = Instant::now();
    let subscribed =
        in_parallel(links.into_iter().enumerate(), scenario.concurrency, |(number, mut link)| {
            let filter = format!("{}/{number}", dialer.prefix);
            async move { link.subscribe(&filter, QoS::AtMostOnce).await.map(|()| link) }
        });
    let links = subscribed.await?;
    report.section("subscribing");
    add_costs(report, observer, started.elapsed(), links.len());
    Ok(links)
}

/// What `count` steps have cost since the mark.
fn add_costs(report: &mut Report, observer: &Observer, time: Duration, count: usize) {
    report.add("clients", count).add("per_s", count as f64 / time.as_secs_f64());
    if let Some(broker) = observer.spent().broker {
        report.add("cpu_us_each", broker.cpu.as_secs_f64() * 1e6 / count.max(1) as f64);
    }
}
