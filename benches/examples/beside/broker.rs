//! The broker that is measured, as a process.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) struct Broker {
    child: Child,
    pub(crate) port: u16,
}

/// A time in which the broker is looked at.
const SLICE: Duration = Duration::from_millis(50);
/// So many slices in a row are calm when work is done.
const CALM_SLICES: u32 = 12;
/// Share of one processor that the trickle needs at most.
const CALM_SHARE: f64 = 0.25;
const WORK_MAX: Duration = Duration::from_secs(120);
/// Of the processor times that Linux tells, each.
const TICK: Duration = Duration::from_millis(10);

impl Broker {
    /// Starts it; how many seconds it took until it served.
    pub(crate) fn start(directory: &Path, program: &Path) -> (Self, f64) {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|one| one.local_addr());
        let port = port.expect("a free port").port();
        let started_at = Instant::now();
        let address = format!("tcp://127.0.0.1:{port}");
        let mut command = Command::new(program);
        command.args(["serve", "--log", "error", "--listen", &address, "--data-dir"]).arg(directory);
        let child = command.stdout(Stdio::null()).spawn().expect("it can be started");
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
        (Self { child, port }, started_at.elapsed().as_secs_f64())
    }

    /// A process of the lowest priority that does something with so many messages.
    pub(crate) fn work(&self, words: &[&str], messages: usize) -> Child {
        let this = std::env::current_exe().expect("a program has a path");
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(this).args(["--work", &self.port.to_string(), &messages.to_string()]);
        command.args(words).spawn().expect("it can be started")
    }

    /// Waits until the broker has nothing to do but the trickle; since when it was so.
    pub(crate) fn wait_until_calm(&self, began: Instant) -> Instant {
        let mut calm_since = (Instant::now(), 0);
        let mut before = self.cpu();
        while calm_since.1 < CALM_SLICES && began.elapsed() < WORK_MAX {
            let from = Instant::now();
            thread::sleep(SLICE);
            let now = self.cpu();
            let share = (now - before).as_secs_f64() / from.elapsed().as_secs_f64();
            before = now;
            calm_since =
                if share <= CALM_SHARE { (calm_since.0, calm_since.1 + 1) } else { (Instant::now(), 0) };
        }
        calm_since.0
    }

    /// Processor time that it has used.
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("Linux tells it");
        let (_, behind) = stat.rsplit_once(')').expect("the name is in parentheses");
        let ticks = behind.split_whitespace().skip(11).take(2).map(|text| text.parse::<u32>());
        TICK * ticks.map(|ticks| ticks.expect("a number")).sum::<u32>()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("it was started");
    }
}
