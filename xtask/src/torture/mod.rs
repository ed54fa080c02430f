//! `cargo xtask torture`: the real broker is killed again and again while clients count what arrives.

mod publisher;
mod subscriber;
mod wire;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::CommandResult;
use crate::args::Args;
use crate::workspace::Workspace;
use publisher::{Progress, Publisher, topic};
use subscriber::Subscriber;
use wire::{Link, Packet};

const FAULTS_SHOWN: usize = 40;
const PUBLISHERS: usize = 4;
const RETRY: Duration = Duration::from_millis(5);
const START_LIMIT: Duration = Duration::from_secs(30);
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
const RETAINED_LIMIT: Duration = Duration::from_secs(10);
/// How long the broker lives between two kills, in milliseconds.
const LIFE_MIN_MILLIS: u64 = 50;
const LIFE_SPREAD_MILLIS: u64 = 1500;
const AWAY: Duration = Duration::from_millis(700);
/// The run within CI.
const SHORT: Duration = Duration::from_secs(25);

/// Where the broker is and how long any one connection may last.
struct Place {
    address: SocketAddr,
    limit: Duration,
}

pub(crate) fn command(workspace: &Workspace, mut args: Args) -> CommandResult {
    let minutes: f64 = args
        .value("--minutes")?
        .map_or(Ok(1.0), |text| text.parse())
        .map_err(|_| "--minutes needs a number")?;
    if !(minutes > 0.0 && minutes <= 1440.0) {
        return Err("--minutes must be more than 0 and at most 1440".to_owned());
    }
    let seed = args.value("--seed")?.map(|text| text.parse().map_err(|_| "--seed needs a number"));
    let seed = seed.transpose()?.unwrap_or_else(clock_seed);
    let binary =
        args.value("--binary")?.map(std::path::absolute).transpose().map_err(|error| error.to_string())?;
    args.finish()?;
    let binary = binary.unwrap_or_else(|| workspace.target.join("release/martlet"));
    torture(workspace, &binary, Duration::from_secs_f64(minutes * 60.0), seed).map(|faults| faults == 0)
}

/// The short run of CI against the release build.
pub(crate) fn run(workspace: &Workspace) -> CommandResult {
    let binary = workspace.target.join("release/martlet");
    torture(workspace, &binary, SHORT, clock_seed()).map(|faults| faults == 0)
}

/// Runs and prints the verdict; returns how many faults there were.
fn torture(workspace: &Workspace, binary: &Path, time: Duration, seed: u64) -> Result<usize, String> {
    println!("torture: seed {seed}, {} s", time.as_secs());
    let folder = workspace.target.join("torture").join(seed.to_string());
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut broker = Broker::start(binary, &folder, None)?;
    let place = Place { address: broker.address, limit: time + DRAIN_LIMIT };
    let progress: Vec<Progress> = (0..PUBLISHERS).map(|_| Progress::default()).collect();
    let subscribers = subscribers(&place)?;
    let (running, publishing) = (AtomicBool::new(true), AtomicBool::new(true));
    let (kills, faults) = thread::scope(|scope| {
        let (place, running, publishing, progress) = (&place, &running, &publishing, &progress);
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|at| scope.spawn(move || Publisher::new(at, place, &progress[at]).run(running, DRAIN_LIMIT)))
            .collect();
        let subscribers: Vec<_> = subscribers
            .into_iter()
            .map(|one| scope.spawn(move || one.run(publishing, progress, DRAIN_LIMIT)))
            .collect();
        let mut faults = Vec::new();
        let kills = kill_again_and_again(&mut broker, time, seed, place, progress, &mut faults);
        running.store(false, Ordering::SeqCst);
        faults.extend(publishers.into_iter().flat_map(|one| one.join().expect("a publisher does not panic")));
        publishing.store(false, Ordering::SeqCst);
        faults
            .extend(subscribers.into_iter().flat_map(|one| one.join().expect("a subscriber does not panic")));
        (kills, faults)
    });
    let sent: u64 = progress.iter().map(|one| one.sent.load(Ordering::SeqCst)).sum();
    let kills = kills?;
    drop(broker);
    faults.iter().take(FAULTS_SHOWN).for_each(|fault| println!("torture: {fault}"));
    println!("torture: seed {seed}: {kills} kills, {sent} messages, {} faults", faults.len());
    if faults.is_empty() {
        let _ = fs::remove_dir_all(&folder);
    } else {
        println!("torture: the data directory and log are in {}", folder.display());
    }
    Ok(faults.len())
}

