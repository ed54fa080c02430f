//! `martlet bench`: puts load on a broker, checks that every message arrives once and in order, and measures.
//!
//! A command line becomes a typed scenario ([`scenario`]), for messages a plan of clients ([`scenario::Plan`]), which the
//! engine runs ([`engine`]); what comes out is a report ([`report`]). A client is a task: it polls its connection itself,
//! sends whole batches of packets that are only patched ([`packets`]), and checks all messages of a read under one lock.

mod args;
mod churn;
mod conns;
mod crew;
mod dial;
mod engine;
mod gate;
mod histogram;
mod ids;
mod ledger;
mod link;
mod observer;
mod pace;
mod packets;
mod parse;
mod publisher;
mod report;
mod retained;
mod scenario;
mod sequence;
mod stamp;
mod subscriber;
mod supervisor;
mod usage;

use std::io;
use std::sync::Arc;

use mqtt_codec::Version;
use tokio::runtime::{Builder, Runtime};

pub(crate) use args::BenchArguments;
use args::Work;
use dial::{Dialer, Target};
use engine::Outcome;
use observer::Observer;
use report::Report;
use scenario::Load;

use crate::exit::Failure;
use crate::output;

/// Runs a scenario and prints what it found.
///
/// # Errors
/// The broker cannot be reached, a connection broke, or messages were lost, duplicated, out of order or damaged.
pub(crate) fn run(arguments: &BenchArguments) -> Result<(), Failure> {
    let common = arguments.common();
    let observer = Observer::new(common.pid, common.quiet).map_err(Failure::usage)?;
    let threads = usize::from(common.threads);
    let runtime = runtime(threads).map_err(Failure::failed)?;
    let report = runtime.block_on(measure(arguments, observer, threads)).map_err(Failure::failed)?;
    // Nothing that is still open is worth waiting for.
    runtime.shutdown_background();
    output::print(&if common.json { report.to_json() } else { report.to_text() })?;
    if report.problems.is_empty() { Ok(()) } else { Err(Failure::failed(report.problems.join("; "))) }
}

fn runtime(threads: usize) -> io::Result<Runtime> {
    match threads {
        1 => Builder::new_current_thread().enable_all().build(),
        _ => Builder::new_multi_thread().worker_threads(threads).thread_name("bench").enable_all().build(),
    }
}

async fn measure(
    arguments: &BenchArguments,
    mut observer: Observer,
    threads: usize,
) -> Result<Report, String> {
    let target = arguments.common().target();
    let (name, work) = arguments.work();
    let mut report = Report::default();
    describe(&mut report, name, &target, threads);
    let dialer = Arc::new(Dialer::new(target, arguments.common().prefix())?);
    let result = match work {
        Work::Load(load) => {
            describe_load(&mut report, &load);
            let outcome = engine::run(dialer, &load, threads, &mut observer).await?;
            add_outcome(&mut report, &outcome);
            return Ok(report);
        }
        Work::Conns(conns) => conns::run(dialer, &conns, &mut observer).await?,
        Work::Churn(churn) => churn::run(dialer, &churn, &mut observer).await?,
        Work::Retained(retained) => retained::run(dialer, &retained, &mut observer).await?,
    };
    report.extend(result);
    Ok(report)
}

fn describe(report: &mut Report, name: &str, target: &Target, threads: usize) {
    let version = match target.version {
        Version::V3_1 => "3.1",
        Version::V3_1_1 => "3.1.1",
        Version::V5 => "5.0",
    };
    report
        .section("scenario")
        .add("name", name.to_owned())
        .add("url", target.url.to_string())
        .add("mqtt", version.to_owned())
        .add("threads", threads);
}

fn describe_load(report: &mut Report, load: &Load) {
    let (publishers, subscribers) = load.shape.clients();
    report
        .add("publishers", u64::from(publishers))
        .add("subscribers", u64::from(subscribers))
        .add("qos", load.qos as u64)
        .add("payload_bytes", load.payload_bytes)
        .add("window", load.window);
    if let Some(rate) = load.rate {
        report.add("rate_per_publisher", rate);
    }
}

fn add_outcome(report: &mut Report, outcome: &Outcome) {
    let Outcome { published, received, flaws, stalls, broken, measured } = outcome;
    report
        .section("measured")
        .add("seconds", measured.seconds)
        .add("delivered", measured.delivered)
        .add("delivered_per_s", measured.delivered as f64 / measured.seconds.max(f64::MIN_POSITIVE));
    report.section("latency").add_latency(&measured.latency);
    report.section("check").add("published", *published).add("received", *received);
    let found = [
        (flaws.lost, "lost"),
        (flaws.duplicated, "duplicated"),
        (flaws.out_of_order, "out_of_order"),
        (flaws.damaged, "damaged"),
        (flaws.foreign, "foreign"),
    ];
    for (count, name) in found {
        report.add(name, count);
        if count > 0 {
            report.problems.push(format!("{count} messages {}", name.replace('_', " ")));
        }
    }
    report.add("stalls", *stalls);
    report.problems.extend(broken.iter().cloned());
    report.add_usage(&measured.spent, measured.seconds, measured.delivered, "cpu_us_per_message");
}
