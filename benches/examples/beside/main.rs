//! What clients that are online notice while a broker is busy with a lot of stored messages: the latency of a steady
//! trickle while nothing else happens, and while messages are restored, read back, ended, compacted, cleared and expired.
//!
//! `cargo run --release -p benches --example beside -- DIR MARTLET [MESSAGES]`, with an empty directory for data and the
//! program to measure. Clients that only make work are processes of the lowest priority, so that what is measured is the
//! broker's and not the machine's. A row covers the time in which the broker was busy, and no more.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

mod broker;
mod fill;
mod probe;
mod wire;
mod work;

use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use broker::Broker;
use fill::{Ends, SESSIONS};
use probe::{Figures, Probe};

const MESSAGES: usize = 1_000_000;
/// How long the trickle is watched while nothing else happens.
const IDLE: Duration = Duration::from_secs(4);
/// From the beginning of filling until sessions end, for each million of messages; retained messages follow.
const EXPIRY: Duration = Duration::from_secs(30);
/// Expiry takes its time on purpose; for so long, it goes on all the time if there is a million of messages.
const EXPIRY_WATCHED: Duration = Duration::from_secs(5);
const EXPIRY_GAP: Duration = Duration::from_secs(25);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [flag, rest @ ..] if flag == "--work" => work::run(rest),
        [directory, program, rest @ ..] => {
            let messages = rest.first().map_or(MESSAGES, |text| text.parse().expect("a number of messages"));
            println!("| meanwhile | seconds | QoS 0: p50, p99, longest us | QoS 1 | p99 to idle |");
            println!("|---|---|---|---|---|");
            used(&Path::new(directory).join("used"), Path::new(program), messages);
            expiring(&Path::new(directory).join("expiring"), Path::new(program), messages);
        }
        _ => panic!("give a directory and a program"),
    }
}

/// Messages that are restored, delivered, matched, cleared and ended by what clients do.
fn used(directory: &Path, program: &Path, messages: usize) {
    fill::fill(directory, messages, None);
    let stages = Stages::begin(directory, program);
    let half = SESSIONS / 2;
    let each = messages / SESSIONS;
    stages.row("one session returns and is replayed", || vec![stages.broker.work(&["take", "0"], each)]);
    stages.row("half of the sessions return at once", || {
        (1..half).map(|n| stages.broker.work(&["take", &n.to_string()], each)).collect()
    });
    stages.row("`#` matches all retained messages", || vec![stages.broker.work(&["match"], messages)]);
    stages.row("one session ends", || vec![stages.broker.work(&["end", &half.to_string()], 0)]);
    stages.row("the others end", || {
        (half + 1..SESSIONS).map(|n| stages.broker.work(&["end", &n.to_string()], 0)).collect()
    });
    stages.row("nine of ten retained messages are cleared, and segments are compacted", || {
        vec![stages.broker.work(&["clear"], messages * 9 / 10)]
    });
}

/// Messages that end all at once by themselves.
fn expiring(directory: &Path, program: &Path, messages: usize) {
    let factor = u32::try_from(messages.div_ceil(MESSAGES)).expect("not that many");
    let sessions_at = Instant::now() + EXPIRY * factor;
    let retained_at = sessions_at + EXPIRY_GAP * factor;
    fill::fill(directory, messages, Some(Ends { sessions_at, retained_at }));
    let stages = Stages::begin(directory, program);
    stages.await_expiry("all sessions with their messages expire", sessions_at);
    stages.await_expiry("all retained messages expire", retained_at);
}

/// One broker with a trickle.
struct Stages {
    broker: Broker,
    probe: Probe,
    idle: [Figures; 2],
}

impl Stages {
    fn begin(directory: &Path, program: &Path) -> Self {
        let (broker, seconds) = Broker::start(directory, program);
        println!("| everything is restored: nobody is served before | {seconds:.1} | | | |");
        let probe = Probe::start(broker.port);
        broker.wait_until_calm(Instant::now());
        let begin = Instant::now();
        thread::sleep(IDLE);
        let idle = probe.figures(begin, Instant::now());
        println!("| nothing | {:.1} | {} | {} | |", IDLE.as_secs_f64(), idle[0], idle[1]);
        Self { broker, probe, idle }
    }

    /// Measures while clients make work, until it is done.
    fn row(&self, meanwhile: &str, begin: impl FnOnce() -> Vec<Child>) {
        let began = Instant::now();
        for mut worker in begin() {
            assert!(worker.wait().expect("it was started").success(), "the work could not be done");
        }
        self.note(meanwhile, began, self.broker.wait_until_calm(began));
    }

    /// Measures from a moment on at which something ends.
    fn await_expiry(&self, meanwhile: &str, at: Instant) {
        assert!(at > Instant::now(), "the machine is too slow for what expires at a fixed time");
        let until = at + EXPIRY_WATCHED;
        thread::sleep(until.saturating_duration_since(Instant::now()));
        self.note(meanwhile, at, until);
    }

    fn note(&self, meanwhile: &str, began: Instant, until: Instant) {
        let now = self.probe.figures(began, until);
        let ratio = |qos: usize| now[qos].p99_us / self.idle[qos].p99_us.max(1.0);
        let seconds = (until - began).as_secs_f64();
        println!(
            "| {meanwhile} | {seconds:.1} | {} | {} | {:.1}, {:.1} |",
            now[0],
            now[1],
            ratio(0),
            ratio(1)
        );
    }
}