/// Two sessions that subscribe before anything is published: one always there, one often away.
fn subscribers(place: &Place) -> Result<Vec<Subscriber<'_>>, String> {
    let all = [("present", Duration::ZERO), ("often-away", AWAY)];
    all.into_iter()
        .map(|(name, away)| {
            let (mut link, _) = Link::open(place.address, name, false).map_err(|error| error.to_string())?;
            link.subscribe("torture/#").map_err(|error| error.to_string())?;
            Ok(Subscriber::new(name.to_owned(), place, away, PUBLISHERS))
        })
        .collect()
}

fn kill_again_and_again(
    broker: &mut Broker,
    time: Duration,
    seed: u64,
    place: &Place,
    progress: &[Progress],
    faults: &mut Vec<String>,
) -> Result<u64, String> {
    let end = Instant::now() + time;
    let mut random = Random(seed);
    let mut kills = 0;
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(LIFE_MIN_MILLIS + random.below(LIFE_SPREAD_MILLIS)));
        let load = |one: &Progress| one.retained_acknowledged.load(Ordering::SeqCst);
        let acknowledged: Vec<u64> = progress.iter().map(load).collect();
        broker.restart()?;
        kills += 1;
        faults.extend(
            retained_faults(place, progress, &acknowledged)
                .into_iter()
                .map(|fault| format!("after kill {kills}: {fault}")),
        );
    }
    Ok(kills)
}

/// Each retained value must be the last acknowledged before the kill, or a later one that was sent.
fn retained_faults(place: &Place, progress: &[Progress], acknowledged: &[u64]) -> Vec<String> {
    let values = match retained_values(place, acknowledged) {
        Ok(values) => values,
        Err(error) => return vec![format!("retained values cannot be read: {error}")],
    };
    let mut faults = Vec::new();
    for (at, (value, least)) in values.iter().zip(acknowledged).enumerate() {
        let most = progress[at].retained_sent.load(Ordering::SeqCst);
        if value < least || *value > most {
            faults.push(format!("{} retains {value}, expected {least} to {most}", topic(at)));
        }
    }
    faults
}

/// What a newcomer receives of each topic first; zero for nothing.
fn retained_values(place: &Place, acknowledged: &[u64]) -> std::io::Result<Vec<u64>> {
    let end = Instant::now() + RETAINED_LIMIT;
    let mut values = Vec::new();
    for (at, least) in acknowledged.iter().enumerate() {
        let (mut link, _) = Link::open(place.address, &format!("reader-{at}"), true)?;
        link.subscribe(&topic(at))?;
        let mut value = 0;
        while *least > 0 && value == 0 && Instant::now() < end {
            if let Some(Packet::Publish { retain: true, payload, .. }) = link.poll()? {
                value = payload.parse().unwrap_or_default();
            }
        }
        values.push(value);
    }
    Ok(values)
}

/// The broker under torture; dropping it kills it.
struct Broker {
    child: Child,
    binary: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
}

impl Broker {
    fn start(binary: &Path, folder: &Path, address: Option<SocketAddr>) -> Result<Self, String> {
        let addresses = folder.join("addresses");
        let _ = fs::remove_file(&addresses);
        let listen = address.map_or("tcp://127.0.0.1:0".to_owned(), |address| format!("tcp://{address}"));
        let log = File::options().create(true).append(true).open(folder.join("broker.log"));
        let log = log.map_err(|error| error.to_string())?;
        let err = log.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", &listen, "--data-dir"]).arg(folder.join("data"));
        command.arg("--print-addresses").arg(&addresses).current_dir(folder);
        let child = command.stdin(Stdio::null()).stdout(log).stderr(err).spawn();
        let mut child = child.map_err(|error| format!("{}: {error}", binary.display()))?;
        match wait_for_address(&mut child, &addresses) {
            Ok(address) => Ok(Self { child, binary: binary.to_owned(), folder: folder.to_owned(), address }),
            Err(reason) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("{reason}; see {}", folder.join("broker.log").display()))
            }
        }
    }

    /// SIGKILL, then the same again on the same port and data.
    fn restart(&mut self) -> Result<(), String> {
        self.child.kill().and_then(|()| self.child.wait()).map_err(|error| error.to_string())?;
        *self = Self::start(&self.binary, &self.folder, Some(self.address))?;
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for_address(child: &mut Child, file: &Path) -> Result<SocketAddr, String> {
    let end = Instant::now() + START_LIMIT;
    while Instant::now() < end {
        let text = fs::read_to_string(file).unwrap_or_default();
        if let Some((line, _)) = text.split_once('\n') {
            let address = line.trim().trim_start_matches("tcp://");
            return address.parse().map_err(|_| format!("`{line}` is no address"));
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("the broker ended at once with {status}"));
        }
        thread::sleep(RETRY);
    }
    Err(format!("the broker did not listen within {} s", START_LIMIT.as_secs()))
}

/// Splitmix64: the same kills for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn clock_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_millis() as u64)
}
